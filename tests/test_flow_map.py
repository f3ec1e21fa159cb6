"""Laws of a flow map: a jump is a step of the sampler, it begins as its teacher, and learns the jumps that are used."""

import pytest
import torch
from cases import SHAPE, full, make, make_process, name_of, pictures
from conftest import randomise

from thaw import networks
from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.experiment.build import build_model, build_process
from thaw.experiment.config import make_config
from thaw.experiment.variants import fast
from thaw.flow_map import FlowMap, Paths
from thaw.model import Model
from thaw.sampling import final, reverse, time_steps
from thaw.schedules import noise_schedule
from thaw.store.onnx import export_onnx
from thaw.terminal import Terminal

KINDS = [("scale", {}), ("row", {"group": 4}), ("blur", {}), ("snow", {}), ("eraser", {"radius": 2})]
WIDE = {"widths": (8, 16), "flow_map": (1.0, 2.0)}


def flow_map(case: tuple[str, dict], steps: int | None = None, **options: object) -> FlowMap:
    degradation = make(case, SHAPE, steps)
    sigma = noise_schedule(case[1].get("schedule", "flow"), degradation.steps)[1]
    return FlowMap(
        degradation, sigma, "x0", (1.0, 1.0) if case[0] == "scale" else (0.0, 2.0), flow_map=(1.0, 2.0), **options
    )


@pytest.mark.parametrize(
    ("case", "tau"), [(KINDS[0], 1.0), *((case, tau) for case in KINDS[1:] for tau in (0.0, 1.0, 1.5))], ids=name_of
)
def test_a_jump_is_a_step_of_the_sampler(case, tau):
    """With F in place of x0_hat, the jump is what `reverse` does with eta = 0."""
    process = flow_map(case)
    x0, x_t, z = pictures(3), 2 * pictures(3, seed=1), process.degradation.draw_z(3, generator(0, "z"))
    visited = time_steps(process.steps, 2)
    states = list(reverse(process, lambda x, t: x0, x_t, tau=tau, eta=0.0, steps=2, z=z))
    there = process.jump(x0, x_t, full(3, visited[0]), full(3, visited[1]), torch.full((3,), tau), z)
    torch.testing.assert_close(there, states[1].x_t)


@pytest.mark.parametrize("case", KINDS, ids=name_of)
def test_the_loss_is_zero_where_the_jump_is_right(case):
    """Trajectories of one x0, and a network that tells it, whatever jump is asked for."""
    process = flow_map(case)
    n, tau = 6, 1.0
    x0, noise, z = pictures(n), pictures(n, seed=1), process.degradation.draw_z(n, generator(0, "z"))
    walk = [process(x0, full(n, t), torch.full((n,), tau), noise, z) for t in process.grid]
    paths = Paths(torch.stack(walk, dim=1), torch.full((n,), tau), torch.full((n,), 1.5), z)
    draws = process.draw(n, generator(0, "jumps"))
    assert process.loss(lambda *told, jump: x0, paths, full(n, 0), draws) < 1e-6
    assert process.loss(lambda *told, jump: -x0, paths, full(n, 0), draws) > 1e-3


def test_what_is_drawn_is_what_is_sampled_with():
    """Every jump of one to four steps is trained, the longest most, and every other one too."""
    process = flow_map(("scale", {}), 1000)
    drawn = process.draw(20_000, generator(0, "jumps"))
    assert bool((drawn.leaves < drawn.reaches).all()) and int(drawn.reaches.max()) == len(process.grid) - 1
    found = {(process.grid[i], process.grid[j]) for i, j in zip(*(part.tolist() for part in drawn), strict=True)}
    assert len(found) == 12 * 13 // 2
    for steps in (1, 2, 3, 4, 6, 12):
        visited = time_steps(1000, steps)
        assert found.issuperset(zip(visited, visited[1:], strict=False))
    assert 0.25 < ((drawn.leaves == 0) & (drawn.reaches == 12)).double().mean() < 0.35
    assert flow_map(("row", {"group": 4})).grid == [7, 6, 5, 4, 3, 2, 1, 0]  # few steps: all of them


def test_the_network_begins_as_its_teacher_and_then_hears_two_numbers_more():
    torch.manual_seed(1)
    plain = randomise(networks.build("unet", SHAPE, 10, widths=(8, 16))).eval()
    wide = networks.build("unet", SHAPE, 10, **WIDE).eval()
    left = wide.load_state_dict(plain.state_dict(), strict=False)
    assert left.missing_keys == ["condition.jump.weight"] and not left.unexpected_keys
    told = pictures(4), torch.full((4,), 0.7), torch.ones(4), torch.arange(4)
    extra = torch.full((4,), 0.3), torch.full((4,), 0.2)
    assert torch.equal(wide(*told, jump=extra), plain(*told))
    randomise(wide)
    first = wide(*told, jump=extra)
    for index in (0, 1):
        other = [value + 0.5 if index == place else value for place, value in enumerate(extra)]
        assert not torch.allclose(wide(*told, jump=other), first)


def make_fast(case: str = "scale", **settings: object) -> Model:
    """Return a flow map with random weights."""
    hot = case == "scale"
    common = {"data": "digits", "widths": (8, 16), "steps": 20 if hot else None, "sample_steps": 3, "guidance": 1.5}
    common |= {"study": "ddpm" if hot else "custom", "degradation": case, "tau": (1.0, 1.0) if hot else (0.0, 2.0)}
    config = fast(make_config(common), "teacher.pth", **settings)
    process = build_process(config, SHAPE)
    torch.manual_seed(0)
    network = randomise(networks.build("unet", SHAPE, 10, **config.network_options())).eval()
    return build_model(
        config,
        process,
        network,
        Terminal.point(
            torch.zeros(
                process.degradation.coordinates(
                    process.degradation(
                        pictures(1), full(1, process.steps), process.degradation.draw_z(1, generator(0, "z"))
                    )
                ).shape[1]
            )
        ),
        10,
    )


def test_one_evaluation_a_step_guidance_included():
    model = make_fast()
    calls = []
    model.network.register_forward_pre_hook(
        lambda network, told, more: calls.append([round(float(x[0]), 3) for x in (told[1], *more["jump"])]),
        with_kwargs=True,
    )
    for steps in (1, 2, 4):
        calls.clear()
        assert model.sample(model.labels(3), steps=steps, guidance=1.25).shape == (3, *SHAPE)
        assert len(calls) == steps == model.sampling.replace(steps=steps, guidance=1.25).evaluations(model.process)
    assert calls == [[1.0, 0.75, 0.25], [0.75, 0.5, 0.25], [0.5, 0.25, 0.25], [0.25, 0.0, 0.25]]
    assert model.sampling.eta == 0 and model.sampling.steps == 4
    assert not torch.equal(model.sample(model.labels(3), eta=1.0), model.sample(model.labels(3)))


def test_a_half_degraded_picture_is_restored_by_jumps_from_where_it_stands():
    model, calls = make_fast("row"), []
    model.network.register_forward_pre_hook(
        lambda network, told, more: calls.append([round(28 * float(x[0])) for x in (told[1], more["jump"][0])]),
        with_kwargs=True,
    )
    model.restore(pictures(2), 14, steps=2)
    assert calls == [[14, 7], [7, 0]]


def test_blends_and_inpainting_jump_too():
    model = make_fast()
    assert final(model.blend((3, 8), columns=3, steps=2)).shape == (3, *SHAPE)
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    mask[:, :14] = True
    pixels = pictures(2)
    assert torch.equal(model.inpaint(pixels, mask, model.labels(2))[:, :, :14], pixels[:, :, :14])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"guidance": 3.0}, "guidance 1 to 2, got 3"),
        ({"guidance": 1.5, "guidance_interval": (0.2, 0.8)}, "guidance_interval"),
        ({"order": 2}, "order must be 1, got 2"),
    ],
)
def test_what_it_was_not_trained_for_is_refused(settings, said):
    model = make_fast()
    with pytest.raises(ThawError, match=said):
        model.sample(model.labels(2), **settings)


def test_it_knows_no_x0_hat():
    model = make_fast()
    with pytest.raises(ThawError, match="teacher"):
        model.denoise(pictures(1), full(1, 3), model.labels(1))
    with pytest.raises(ThawError, match="export their teacher"):
        export_onnx(model, "network.onnx")


def test_noise_that_grows_on_the_way_back_has_no_flow_map():
    with pytest.raises(ThawError, match="another schedule"):
        process = make_process(("row", {}))
        FlowMap(process.degradation, noise_schedule("bridge", process.steps)[1], "x0", (0.0, 1.0), flow_map=(1.0, 2.0))
    with pytest.raises(ThawError, match="low <= high"):
        FlowMap(process.degradation, process.sigma, "x0", (0.0, 1.0), flow_map=(2.0, 1.0))


@pytest.mark.parametrize("wrong", [{"start_from": None}, {"network": "cnn"}])
def test_a_configuration_needs_a_teacher_and_a_unet(wrong):
    with pytest.raises(ThawError, match="flow_map needs start_from"):
        make_config({"start_from": "x.pth", "flow_map": (1.0, 2.0)} | wrong)
