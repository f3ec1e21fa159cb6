"""Noise schedules: how much signal (alpha) and how much noise (sigma) is left at step t = 0..T."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from thaw.base import ThawError, pick

Tables = tuple[Tensor, Tensor]  # alpha and sigma, each (T+1,) float64


def _time(steps: int) -> Tensor:
    """Return t/T for t = 0..T.  (T+1,) float64"""
    return torch.arange(steps + 1, dtype=torch.float64) / steps


def _from_betas(betas: Tensor) -> Tables:
    """Return the tables of betas (T,), which are cut at 0.999; alpha^2 + sigma^2 = 1."""
    kept = torch.cumprod(1.0 - betas.clamp(max=0.999), dim=0)
    alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), kept])
    return alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()


def linear(steps: int) -> Tables:
    """The betas of DDPM (Ho et al. 2020, section 4), 1e-4 to 0.02 at T = 1000, scaled by 1000 / T elsewhere."""
    scale = 1000.0 / steps
    return _from_betas(torch.linspace(1e-4 * scale, 0.02 * scale, steps, dtype=torch.float64))


def cosine(steps: int) -> Tables:
    """alpha_bar = cos^2 (Nichol & Dhariwal 2021, equation 17)."""
    bar = torch.cos((_time(steps) + 0.008) / 1.008 * math.pi / 2).square()
    return _from_betas(1.0 - bar[1:] / bar[:-1])


def flow(steps: int) -> Tables:
    """The straight line alpha = 1 - t/T, sigma = t/T (Lipman et al. 2022): the default of the warm processes."""
    return 1.0 - _time(steps), _time(steps)


def sqrt(steps: int) -> Tables:
    """alpha = sqrt(1 - t/T), sigma = sqrt(t/T): much noise from early on."""
    return (1.0 - _time(steps)).sqrt(), _time(steps).sqrt()


def bridge(steps: int) -> Tables:
    """alpha = 1 - t/T, sigma = sqrt(t/T (1 - t/T)): a Brownian bridge, without noise at T (Liu et al. 2023, I2SB)."""
    return 1.0 - _time(steps), (_time(steps) * (1.0 - _time(steps))).sqrt()


# Add a schedule: one function and its name here.
SCHEDULES: dict[str, Callable[[int], Tables]] = {
    "linear": linear, "cosine": cosine, "flow": flow, "sqrt": sqrt, "bridge": bridge
}  # fmt: skip


def noise_schedule(name: str, steps: int) -> Tables:
    """Return the tables (alpha, sigma) of a schedule, each (T+1,) float64, with alpha_0 = 1 and sigma_0 = 0.

    >>> noise_schedule("flow", 2)[1].tolist()
    [0.0, 0.5, 1.0]

    Raises:
        ThawError: for an unknown name, or fewer than one step.
    """
    table = pick(name, SCHEDULES, "schedule")
    if steps < 1:
        raise ThawError(f"a schedule needs at least one step, got {steps}")
    return table(steps)
