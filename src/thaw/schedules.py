"""Noise schedules: how much signal (alpha) and how much noise (sigma) is left at step t = 0..T."""

import math

import torch
from torch import Tensor

from thaw.base.errors import ThawError

SCHEDULES = ("linear", "cosine", "flow")


def noise_schedule(name: str, steps: int) -> tuple[Tensor, Tensor]:
    """Return the tables (alpha, sigma), each (T+1,) float64, with alpha_0 = 1 and sigma_0 = 0.

    - `linear`: the betas of DDPM (Ho et al. 2020, section 4), 1e-4 to 0.02 at T = 1000, scaled by
      1000 / T elsewhere so that any number of steps ends in noise; alpha^2 + sigma^2 = 1.
    - `cosine`: alpha_bar = cos^2 (Nichol & Dhariwal 2021, equation 17), betas cut at 0.999.
    - `flow`: the straight line alpha = 1 - t/T, sigma = t/T (Lipman et al. 2022). Its sigma is also
      the default of the warm processes, where noise grows in proportion to t.

    Raises:
        ThawError: for an unknown name, or fewer than one step.
    """
    if steps < 1:
        raise ThawError(f"a schedule needs at least one step, got {steps}")
    if name == "flow":
        sigma = torch.arange(steps + 1, dtype=torch.float64) / steps
        return 1.0 - sigma, sigma
    if name == "linear":
        scale = 1000.0 / steps
        betas = torch.linspace(1e-4 * scale, 0.02 * scale, steps, dtype=torch.float64).clamp(max=0.999)
    elif name == "cosine":
        time = torch.arange(steps + 1, dtype=torch.float64) / steps
        bar = torch.cos((time + 0.008) / 1.008 * math.pi / 2).square()
        betas = (1.0 - bar[1:] / bar[:-1]).clamp(max=0.999)
    else:
        raise ThawError(f"unknown schedule {name!r}; choose one of {', '.join(SCHEDULES)}")
    alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1.0 - betas, dim=0)])
    return alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()
