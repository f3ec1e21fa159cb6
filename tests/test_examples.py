"""The examples of one's own degradation: each file keeps the laws, and is budgeted, trained and drawn from."""

import pytest
import torch
from cases import ROOT
from runs import configure, run

from thaw import play
from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.cli.main import main
from thaw.degradations import Softened, build, check_laws
from thaw.experiment.own import register_from
from thaw.store.weights import load_model

EXAMPLES = {path.stem: path for path in (ROOT / "examples").glob("*.py") if "@thaw.register" in path.read_text()}
WAYS = {"warm": {"tau": 1.0}, "cold 1": {"sampler": "algorithm1"}, "cold 2": {"sampler": "algorithm2"}}
each = pytest.mark.parametrize("name", sorted(EXAMPLES))


@each
def test_an_example_keeps_the_laws_at_every_size(name, digits):
    assert register_from(EXAMPLES[name]) == name
    for shape in ((1, 28, 28), (3, 32, 32), (2, 20, 31)):
        for steps in (1, 3, 28):
            check_laws(build(name, shape, steps))
    check_laws(build(name, digits.shape), digits.pixels(slice(8)))
    check_laws(Softened(build(name, digits.shape), 2), digits.pixels(slice(8)))


@each
def test_an_example_is_budgeted_trained_and_drawn_from(name, tmp_path, capsys):
    assert main(["budget", str(EXAMPLES[name]), "--data", "digits", "-n", "40"]) == 0
    told = capsys.readouterr().out
    assert f"{name}: T = 28" in told and "lost with a perfect network" in told and "advice: soften" in told
    config = configure(study="custom", degradation=name, steps=None, tau=(0.0, 1.0), eta=1.0, epochs=1)
    model = run(config, tmp_path / "run")[-1].model
    assert model.terminal.rank <= 20  # what is left is little, so that it can be drawn
    drawn = {way: model.sample(model.labels(3), **way_of) for way, way_of in WAYS.items()}
    assert all(x.shape == (3, 1, 28, 28) and x.isfinite().all() and x.abs().max() <= 1 for x in drawn.values())
    again = load_model(tmp_path / "run")
    assert torch.equal(again.sample(again.labels(3), **WAYS["warm"]), drawn["warm"])


def end_of(name, x0, seed=0, **options):
    """Return D_T of images, their coordinates, and the degradation."""
    degradation = build(register_from(EXAMPLES[name]), x0.shape[1:], **options)
    z = degradation.draw_z(len(x0), generator(seed, "z"))
    x_T = degradation(x0, torch.full((len(x0),), degradation.steps), z)
    return x_T, degradation.coordinates(x_T), degradation


def test_a_curtain_hides_all_and_its_hem_is_gradual(digits):
    x0 = digits.pixels(slice(4))
    for hem in (0.0, 3.5):
        x_T, _, curtain = end_of("curtain", x0, hem=hem)
        assert not x_T.any() and (curtain.kept.diff(dim=0) <= 0).all()  # it only comes down
    partly = (curtain.kept > 0) & (curtain.kept < 1)
    assert partly.sum(dim=1).max() in (3, 4)
    with pytest.raises(ThawError, match="hem of the curtain must not be negative, got -1"):
        end_of("curtain", x0, hem=-1)


def test_a_swirl_turns_both_ways_and_leaves_the_means_of_rings(digits):
    x0 = digits.pixels(slice(8))
    x_T, _, swirl = end_of("swirl", x0)
    assert torch.allclose(x_T.mean(dim=(1, 2, 3)), x0.mean(dim=(1, 2, 3)), atol=1e-5)
    assert torch.allclose(x_T, x_T.flip(3), atol=1e-5) and torch.allclose(x_T, x_T.mT, atol=1e-5)
    assert set(swirl.draw_z(50, generator(0, "z")).tolist()) == {-1.0, 1.0}
    t, left = torch.full((8,), 9), torch.full((8,), -1.0)
    mirrored = swirl(x0.flip(3), t, -left).flip(3)
    assert torch.allclose(swirl(x0, t, left), mirrored, atol=1e-5)
    assert not torch.allclose(swirl(x0, t, left), swirl(x0, t, -left), atol=0.1)


def test_jpeg_ends_with_blocks_of_three_greys_and_draws_no_others(digits):
    x0 = digits.pixels(slice(8))
    x_T, coordinates, jpeg = end_of("jpeg", x0)
    assert set(coordinates.unique().tolist()) <= {-1.0, 0.0, 1.0} and coordinates.shape == (8, 16)
    blocks = x_T.unfold(2, 7, 7).unfold(3, 7, 7).flatten(-2)
    assert torch.allclose(blocks, coordinates.view(8, 1, 4, 4, 1).expand_as(blocks), atol=1e-6)
    between = 3 * torch.rand(8, 16, generator=generator(0, "between")) - 1.5
    assert torch.equal(jpeg.coordinates(jpeg.from_coordinates(between)), between.round().clamp(-1, 1))
    errors = [float((jpeg(x0, torch.full((8,), t)) - x0).square().mean()) for t in (1, 4, 10, 20, 28)]
    assert errors == sorted(errors) and errors[0] < 1e-3
    with pytest.raises(ThawError, match="a block can have 2 to 28 lines, got 1"):
        end_of("jpeg", x0, block=1)


def test_an_example_has_its_picture(tmp_path):
    for name, path in EXAMPLES.items():
        assert register_from(path) == name and play.destroying(name, ROOT / "pretrained").width > 500
