"""Laws of the error budget: its parts add up, what is exact loses nothing, and its advice loses less."""

import pytest
import torch

from thaw.base.seeding import generator
from thaw.degradations import Degradation, Softened, build
from thaw.sampling import Sampling
from thaw.scoring.budget import Oracle, error_budget, frechet_share, loss_of
from thaw.terminal import Terminal, fit_terminal

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def images():
    smooth = torch.randn(600, 1, 3, 3, generator=generator(0, "smooth"))
    return torch.nn.functional.interpolate(smooth, size=8, mode="bilinear").clamp(-1, 1)


@pytest.fixture(scope="module")
def budget(images):
    oracle = Oracle(build("mask", SHAPE), images)
    return error_budget(oracle, Sampling(steps=7, eta=1.0), terminal=Terminal.point(torch.zeros(0)))


def test_the_parts_add_up_to_what_is_lost(budget):
    assert budget.steps + budget.jumps + budget.temperature == pytest.approx(budget.total.distance)
    assert budget.start == 0  # a mask leaves nothing to start from


def test_the_advice_loses_less_and_is_one_of_what_was_tried(budget):
    assert budget.tried[budget.advice] == budget.advised
    assert budget.advised.distance < budget.total.distance and budget.advised.kept > budget.total.kept
    assert "advice: soften" in str(budget) and "% of the variance kept" in str(budget)


def test_the_hot_process_is_advised_nothing_but_steps_and_fresh_noise(images):
    """Its noise is bound to its signal: another temperature, schedule or softening would be another process."""
    oracle = Oracle(build("scale", SHAPE, steps=100, schedule="cosine"), images)
    budget = error_budget(oracle, Sampling(steps=5, eta=0.5), "cosine")
    assert {settings[:3] for settings in budget.tried} == {(1, 1.0, "cosine")} and budget.eta in (0.0, 0.5, 1.0)
    assert budget.advised.distance <= budget.total.distance and budget.tried[budget.advice] == budget.advised
    assert f"advice: eta {budget.eta:g}, {budget.advice[-1]} steps: " in str(budget)
    lost = {eta: oracle.loss(Sampling(steps=28, eta=eta), "cosine").distance for eta in (0.0, 0.5, 1.0)}
    assert budget.eta == min(lost, key=lost.get)


def test_samples_of_the_data_lose_nothing(images):
    oracle = Oracle(build("mask", SHAPE), images)
    one, other = (oracle.data.numbers(oracle.data.draw(4000, generator(seed, "draw"))) for seed in (0, 1))
    loss = loss_of(one, other, oracle.data)
    assert loss.distance == pytest.approx(0, abs=0.01) and loss.kept == pytest.approx(1, abs=0.05)
    assert frechet_share(0 * one, oracle.data) == pytest.approx(1)  # all alike: the whole variance is lost


def test_softening_and_steps_save_what_jumps_and_few_steps_cost(images):
    oracle, all_steps = Oracle(build("mask", SHAPE), images), Sampling(eta=1.0)
    once, soft = oracle.loss(all_steps), oracle.loss(all_steps, soften=8)
    assert soft.distance < 0.5 * once.distance
    assert oracle.loss(Sampling(eta=1.0, steps=3)).distance > once.distance


def test_a_degradation_that_is_not_affine_is_measured_on_images(images):
    class Folded(Degradation):
        def forward(self, x0, t, z=None):
            share = (t / self.steps)[:, None, None, None]
            return (1 - share) * x0 + share * (2 * x0.abs() - 1)

    oracle = Oracle(Folded(SHAPE, 4), images)
    assert not oracle.affine
    assert 0 < oracle.loss(Sampling(eta=1.0)).kept < 1.2


def test_one_with_randomness_shares_its_z(images):
    oracle = Oracle(build("snow", SHAPE), images)
    assert len(oracle.fixed) == 2 and not torch.equal(*oracle.fixed)
    assert oracle.loss(Sampling(eta=1.0)).distance < oracle.loss(Sampling(eta=1.0, steps=4)).distance


def test_the_start_costs_what_the_terminal_misses(images):
    degradation = build("row", SHAPE)
    oracle = Oracle(degradation, images)
    fitted = fit_terminal(degradation, images, torch.zeros(len(images), dtype=torch.int64), components=3)
    wrong = Terminal.point(torch.full((8,), 0.9))
    assert oracle.start(fitted) < 0.1 * oracle.start(wrong)


def test_a_softened_family_holds_the_original_to_the_bit(images):
    """And draws, coordinates, state and scale are the original's."""
    for name in ("row", "snow", "scale", "morph"):
        inner = build(name, SHAPE, steps=5, **({"data": "digits"} if name == "morph" else {}))
        soft = Softened(inner, 3)
        x0, z = images[:6], inner.draw_z(6, generator(0, "z"))
        for k in range(6):
            here, there = torch.full((6,), k), torch.full((6,), 3 * k)
            assert torch.equal(soft(x0, there, z), inner(x0, here, z))
            assert torch.equal(soft.alpha(there), inner.alpha(here))
        between = soft(x0, torch.full((6,), 4), z)
        expected = torch.lerp(inner(x0, torch.full((6,), 1), z), inner(x0, torch.full((6,), 2), z), 1 / 3)
        torch.testing.assert_close(between, expected)
        last = soft(x0, torch.full((6,), 15), z)
        assert torch.equal(soft.coordinates(last), inner.coordinates(last))
        mixed = soft(x0, torch.tensor([0, 4, 7, 9, 14, 15]), z)  # each image its own step
        assert torch.equal(mixed[1:2], soft(x0[1:2], torch.tensor([4]), None if z is None else z[1:2]))
