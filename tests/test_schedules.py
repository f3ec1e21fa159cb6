"""Noise schedules against their papers."""

import math

import pytest
import torch

from thaw.base.errors import ThawError
from thaw.schedules import SCHEDULES, noise_schedule

LENGTHS = [1, 2, 10, 100, 1000, 1500]


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_clean_image_has_all_signal_and_no_noise(name, steps):
    alpha, sigma = noise_schedule(name, steps)
    assert alpha.shape == sigma.shape == (steps + 1,)
    assert alpha.dtype == sigma.dtype == torch.float64
    assert alpha[0] == 1 and sigma[0] == 0


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_grows_and_signal_fades_at_every_step(name, steps):
    alpha, sigma = noise_schedule(name, steps)
    rising = sigma[: steps // 2 + 1] if name == "bridge" else sigma  # whose end is without noise
    assert (rising.diff() > 0).all() and (alpha.diff() < 0).all()
    assert alpha.min() >= 0 and sigma.max() <= 1


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("name", ["linear", "cosine", "sqrt"])
def test_diffusion_schedules_preserve_the_variance(name, steps):
    alpha, sigma = noise_schedule(name, steps)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha), rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", LENGTHS)
def test_the_flow_is_the_straight_line(steps):
    alpha, sigma = noise_schedule("flow", steps)
    torch.testing.assert_close(alpha + sigma, torch.ones_like(alpha), rtol=0, atol=1e-15)
    assert alpha[-1] == 0 and sigma[-1] == 1
    assert all(sigma[t] == t / steps for t in range(steps + 1))


def test_linear_at_a_thousand_steps_has_the_classic_betas():
    """Ho et al. 2020, section 4: betas from 1e-4 to 0.02."""
    alpha, _ = noise_schedule("linear", 1000)
    product, expected = 1.0, [1.0]
    for i in range(1000):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * i / 999)
        expected.append(math.sqrt(product))
    torch.testing.assert_close(alpha, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=0)


def test_cosine_is_the_squared_cosine_until_its_last_step():
    """Nichol & Dhariwal 2021, equation 17, with s = 0.008 and betas cut at 0.999."""
    alpha, _ = noise_schedule("cosine", 1000)
    bar = [math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(1001)]
    expected = torch.tensor([value / bar[0] for value in bar], dtype=torch.float64)
    torch.testing.assert_close(alpha[:1000].square(), expected[:1000], rtol=1e-9, atol=0)
    torch.testing.assert_close(alpha[1000], alpha[999] * math.sqrt(0.001))


@pytest.mark.parametrize("steps", [100, 1000, 1500])
@pytest.mark.parametrize("name", SCHEDULES)
def test_almost_no_signal_is_left_at_the_end_for_any_number_of_steps(name, steps):
    alpha, sigma = noise_schedule(name, steps)
    assert alpha[-1] < 0.01 and (sigma[-1] > 0.9999 or name == "bridge")


def test_unknown_names_and_empty_schedules_are_refused():
    with pytest.raises(ThawError, match="sigmoid.*linear, cosine, flow"):
        noise_schedule("sigmoid", 10)
    for name in SCHEDULES:
        with pytest.raises(ThawError, match="got 0"):
            noise_schedule(name, 0)


@pytest.mark.parametrize("steps", [2, 10, 1000])
def test_a_bridge_is_clean_at_both_ends(steps):
    """Its noise is symmetric, and largest in the middle: sqrt(1/2 (1 - 1/2))."""
    sigma = noise_schedule("bridge", steps)[1]
    assert sigma[0] == sigma[-1] == 0 and sigma[steps // 2] == 0.5
    torch.testing.assert_close(sigma, sigma.flip(0))
