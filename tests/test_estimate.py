"""Laws of the estimate: pictures tell by what and how far they were degraded, and it says how sure it is."""

import pytest
import torch

from thaw.base.errors import ThawError
from thaw.base.pixels import to_pixels, to_uint8
from thaw.base.seeding import generator
from thaw.degradations import build
from thaw.estimate import CLEAN, estimate, steps_tried

KINDS = ("row", "pixelate", "mask", "blur", "snow")


@pytest.fixture(scope="module")
def half():
    """Digits at half their size, so that it is a matter of seconds."""

    def halved(images):
        return torch.nn.functional.avg_pool2d(images.pixels(), 2)

    return halved


def degraded(x0, kinds, n, seed=0):
    """Return n pictures of each kind at random steps, as files hold them, and their cells."""
    draws, made, cells = generator(seed, "steps"), [], []
    for index, (name, kind) in enumerate(kinds.items()):
        t = torch.randint(1, kind.steps + 1, (n,), generator=draws)
        x_t = kind(x0[index * n : (index + 1) * n], t, kind.draw_z(n, draws))
        made.append(to_pixels(to_uint8(x_t)))
        cells += [(name, step) for step in t.tolist()]
    return torch.cat(made), cells


def test_the_kind_and_the_step_are_found_far_above_chance_and_about_as_often_as_it_is_sure(half, digits, digits_test):
    shape = (1, 14, 14)
    kinds = {name: build(name, shape) for name in KINDS}
    pictures, cells = degraded(half(digits_test), kinds, 50)
    found = estimate(pictures, kinds, half(digits.subset(500, 0)))
    tried = [(k, t) for k, one in kinds.items() for t in steps_tried(one.steps)]
    assert found.cells == [*tried, (CLEAN, 0)]
    torch.testing.assert_close(found.p.sum(dim=1), torch.ones(len(cells)).double())
    guessed = [found.cells[i] for i in found.p.argmax(dim=1)]
    kind = sum(a[0] == b[0] for a, b in zip(guessed, cells, strict=True)) / len(cells)
    exact = sum(a == b for a, b in zip(guessed, cells, strict=True)) / len(cells)
    assert kind > 0.8 and exact > 0.4  # by chance 0.2, and 0.01
    sure = float(found.p.max(dim=1).values.mean())
    assert abs(sure - exact) < 0.15


def test_pictures_that_were_degraded_alike_tell_more_together(half, digits, digits_test):
    kind = build("blur", (1, 14, 14))
    x_t = kind(half(digits_test)[:20], torch.full((20,), 12))
    found = estimate(x_t, {"blur": kind}, half(digits.subset(500, 0)))
    name, t = found.best
    low, high = found.steps_of("blur")
    assert name == "blur" and abs(t - 12) <= 2 and low <= t <= high and high - low <= 6
    assert float(found.together.max()) >= float(found.p.max(dim=1).values.mean())
    assert str(found).startswith(f"estimated: blur, step {t}") and "blur 100%" in str(found)


def test_pictures_that_nothing_degraded_are_told_as_such(half, digits, digits_test):
    kinds = {name: build(name, (1, 14, 14)) for name in ("row", "mask", "snow")}
    found = estimate(half(digits_test)[:20], kinds, half(digits.subset(500, 0)))
    assert found.best == (CLEAN, 0) and str(found).startswith(f"estimated: {CLEAN}, step 0; {CLEAN} ")


def test_what_is_known_beforehand_counts_once_however_many_pictures_there_are(digits, half):
    """Pictures that tell nothing leave every candidate at its own share: a kind of few steps gains no more by many."""
    images = half(digits.subset(500, 0))
    short, long = (build("fade", (1, 14, 14), steps) for steps in (2, 4))
    x_T = short(images[:30], torch.full((30,), 2))  # all alike, and the last step of either
    shares = estimate(x_T, {"short": short, "long": long}, images).of_kinds()
    assert abs(shares["short"] - 2 / 3) < 0.1  # the last step is one of two, or one of four


def test_what_cannot_be_estimated_is_said():
    kind, images = build("row", (1, 6, 6)), torch.zeros(60, 1, 6, 6)
    with pytest.raises(ThawError, match="at least 50 images, got 1 and 20"):
        estimate(images, {"row": kind}, images[:20])
    with pytest.raises(ThawError, match="needs candidates"):
        estimate(images, {}, images)
    with pytest.raises(ThawError, match="expected images of shape"):
        estimate(torch.zeros(2, 1, 5, 5), {"row": kind}, images)
    assert steps_tried(3) == [1, 2, 3] and len(steps_tried(1000)) == 50 and steps_tried(1000)[-1] == 1000
