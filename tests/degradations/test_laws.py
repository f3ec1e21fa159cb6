"""Laws of the degradations D_t. Those over `ALL` hold for every registered degradation, new ones included."""

import pytest
import torch
from cases import (
    ALL,
    COLD,
    LINES,
    QUANTUM,
    REGISTERED,
    SCALES,
    SHAPE,
    SHAPES,
    draw,
    full,
    make,
    name_of,
    pictures,
    same_bits,
)

from thaw import degradations
from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.degradations import Degradation, register
from thaw.degradations.lines import line_order
from thaw.schedules import noise_schedule

every = pytest.mark.parametrize("case", ALL, ids=name_of)
cold = pytest.mark.parametrize("case", COLD, ids=name_of)
registered = pytest.mark.parametrize("case", REGISTERED, ids=name_of)
lines = pytest.mark.parametrize("case", LINES, ids=name_of)
scales = pytest.mark.parametrize("case", SCALES, ids=name_of)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


@shapes
@every
def test_step_zero_is_the_identity_to_the_bit(case, shape):
    degradation, x = make(case, shape), pictures(3, shape)
    assert torch.equal(degradation(x, full(3, 0), draw(degradation, 3)), x)


@shapes
@every
def test_degraded_images_keep_their_shape_type_and_range(case, shape):
    degradation, x = make(case, shape), torch.rand(3, *shape) * 2 - 1
    for extreme in (x, x.sign()):
        for t in range(degradation.steps + 1):
            x_t = degradation(extreme, full(3, t), draw(degradation, 3))
            assert x_t.shape == x.shape and x_t.dtype == x.dtype
            assert x_t.abs().max() <= 1


@every
def test_a_batch_of_different_steps_equals_one_image_at_a_time(case):
    degradation = make(case)
    t = torch.arange(degradation.steps + 1)
    x, z = pictures(len(t)), draw(degradation, len(t))
    together = degradation(x, t, z)
    for i in range(len(t)):
        alone = degradation(x[i : i + 1], t[i : i + 1], None if z is None else z[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1.01 * QUANTUM)


@every
def test_degrading_twice_gives_the_same_and_leaves_the_image_alone(case):
    degradation, x = make(case), pictures(3)
    before, z, t = x.clone(), draw(degradation, 3), full(3, degradation.steps)
    assert torch.equal(degradation(x, t, z), degradation(x, t, z))
    assert torch.equal(x, before)


@every
def test_single_and_double_precision_agree_to_rounding(case):
    degradation = make(case)
    t = torch.arange(degradation.steps + 1)
    x, z = torch.rand(len(t), *SHAPE) * 2 - 1, draw(degradation, len(t))
    double = degradation(x.double(), t, None if z is None else z.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(degradation(x, t, z).double(), double, rtol=0, atol=1.01 * QUANTUM)


@every
def test_gradients_flow_and_are_finite(case):
    degradation = make(case)
    x = (torch.rand(3, *SHAPE) * 2 - 1).requires_grad_()
    degradation(x, full(3, degradation.steps // 2), draw(degradation, 3)).square().sum().backward()
    assert torch.isfinite(x.grad).all() and x.grad.any()


@shapes
@every
def test_the_terminal_coordinates_of_a_picture_can_be_drawn_again(case, shape):
    """coordinates -> image -> coordinates changes nothing."""
    degradation, x = make(case, shape), pictures(4, shape)
    z = draw(degradation, 4)
    once = degradation.coordinates(degradation(x, full(4, degradation.steps), z))
    assert once.shape[0] == 4 and once.ndim == 2
    assert torch.equal(degradation.coordinates(degradation.from_coordinates(once, z)), once)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@shapes
@cold
def test_nothing_is_left_at_the_end_but_coordinates_and_z(case, shape, dtype):
    """x_T is a function of the coordinates and z, to the bit: no rounding holds any more of x0."""
    degradation = make(case, shape)
    for extreme in (1.0, 1000.0):
        x = (extreme * torch.randn(5, *shape, dtype=dtype)).clamp(-1, 1)
        x[0], x[1] = 1.0, -1.0
        x_T = degradation(x, full(5, degradation.steps), z := draw(degradation, 5))
        assert same_bits(degradation.from_coordinates(degradation.coordinates(x_T), z), x_T)


@cold
def test_the_end_depends_on_the_image_through_the_coordinates_alone(case):
    """The Jacobian of x_T is the product of theirs; its rank is at most their number."""
    shape = (1, 8, 10)
    degradation = make(case, shape)
    x, z, end = 0.9 * pictures(1, shape).double(), draw(degradation, 1), full(1, degradation.steps)

    def jacobian(function, point):
        return torch.autograd.functional.jacobian(function, point).reshape(-1, point.numel())

    x_T, whole = degradation(x, end, z), jacobian(lambda x: degradation(x, end, z), x)
    numbers = degradation.coordinates(x_T)
    assert torch.linalg.matrix_rank(whole, rtol=1e-9) <= numbers.shape[1]
    if not numbers.numel():
        assert not whole.any()
        return
    shown = jacobian(lambda c: degradation.from_coordinates(c, z), numbers)
    told = jacobian(lambda x: degradation.coordinates(degradation(x, end, z)), x)
    torch.testing.assert_close(shown @ told, whole, rtol=0, atol=1e-6)


@every
def test_z_is_drawn_from_its_generator_alone(case):
    degradation = make(case)
    z, again, other = draw(degradation, 3), draw(degradation, 3), draw(degradation, 3, seed=1)
    if z is None:
        assert again is None and other is None
        return
    assert z.dtype == torch.float32 and z.shape[0] == 3 and z.shape[2:] == SHAPE[1:]
    assert torch.equal(z, again) and not torch.equal(z, other) and not torch.equal(z[0], z[1])
    x, t = pictures(3), full(3, degradation.steps)
    assert not torch.equal(degradation(x, t, z), degradation(x, t, other))


@registered
def test_forward_compiles_into_one_graph(case):
    """No Python that depends on the data; the compiled function gives the same bits."""
    degradation = make(case)
    t = torch.arange(degradation.steps + 1)
    x, z = pictures(len(t)), draw(degradation, len(t))
    torch._dynamo.reset()
    compiled = torch.compile(degradation, backend="eager", fullgraph=True)
    assert same_bits(compiled(x, t, z), degradation(x, t, z))


@registered
def test_everything_that_forward_uses_moves_with_the_degradation(case):
    """On the meta device nothing is computed, but tensors left behind on the CPU are found out."""
    degradation = make(case)
    x, z, t = pictures(2).to("meta"), draw(degradation, 2), full(2, degradation.steps).to("meta")
    z = None if z is None else z.to("meta")
    degradation.to("meta")
    numbers = degradation.coordinates(degradation(x, t, z))
    x_T = degradation.from_coordinates(numbers, z)
    assert x_T.device.type == numbers.device.type == "meta" and x_T.shape == x.shape


@every
def test_most_degradations_need_no_state_and_all_take_theirs_back(case):
    degradation, again = make(case), make(case)
    state = degradation.state()
    again.load_state(state)
    assert (state == {}) == (case[0] != "morph")
    for key, stored in again.state().items():
        assert torch.equal(stored, state[key])


@shapes
@lines
def test_lines_are_rebuilt_from_their_coordinates_to_the_bit(case, shape):
    degradation = make(case, shape)
    x_T = degradation(torch.rand(4, *shape) * 2 - 1, full(4, degradation.steps))
    coordinates = degradation.coordinates(x_T)
    assert coordinates.shape == (4, shape[0] * degradation.count)
    assert torch.equal(degradation.from_coordinates(coordinates), x_T)


@lines
def test_nothing_but_the_coordinates_is_left_of_an_image(case):
    """Two images with the same line means have the same x_T to the bit."""
    degradation, x = make(case), pictures(8)
    other = x.flip(3 if case[0] == "row" else 2)
    end = full(8, degradation.steps)
    assert torch.equal(degradation.coordinates(x), degradation.coordinates(other))
    assert torch.equal(degradation(x, end), degradation(other, end))
    assert not torch.equal(degradation(x, end - 1), degradation(other, end - 1))


@shapes
@lines
def test_lines_are_nested_to_the_bit(case, shape):
    """D_t(D_s(x)) = D_max(s, t)(x)."""
    degradation, x = make(case, shape), torch.rand(1, *shape) * 2 - 1
    s, t = torch.cartesian_prod(*[torch.arange(degradation.steps + 1)] * 2).T
    x = x.expand(len(s), *shape).contiguous()
    assert torch.equal(degradation(degradation(x, s), t), degradation(x, torch.maximum(s, t)))


def slow_lines(x: torch.Tensor, t: int, axis: str, steps: int, group: int, order: list[int]) -> torch.Tensor:
    """Average line groups one at a time, as one would by hand.  (C, H, W) float64 -> (C, H, W)"""
    out = x.clone()
    for member in order[: round(t * len(order) / steps)]:
        for channel in range(x.shape[0]):
            rows = slice(member * group, (member + 1) * group)
            index = (channel, rows) if axis == "row" else (channel, slice(None), rows)
            values = x[index].flatten().tolist()
            out[index] = round(sum(values) / len(values) * 4096) / 4096
    return out


@pytest.mark.parametrize("steps", [None, 5, 50])
@pytest.mark.parametrize("group", [1, 3, 4])
@pytest.mark.parametrize("axis", ["row", "col"])
@shapes
def test_lines_equal_a_slow_loop_even_where_groups_do_not_fit(shape, axis, group, steps):
    degradation = make((axis, {"group": group}), shape, steps)
    x = (torch.rand(1, *shape) * 2 - 1).double()
    order = line_order(degradation.count, "random", 0).tolist()
    for t in range(degradation.steps + 1):
        expected = slow_lines(x[0], t, axis, degradation.steps, group, order)
        torch.testing.assert_close(degradation(x, full(1, t))[0], expected, rtol=0, atol=1e-12)


@shapes
@scales
def test_scale_multiplies_by_the_schedule(case, shape):
    degradation, x = make(case, shape), pictures(2, shape).double()
    alpha, _ = noise_schedule(case[1]["schedule"], degradation.steps)
    for t in range(degradation.steps + 1):
        expected = torch.tensor([[float(alpha[t]) * v for v in image.flatten().tolist()] for image in x])
        torch.testing.assert_close(degradation(x, full(2, t)).flatten(1), expected.double(), rtol=1e-6, atol=1e-7)
        assert degradation.alpha(full(2, t)).tolist() == [float(alpha[t])] * 2
    assert degradation.coordinates(x).shape == (2, 0)


def test_the_gradient_of_the_hot_process_is_right():
    degradation, x = make(SCALES[1], (1, 3, 3)), torch.rand(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: degradation(x, torch.tensor([3, 17])), x)


@lines
def test_the_gradient_of_averaging_is_the_averaged_gradient(case):
    """Averaging is an orthogonal projection, so its own transpose; the rounding lets gradients through."""
    degradation = make(case)
    x, weight = (torch.rand(4, *SHAPE, dtype=torch.float64) * 2 - 1).requires_grad_(), pictures(4).double()
    t = torch.linspace(0, degradation.steps, 4).long()
    (degradation(x, t) * weight).sum().backward()
    torch.testing.assert_close(x.grad, degradation(weight, t), rtol=0, atol=QUANTUM)


@pytest.mark.parametrize("count", [1, 2, 7, 28])
def test_line_orders_visit_every_group_once(count):
    assert line_order(count, "centre-out", 0).tolist() == sorted(
        range(count), key=lambda group: abs(group - (count - 1) / 2)
    )
    assert line_order(count, "edges-in", 0).tolist() == sorted(
        range(count), key=lambda group: -abs(group - (count - 1) / 2)
    )
    assert sorted(line_order(count, "random", 3).tolist()) == list(range(count))


def test_random_line_orders_follow_their_seed():
    assert torch.equal(line_order(28, "random", 1), line_order(28, "random", 1))
    assert not torch.equal(line_order(28, "random", 1), line_order(28, "random", 2))


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("colour", {}, "colour"),
        ("row", {"grup": 4}, "grup"),
        ("scale", {"order": "random"}, "order"),
        ("row", {"order": "sideways"}, "sideways"),
        ("row", {"group": 0}, "0"),
        ("col", {"group": 29}, "29"),
        ("row", {"steps": 0}, "0"),
        ("scale", {"steps": -1}, "-1"),
        ("scale", {"schedule": "sigmoid"}, "sigmoid"),
        ("eraser", {"radius": 0}, "0"),
        ("eraser", {"radius": 2.5}, "2.5"),
        ("eraser", {"softness": 0.0}, "0.0"),
        ("eraser", {"noise": -0.1}, "-0.1"),
        ("zoom_nearest", {"last": 28}, "28"),
        ("zoom_bilinear", {"last": 0}, "0"),
        ("pixelate", {"cells": 29}, "29"),
        ("blur", {"largest": 0.2}, "0.2"),
        ("blur", {"keep": 0}, "0"),
        ("blur", {"keep": 29}, "29"),
        ("fade", {"softness": -1.0}, "-1.0"),
        ("snow", {"flake": 0.0}, "0.0"),
        ("snow", {"ramp": 0.0}, "0.0"),
        ("snow", {"shade": 2.5}, "2.5"),
        ("morph", {"data": "cats"}, "cats"),
        *[(case[0], {"steps": 0}, "steps=0") for case in REGISTERED],
    ],
)
def test_bad_names_and_options_are_refused_by_name(name, options, named):
    with pytest.raises(ThawError, match=named):
        degradations.build(name, SHAPE, **options)


def test_a_bad_axis_is_refused_by_name():
    with pytest.raises(ThawError, match="diagonal"):
        degradations.Lines(SHAPE, "diagonal")


@registered
def test_tables_stay_out_of_the_weights(case):
    assert make(case).state_dict() == {}


def test_a_registered_degradation_is_known_by_name_until_the_test_ends():
    @register("dim")
    class Dim(Degradation):
        def __init__(self, shape, steps=8, floor=-1.0):
            super().__init__(shape, steps)
            self.floor = floor

        def forward(self, x0, t, z=None):
            share = (t / self.steps).to(x0.dtype)[:, None, None, None]
            return (1 - share) * x0 + share * self.floor

    assert "dim" in degradations.names()
    dim, x = degradations.build("dim", SHAPE, floor=0.5), pictures(2)
    assert torch.equal(dim(x, full(2, 0)), x) and (dim(x, full(2, 8)) == 0.5).all()
    assert torch.equal(dim.from_coordinates(dim.coordinates(x)), x)
    assert dim.draw_z(2, generator(0)) is None and (dim.alpha(full(2, 3)) == 1).all()
    with pytest.raises(ThawError, match="floor.*'ceiling'"):
        degradations.build("dim", SHAPE, ceiling=1)


@pytest.mark.parametrize("name", ["a/b", "../x", "", "two words", ".hidden"])
def test_a_name_that_no_file_can_bear_is_refused(name):
    with pytest.raises(ThawError, match="names files; register it by letters"):
        register(name)


def test_a_degradation_of_ours_keeps_its_name_and_one_of_the_users_is_replaced_by_its_next_version():
    mine, next_one = type("Mine", (Degradation,), {}), type("Mine", (Degradation,), {})
    before = degradations.registered()["row"]
    with pytest.raises(ThawError, match="row is a degradation of Thaw's own; register yours by another name"):
        register("row")(mine)
    assert degradations.registered()["row"] is before
    assert register("mine")(mine) is mine and register("mine")(next_one) is next_one
    assert degradations.registered()["mine"] is next_one
    with pytest.raises(ThawError, match="register takes a name"):
        register(mine)


class NoSteps(Degradation):
    def __init__(self, shape):
        self.shape = shape


class Stumbling(Degradation):
    def __init__(self, shape):
        super().__init__(shape, "many")


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (NoSteps, "is no thaw.Degradation of so many steps; call super"),
        (lambda shape: object(), "is no thaw.Degradation of so many steps"),
        (Stumbling, r"cannot be made for images of \(1, 28, 28\): TypeError"),
        (lambda x0, t: x0, "cannot be made for images of .*missing 1 required positional argument"),
    ],
    ids=["no steps", "anything", "stumbling", "a map"],
)
def test_what_cannot_be_made_is_said(factory, said):
    register("odd")(factory)
    with pytest.raises(ThawError, match=f"odd {said}"):
        degradations.build("odd", SHAPE)


def test_a_degradation_without_forward_says_what_is_missing():
    with pytest.raises(NotImplementedError, match="forward"):
        Degradation(SHAPE, 3)(pictures(1), full(1, 1))
