"""Each family of degradations against a slow, obvious reference written from its description, and its own laws."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from cases import (
    FAMILIES,
    LINES,
    QUANTUM,
    REGISTERED,
    SHAPE,
    SHAPES,
    draw,
    few,
    full,
    make,
    name_of,
    pictures,
    same_bits,
)

from thaw import data, degradations
from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.degradations.cover import Cover
from thaw.degradations.separable import Separable
from thaw.terminal import fit_terminal

shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
OWN = [case for case in FAMILIES + REGISTERED if case[0] not in ("row", "col", "scale")]
COVERS = [case for case in OWN if isinstance(make(case), Cover)]
RESIZED = [case for case in OWN if isinstance(make(case), Separable)]


def uniform(n: int, shape: tuple[int, int, int]) -> torch.Tensor:
    return 2 * torch.rand(n, *shape, dtype=torch.float64) - 1


def check(
    case: tuple[str, dict], shape: tuple[int, int, int], reference, atol: float, end: float | None = None
) -> None:
    """Compare every step with `reference(x, t, T, z)`; `end` is the tolerance at t = T, where numbers are rounded."""
    degradation, x = make(case, shape), uniform(2, shape)
    z = draw(degradation, 2)
    z = None if z is None else z.double()
    for t in range(degradation.steps + 1):
        tolerance = atol if end is None or t < degradation.steps else end
        expected = reference(x, t, degradation.steps, z)
        torch.testing.assert_close(degradation(x, full(2, t), z), expected, rtol=0, atol=tolerance, msg=f"t = {t}")


# ----------------------------------------------------------------------------------------- references


@pytest.mark.parametrize("radius", [2, 3])
@shapes
def test_the_eraser_equals_a_head_moved_pixel_by_pixel(shape, radius):
    C, H, W = shape
    corners, line = [], radius
    while True:
        line = min(line, H + W - 2)
        corners.append((line, 0) if line < H else (H - 1, line - (H - 1)))
        corners.append((0, line) if line < W else (line - (W - 1), W - 1))
        if line >= H + W - 2 - radius:
            break
        line += 2 * radius + 1
    path = [corners[0]]
    for (i, j), (k, m) in zip(corners[:-1], corners[1:], strict=True):
        count = max(abs(k - i), abs(m - j))
        for step in range(1, count + 1):
            exact = Fraction(step * (k - i), count) + i, Fraction(step * (m - j), count) + j
            path.append(tuple(math.floor(place + Fraction(1, 2)) for place in exact))
    assert make(("eraser", {"radius": radius}), shape).path.tolist() == [list(point) for point in path]
    masks, mask = [[[1.0] * W for _ in range(H)]], [[1.0] * W for _ in range(H)]
    for at in path:
        for i in range(H):
            for j in range(W):
                d = math.hypot(i - at[0], j - at[1])
                mask[i][j] *= 0.0 if d <= radius else 1 - math.exp(-(d**2) / (2 * 3.0**2))
        masks.append([list(row) for row in mask])

    def reference(x, t, T, z):
        m = torch.tensor(masks[round(t / T * len(path))], dtype=torch.float64)
        return m * x + (1 - m) * z

    check(("eraser", {"radius": radius}), shape, reference, atol=1.01 * QUANTUM)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@shapes
def test_zoom_equals_interpolate_on_the_crop(shape, mode):
    def reference(x, t, T, z):
        for step in range(t):
            x = x[:, :, 1:, 1:] if step % 2 == 0 else x[:, :, :-1, :-1]
        assert x.shape[2:] == (shape[1] - t, shape[2] - t)
        return F.interpolate(x, shape[1:], mode=mode)

    exact = mode == "nearest"
    check((f"zoom_{mode}", {}), shape, reference, 0 if exact else 2e-5, end=QUANTUM / 2 if exact else 4 * QUANTUM)
    assert degradations.build(f"zoom_{mode}", shape).steps == min(shape[1:]) - (4 if exact else 5)


@shapes
def test_pixelate_equals_pooling_and_enlarging(shape):
    def reference(x, t, T, z):
        cells = F.adaptive_avg_pool2d(x, (shape[1] - t, shape[2] - t))
        return F.interpolate(cells, shape[1:], mode="nearest")

    check(("pixelate", {}), shape, reference, atol=1e-4, end=1e-4 + QUANTUM)
    assert degradations.build("pixelate", shape).steps == min(shape[1:]) - 4


def blurred(x: torch.Tensor, deviation: float) -> torch.Tensor:
    """Sum a Gaussian over the lines, reflected at the borders, as by hand."""
    size, reach = x.shape[2], math.ceil(8 * deviation)
    weights = [math.exp(-(k**2) / (2 * deviation**2)) for k in range(-reach, reach + 1)]
    out = torch.zeros_like(x)
    for i in range(size):
        for k, weight in zip(range(-reach, reach + 1), weights, strict=True):
            j = (i + k) % (2 * size)
            out[:, :, i] += weight / sum(weights) * x[:, :, j if j < size else 2 * size - 1 - j]
    return out


@pytest.mark.parametrize("largest", [5.0, 20.0])
@pytest.mark.parametrize("shape", [(1, 28, 28), (2, 8, 10)], ids=str)
def test_blur_equals_an_explicit_sum_over_reflected_pixels(shape, largest):
    """At T the numbers are rounded, and modes fainter than that are dropped."""
    degradation, x = make(("blur", {"largest": largest}), shape, steps=5), uniform(2, shape)
    for t, deviation in enumerate([0.3 * (largest / 0.3) ** (k / 4) for k in range(5)], start=1):
        rows = blurred(x, deviation * shape[1] / 28)
        expected = blurred(rows.mT, deviation * shape[2] / 28).mT
        tolerance = 5e-5 if t < 5 else QUANTUM * degradation.paint.shape[1]
        torch.testing.assert_close(degradation(x, full(2, t)), expected, rtol=0, atol=tolerance, msg=f"t = {t}")


@shapes
def test_fade_equals_a_loop_over_pixels(shape):
    _, H, W = shape

    def reference(x, t, T, z):
        y, corner = torch.zeros_like(x), math.hypot(28 / 2 * (1 - 1 / H), 28 / 2 * (1 - 1 / W))
        radius = t / T * (corner + 2 * 3.0) - 2 * 3.0
        for i in range(H):
            for j in range(W):
                d = math.hypot((i - (H - 1) / 2) * 28 / H, (j - (W - 1) / 2) * 28 / W)
                m = 1 - math.exp(-(max(0, d - radius) ** 2) / (2 * 3.0**2)) if t else 1
                y[:, :, i, j] = m * x[:, :, i, j]
        return y

    check(("fade", {}), shape, reference, atol=QUANTUM / 2 + 1e-9)


@pytest.mark.parametrize("steps", [3, 14, 50])
@pytest.mark.parametrize("shape", [*SHAPES, (1, 7, 13)], ids=str)
def test_mask_hides_the_pixels_whose_middle_lies_in_the_rectangle(shape, steps):
    _, H, W = shape
    degradation, x = make(("mask", {}), shape, steps), pictures(1, shape)
    masks = degradation.masks.tolist()
    for t in range(steps + 1):
        share = Fraction(t, steps)
        for i in range(H):
            for j in range(W):
                inside = all(abs(Fraction(2 * k + 1 - n, n)) < share for k, n in ((i, H), (j, W)))
                assert masks[t][i][j] == (0 if inside else 1)
        assert torch.equal(degradation(x, full(1, t)), x * degradation.masks[t])


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 10)], ids=str)
def test_snow_equals_a_loop_over_pixels(shape):
    def reference(x, t, T, z):
        y = x.clone()
        for b, (begin, white) in enumerate(z.tolist()):
            for i in range(shape[1]):
                for j in range(shape[2]):
                    begins, snow = begin[i][j], white[i][j]
                    m = min(1, max(0, (t / T * 1.15 - begins) / 0.15))
                    y[b, :, i, j] = (1 - m) * x[b, :, i, j] + m * snow
        return y

    check(("snow", {}), shape, reference, atol=1.01 * QUANTUM)


@shapes
def test_morph_mixes_with_the_papers_weights_divided_by_their_sum(shape):
    def reference(x, t, T, z):
        a = 1 - t / T
        return (math.sqrt(a) * x + math.sqrt(1 - a) * z) / (math.sqrt(a) + math.sqrt(1 - a))

    check(("morph", {}), shape, reference, atol=1.01 * QUANTUM)


# ----------------------------------------------------------------------------------- covered to the end


@shapes
@pytest.mark.parametrize("case", COVERS, ids=name_of)
def test_covers_begin_with_the_image_and_only_grow(case, shape):
    degradation, t = make(case, shape), torch.arange(make(case, shape).steps + 1)
    z = draw(degradation, 1)
    kept = degradation.kept(t, None if z is None else z.expand(len(t), -1, -1, -1))
    assert (kept[0] == 1).all() and (kept[-1] == 0).all()
    assert (kept[1:] <= kept[:-1]).all() and (kept[1:] < kept[:-1]).any()


@shapes
@pytest.mark.parametrize("case", COVERS, ids=name_of)
def test_covers_leave_nothing_of_the_image(case, shape):
    """Two images end as the same picture to the bit, and no gradient comes back from there."""
    degradation, x, other = make(case, shape), pictures(4, shape).requires_grad_(), pictures(4, shape, seed=1)
    z, end = draw(degradation, 4), full(4, degradation.steps)
    x_T = degradation(x, end, z)
    x_T.sum().backward()
    assert same_bits(x_T.detach(), degradation(other, end, z)) and not x.grad.any()
    assert degradation.coordinates(x_T).shape == (4, 0)
    if case[0] in ("eraser", "morph"):
        assert same_bits(x_T.detach(), z)
    elif case[0] == "snow":
        assert same_bits(x_T.detach(), z[:, 1:].expand_as(x_T))
    else:
        assert not x_T.any()


@shapes
def test_masks_are_nested_to_the_bit(shape):
    """D_t(D_s(x)) = D_max(s, t)(x)."""
    degradation, x = make(("mask", {}), shape), pictures(1, shape)
    s, t = torch.cartesian_prod(*[torch.arange(degradation.steps + 1)] * 2).T
    x = x.expand(len(s), *shape).contiguous()
    assert same_bits(degradation(degradation(x, s), t), degradation(x, torch.maximum(s, t)))


@pytest.mark.parametrize("name", ["eraser", "snow", "morph"])
def test_a_missing_z_is_missed_by_name(name):
    degradation = degradations.build(name, SHAPE)
    with pytest.raises(ThawError, match="draw_z"):
        degradation(pictures(1), full(1, 1))
    with pytest.raises(ThawError, match="draw_z"):
        degradation.from_coordinates(torch.zeros(1, 0))


@pytest.mark.parametrize("radius", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("shape", [*SHAPES, (1, 1, 1), (1, 1, 9), (1, 17, 5)], ids=str)
def test_the_solid_disk_crosses_every_pixel(shape, radius):
    """So m_T is 0 without any rounding, and the path is one of neighbouring pixels within the image."""
    degradation = make(("eraser", {"radius": radius, "softness": 1e-3}), shape)
    assert (degradation.head(degradation.path) == 0).any(dim=0).all()
    size, path = torch.tensor(shape[1:]), degradation.path
    assert (path >= 0).all() and (path < size).all()
    assert (path.diff(dim=0).abs().amax(dim=1) == 1).all()


def test_the_eraser_visits_the_points_of_the_earlier_study():
    path = degradations.build("eraser", SHAPE).path.tolist()
    points = [path.index([3 + 7 * k, 0]) for k in range(4)] + [path.index([27, 4 + 7 * k]) for k in range(3)]
    assert points == sorted(points) and [0, 3] in path and [0, 24] in path


def test_the_erasers_background_is_one_grey_and_noise():
    z = draw(make(("eraser", {}), (3, 32, 32)), 500)
    grey = z.mean(dim=(1, 2, 3))
    assert z.abs().max() <= 1 and grey.min() < -0.9 and grey.max() > 0.9 and abs(grey.mean()) < 0.1
    middle = z[grey.abs() < 0.8]
    assert middle.std(dim=(1, 2, 3)).tolist() == pytest.approx([0.04] * len(middle), rel=0.1)
    torch.testing.assert_close(
        middle.mean(dim=(2, 3)), middle.mean(dim=(1, 2, 3))[:, None].expand(-1, 3), rtol=0, atol=0.01
    )


def test_snow_falls_evenly_over_the_steps_and_is_nearly_white():
    time, snow = draw(degradations.build("snow", SHAPE), 500).unbind(dim=1)
    quantiles = time.flatten()[::7].quantile(torch.tensor([0.1, 0.5, 0.9]))
    torch.testing.assert_close(quantiles, torch.tensor([0.1, 0.5, 0.9]), rtol=0, atol=0.02)
    assert snow.min() >= 0.7 and snow.max() <= 1 and snow.std() > 0.05
    time = time - 0.5
    assert (time[:, :, 1:] * time[:, :, :-1]).mean() > 0.5 * time.square().mean() > 5 * (time * time.flip(0)).mean()


# --------------------------------------------------------------------------------- resized to the end


@shapes
@pytest.mark.parametrize("case", RESIZED, ids=name_of)
def test_images_that_agree_in_their_coordinates_end_alike_to_the_bit(case, shape):
    """What the coordinates do not see is added; before the end the images still differ."""
    degradation, x = make(case, shape), 0.5 * uniform(4, shape)
    unseen = 0.1 * uniform(4, shape).flatten(2)
    survey = degradation.survey.double()
    unseen = (unseen - unseen @ survey.T @ torch.linalg.pinv(survey).T).unflatten(2, shape[1:])
    end = full(4, degradation.steps)
    x_T, other = degradation(x, end), degradation(x + unseen, end)
    assert same_bits(x_T, other)
    assert not torch.equal(degradation(x, end - 1), degradation(x + unseen, end - 1))
    for alone in range(4):  # in any batch
        assert same_bits(degradation(x[alone : alone + 1], end[:1])[0], x_T[alone])


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in OWN + LINES if case[0] != "scale"], ids=name_of)
def test_no_reader_of_any_precision_gets_more_than_the_coordinates(case, digits):
    """However much a network magnifies the digits of x_T, it spans no more directions than the coordinates."""
    degradation, x = make(case), digits.pixels(slice(0, 800))
    z = draw(degradation, 1)
    z = None if z is None else z.expand(len(x), *z.shape[1:])
    x_T = degradation(x, full(len(x), degradation.steps), z)
    count = degradation.coordinates(x_T[:1]).shape[1]
    x_T = x_T.double()  # where differences are exact
    values = torch.linalg.svdvals((x_T - x_T[0]).flatten(1))
    assert int((values > 1e-12 * values.max()).sum()) <= count < 28 * 28


@pytest.mark.parametrize("case", RESIZED, ids=name_of)
def test_coordinates_that_no_image_has_give_a_picture_in_range(case):
    degradation = make(case)
    wild = 3 * torch.randn(20, degradation.coordinates(pictures(1)).shape[1])
    x_T = degradation.from_coordinates(wild)
    assert x_T.shape == (20, *SHAPE) and x_T.abs().max() <= 1


@pytest.mark.parametrize(("name", "side"), [("zoom_nearest", 4), ("zoom_bilinear", 5)])
def test_the_coordinates_of_the_zoom_are_the_last_window(name, side):
    x = pictures(3)
    assert torch.equal(
        degradations.build(name, SHAPE).coordinates(degradations.build(name, SHAPE)(x, full(3, 28 - side))),
        x[:, :, 12 : 12 + side, 12 : 12 + side].flatten(1),
    )


def test_the_coordinates_of_pixelate_are_the_means_of_the_cells():
    pixelate, x = degradations.build("pixelate", SHAPE), pictures(3)
    numbers = pixelate.coordinates(pixelate(x, full(3, 24)))
    torch.testing.assert_close(numbers, F.avg_pool2d(x, 7).flatten(1), rtol=0, atol=1.01 * QUANTUM / 2)


def test_the_first_coordinate_of_blur_is_the_mean_shrunk_by_a_hair():
    blur, x = degradations.build("blur", SHAPE), pictures(3) * 0.5 - 0.4
    numbers = blur.coordinates(blur(x, full(3, 40))).unflatten(1, (2, 2))
    torch.testing.assert_close(numbers[:, 0, 0], x.mean(dim=(1, 2, 3)), rtol=1e-3, atol=QUANTUM / 2)


@pytest.mark.parametrize("name", ["zoom_nearest", "zoom_bilinear", "pixelate"])
@pytest.mark.parametrize("steps", [1, 5, 60])
def test_other_numbers_of_steps_end_with_the_same_window(name, steps):
    x, one = pictures(2), degradations.build(name, SHAPE, steps)
    own = degradations.build(name, SHAPE)
    assert one.steps == steps
    assert same_bits(one(x, full(2, steps)), own(x, full(2, own.steps)))


@pytest.mark.parametrize("name", ["zoom_nearest", "zoom_bilinear", "pixelate"])
def test_tiny_images_shrink_by_one_line_at_least(name):
    assert degradations.build(name, (1, 3, 4)).steps == 1
    with pytest.raises(ThawError, match="1 x 4"):
        degradations.build(name, (1, 1, 4))


# ------------------------------------------------------------------------------------- the other picture


def test_morph_reads_its_pictures_when_it_first_needs_them(monkeypatch):
    def fail(*arguments, **options):
        raise AssertionError("read too early")

    monkeypatch.setattr(data, "load", fail)
    assert degradations.build("morph", SHAPE).steps == 100


def test_without_the_files_morph_takes_digits_and_says_so_once(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("THAW_DATA", str(tmp_path))
    one, other = (degradations.build("morph", SHAPE, data="emnist") for _ in range(2))
    z = draw(one, 5)
    assert torch.equal(draw(other, 5), z)
    assert capsys.readouterr().out.count("emnist") == 1
    pictures = data.load("digits", "train").pixels()
    assert all((picture == pictures).all(dim=(1, 2, 3)).any() for picture in z)


@shapes
def test_the_pictures_of_morph_fit_the_image(shape):
    morph = make(("morph", {"data": "digits"}), shape)
    z = draw(morph, 6)
    assert z.shape == (6, *shape) and z.abs().max() <= 1 and z.min() < -0.9 and z.max() > 0.5
    assert torch.equal(z, z[:, :1].expand_as(z))


def test_morph_samples_from_stored_pictures_without_the_data_set(monkeypatch):
    trained = degradations.build("morph", SHAPE, data="digits")
    state = trained.state()
    assert set(state) == {"pictures"} and state["pictures"].dtype == torch.uint8 and len(state["pictures"]) == 256
    monkeypatch.setattr(data, "load", lambda *arguments, **options: pytest.fail("the data set is not needed"))
    released = degradations.build("morph", SHAPE, data="digits")
    released.load_state(state)
    stored = state["pictures"].float() / 127.5 - 1
    assert all((picture == stored).all(dim=(1, 2, 3)).any() for picture in draw(released, 300))
    assert torch.equal(released.state()["pictures"], state["pictures"])


@pytest.mark.parametrize("state", [{}, {"pictures": torch.zeros(2, 1, 4, 4)}, {"pictures": 3}])
def test_morph_refuses_a_state_without_pictures(state):
    with pytest.raises(ThawError, match="pictures"):
        degradations.build("morph", SHAPE).load_state(state)


# ------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("case", REGISTERED, ids=name_of)
def test_sampling_starts_from_pictures_like_the_degraded_ones(case, tiny):
    """Drawn coordinates and z give an x_T that the coordinates and z describe, to the bit."""
    name = case[0]
    study = {"study": "ddpm"} if name == "scale" else {"study": "custom", "degradation": name, "tau": (0.0, 1.0)}
    model = tiny(**study, steps=None)
    degradation = model.process.degradation
    start = model.start(model.labels(20), generator(0))
    x_T, z = model.begin(start, 0.0), start.z
    assert x_T.shape == (20, *SHAPE) and x_T.abs().max() <= 1
    again = degradation.from_coordinates(degradation.coordinates(x_T), z)
    assert torch.equal(again, x_T)
    if z is not None:
        assert not torch.equal(x_T[0], x_T[1])


@pytest.mark.parametrize(("name", "rank"), [("zoom_nearest", 16), ("zoom_bilinear", 25), ("pixelate", 16), ("blur", 4)])
def test_on_digits_every_coordinate_counts(digits, name, rank):
    assert fit_terminal(degradations.build(name, SHAPE), *few(digits, 500), components=1).rank == rank


def test_a_zoom_without_a_known_mode_is_refused_by_name():
    with pytest.raises(ThawError, match="bicubic"):
        degradations.Zoom(SHAPE, "bicubic")


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 30)])
def test_a_zoom_of_more_steps_than_lines_has_a_continuous_scale(mode, shape):
    """Whole numbers of lines are cropped as before, to the bit, and what lies between moves by less."""
    whole = degradations.build(f"zoom_{mode}", shape)
    fine = degradations.build(f"zoom_{mode}", shape, steps=4 * whole.steps)
    x0 = 2 * torch.rand(2, *shape, generator=generator(0, "zoom")) - 1
    coarse = [whole(x0, torch.full((2,), t)) for t in range(whole.steps + 1)]
    states = [fine(x0, torch.full((2,), t)) for t in range(fine.steps + 1)]
    assert all(torch.equal(one, other) for one, other in zip(states[::4], coarse, strict=True))
    moved = [max(float((b - a).square().mean()) for a, b in itertools.pairwise(walk)) for walk in (coarse, states)]
    assert moved[1] < moved[0]
    degradations.check_laws(fine)
