"""The reverse process: one loop in which every sampler is a row of a table.

    x_s = D_s(x0_hat; z) + kappa (x_t - D_t(x0_hat; z)) + nu eps',    s < t

With noise only where D_t destroys, the last two terms are its parts there; see `Process.carried`.

The loop takes a callable `restore(x_t, t) -> x0_hat` and knows neither networks nor data.
"""

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from thaw.base import ThawError, pick
from thaw.process import Process

Restore = Callable[[Tensor, Tensor], Tensor]  # (x_t (B, C, H, W), t (B,) int64) -> x0_hat (B, C, H, W)


@dataclass(frozen=True)
class Sampler:
    """One row of the table of samplers: all that is read anywhere of how they differ.

    Attributes:
        title: what to call it.
        source: the paper.
        temperatures: "any"; "cold" for tau = 0 only; "noisy" for tau > 0 only.
        eta: the share of fresh noise where it is fixed; None where it is free, from 0 to 1.
        carries: what of x_t - D_t(x0_hat) goes on to x_s: "noise" (scaled to the noise level of s), "all", "nothing".
        many: whether it takes many steps; False for one step from T to 0.

    Raises:
        ThawError: for a row that no loop can follow.
    """

    title: str
    source: str
    temperatures: Literal["any", "cold", "noisy"] = "any"
    eta: float | None = None
    carries: Literal["noise", "all", "nothing"] = "noise"
    many: bool = True

    def __post_init__(self) -> None:
        pick(self.temperatures, ("any", "cold", "noisy"), "temperatures of a sampler")
        pick(self.carries, ("noise", "all", "nothing"), "carries of a sampler")
        if self.eta is not None and not 0 <= self.eta <= 1:
            raise ThawError(f"eta of a sampler must be in [0, 1], got {self.eta:g}")

    def temperatures_within(self, low: float, high: float) -> tuple[float, float] | None:
        """Return the part of a trained range of temperatures that suits it, None where nothing does."""
        if self.temperatures == "cold":
            return (0.0, 0.0) if low == 0 else None
        if self.temperatures == "noisy":
            return (max(low, min(0.05, high)), high) if high > 0 else None
        return low, high

    def restores_at(self, low: float, high: float) -> float | None:
        """Return the temperature at which it restores what it holds on to, within a trained range; None for no such.

        As hot as was trained, or draws would spread too little; one step draws nothing, and is as cold as was trained.
        """
        within = self.temperatures_within(low, high)
        return within and within[self.many]


# Add a sampler: one row here. Command line, panels, checks and configurations read the table.
SAMPLERS = {
    "warm": Sampler("warm", "Daras et al. 2022; eta 0 is deterministic, 1 ancestral"),
    "ddpm": Sampler("DDPM", "Ho et al. 2020, ancestral", "noisy", eta=1.0),
    "ddim": Sampler("DDIM", "Song et al. 2020, deterministic; Euler's method on a flow", "noisy", eta=0.0),
    "algorithm1": Sampler("Algorithm 1 (cold)", "Bansal et al. 2022, Algorithm 1", "cold", 0.0, "nothing"),
    "algorithm2": Sampler("Algorithm 2 (cold)", "Bansal et al. 2022, Algorithm 2", "cold", 0.0, "all"),
    "direct": Sampler("direct, one step", "one restoration, from T to 0", eta=0.0, carries="nothing", many=False),
}


@dataclass(frozen=True)
class Sampling:
    """How to draw: one sampler with its settings.

    Attributes:
        sampler: a name in `SAMPLERS`.
        tau: the temperature, 0 cold to 1.
        eta: the share of fresh noise, 0 deterministic to 1 ancestral, where the sampler leaves it free.
        steps: visited steps; None for all T.
        guidance: weight w of classifier-free guidance, 1 is off.
        guidance_interval: part of t/T in which guidance acts (Kynkäänniemi et al. 2024).
        order: 1, or 2 for a Heun-like corrector.
    """

    sampler: str = "warm"
    tau: float = 1.0
    eta: float = 0.0
    steps: int | None = None
    guidance: float = 1.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    order: int = 1

    def replace(self, **settings: Any) -> "Sampling":
        """Return these settings with some replaced; None leaves one as it is.

        A cold sampler is cold (tau = 0) unless told otherwise.

        >>> Sampling().replace(sampler="algorithm2").tau
        0.0
        """
        given = {name: value for name, value in settings.items() if value is not None}
        known = [field.name for field in dataclasses.fields(self)]
        for name in given:
            pick(name, known, "sampling setting")
        if "sampler" in given and pick(given["sampler"], SAMPLERS, "sampler").temperatures == "cold":
            given = {"tau": 0.0} | given
        return dataclasses.replace(self, **given)

    def walking(self) -> dict[str, Any]:
        """Return the settings that `reverse` takes, by name; guidance is the restorer's."""
        return {name: getattr(self, name) for name in ("sampler", "tau", "eta", "steps", "order")}

    def visited(self, process: Process, start: int | None = None) -> list[int]:
        """Return the steps that it visits, from `start` (T by default) down to 0.

        Raises:
            ThawError: for a start outside 1..T, or more steps than T.
        """
        T, steps = process.steps, self.steps
        start = T if start is None else start
        if not 1 <= start <= T:
            raise ThawError(f"start must be between 1 and T={T}, got {start}")
        if not SAMPLERS[self.sampler].many:
            return time_steps(start, 1)
        if steps is not None and steps > T:
            raise ThawError(f"sampling takes between 1 and T={T} steps, got {steps}")
        return time_steps(start, None if steps is None else min(steps, start))

    def evaluations(self, process: Process) -> int:
        """Return how many network evaluations an image takes; guidance costs a flow map none."""
        *before, _ = self.visited(process)
        restored = before + (before[1:] if self.order == 2 else [])
        guided = sum(guided_at(t, process.steps, self.guidance_interval) for t in restored)
        return len(restored) + (guided if self.guidance != 1 and not process.flow_map else 0)


class Step(NamedTuple):
    """One state of a trajectory; the last one has t = 0 and x0_hat equal to x_t."""

    t: int
    x_t: Tensor  # (B, C, H, W)
    x0_hat: Tensor  # (B, C, H, W)


def time_steps(total: int, count: int | None = None) -> list[int]:
    """Return the visited steps, from T down to 0, evenly spaced: `count` + 1 of them.

    Raises:
        ThawError: if `count` is not between 1 and T.
    """
    count = total if count is None else count
    if count not in range(1, total + 1):
        raise ThawError(f"sampling takes between 1 and T={total} steps, got {count}")
    count = int(count)
    return [round(total * i / count) for i in range(count, -1, -1)]


def coefficients(process: Process, sampler: str, t: int, s: int, tau: float, eta: float = 1.0) -> tuple[float, float]:
    """Return (kappa, nu) of the step from t to s.

    For noise levels a = tau sigma_s and b = tau sigma_t and the signal ratio r = alpha_t / alpha_s,
    nu = eta a sqrt(1 - (r a / b)^2) is eta times the posterior standard deviation (Song et al. 2020,
    equation 16, with r = 1 for degradations that do not scale the image) and kappa =
    sqrt(a^2 - nu^2) / b keeps the noise level at a. At tau = 0 there is no noise to divide by:
    kappa = 1 carries the restoration error along, which is Algorithm 2. Where r a > b, as on the first
    half of a bridge, x_t keeps its noise and what is missing is drawn, whatever eta: nu = sqrt(a^2 - b^2).
    """
    row = SAMPLERS[sampler]
    if row.carries == "nothing":
        return 0.0, 0.0
    before, after = tau * float(process.sigma[t]), tau * float(process.sigma[s])
    if row.carries == "all":
        return 1.0, 0.0
    if before == 0.0:
        return 1.0, after  # cold, or from the clean end of a bridge, whose noise is all drawn
    eta = eta if row.eta is None else row.eta
    alpha = process.degradation.alpha(torch.tensor([t, s], device=process.sigma.device)).tolist()
    share = alpha[0] / alpha[1] * after / before
    if share > 1.0:
        return 1.0, math.sqrt(max(0.0, after**2 - before**2))
    nu = eta * after * math.sqrt(1.0 - share**2)
    return math.sqrt(max(0.0, after**2 - nu**2)) / before, nu


def check_interval(interval: tuple[float, float]) -> None:
    """Raise a `ThawError` unless guidance can act there."""
    if not 0 <= interval[0] < interval[1] <= 1:
        raise ThawError(f"guidance_interval must satisfy 0 <= low < high <= 1, got {tuple(interval)}")


def guided_at(t: int, total: int, interval: tuple[float, float]) -> bool:
    """Return whether guidance acts at step t of T: where t/T lies in the interval, the ends included."""
    return interval[0] * total <= t <= interval[1] * total


def check_sampler(process: Process, sampler: str, tau: float, eta: float) -> None:
    """Raise a `ThawError` for an unknown sampler or one that does not fit the temperature."""
    row = pick(sampler, SAMPLERS, "sampler")
    low, high = process.tau
    if not low <= tau <= high:
        raise ThawError(f"this model was trained for temperatures {low:g} to {high:g}, got tau={tau:g}")
    if row.temperatures == "cold" and tau != 0:
        raise ThawError(f"{sampler} is a cold sampler: set tau=0, or use warm for tau={tau:g}")
    if row.temperatures == "noisy" and tau == 0:
        raise ThawError(f"{sampler} needs noise: set tau above 0, or use algorithm2 for a cold start")
    if not 0.0 <= eta <= 1.0:
        raise ThawError(f"eta must be in [0, 1], got {eta:g}")


def reverse(
    process: Process,
    restore: Restore,
    x_T: Tensor,
    *,
    sampler: str = "warm",
    tau: float = 1.0,
    eta: float = 1.0,
    steps: int | None = None,
    start: int | None = None,
    order: int = 1,
    z: Tensor | None = None,
    generator: torch.Generator | None = None,
    corrective: Callable[[int, int], float] | None = None,
) -> Iterator[Step]:
    """Walk from x_T back to x_0, yielding every state.

    Args:
        process: the forward process, on the device of `x_T`.
        restore: (x_t, t) -> x0_hat.
        x_T: fully degraded, noisy images (B, C, H, W).
        sampler: one of `SAMPLERS`.
        tau: the temperature that x_T was made with.
        eta: 0 deterministic to 1 ancestral, for `warm`.
        steps: number of steps; all T of them by default.
        start: the step that x_T stands at, T by default; smaller to restore a half-degraded image.
        order: 1, or 2 for a Heun-like corrector: each step is taken again with the mean of the
            restorations at both ends (two evaluations a step, one for the last).
        z: what the degradation keeps fixed along the trajectory.
        generator: CPU generator of the fresh noise; needed where nu > 0.
        corrective: (t, s) -> variance of noise that a step draws beyond nu^2, s above 0: for what a jump reveals.

    Yields:
        `Step(t, x_t, x0_hat)` for each visited t, and last `Step(0, x_0, x_0)`, clipped as the process says.
    """
    check_sampler(process, sampler, tau, eta)
    if order not in (1, 2):
        raise ThawError(f"order must be 1 (Euler) or 2 (Heun), got {order}")
    row, visited = SAMPLERS[sampler], Sampling(sampler, steps=steps).visited(process, start)
    x_t, degrade = x_T, process.degradation
    for t, s in zip(visited, visited[1:], strict=False):
        here, there = (torch.full((len(x_t),), step, device=x_t.device) for step in (t, s))
        kappa, nu = coefficients(process, sampler, t, s, tau, eta)
        if corrective is not None and s > 0:
            nu = math.sqrt(nu**2 + corrective(t, s))
        fresh = 0.0
        if nu > 0:
            fresh = torch.randn(x_t.shape, generator=generator, dtype=x_t.dtype).to(x_t.device)
            fresh = nu * process.shaped(fresh, there, z)
        x0_hat = restore(x_t, here)
        yield Step(t, x_t, x0_hat)

        def move(x0: Tensor, x_t: Tensor = x_t, here: Tensor = here, there: Tensor = there,
                 kappa: float = kappa, fresh: Tensor | float = fresh) -> Tensor:  # fmt: skip
            x_s = degrade(x0, there, z) + fresh
            if row.carries == "nothing":
                return x_s
            residual = x_t - degrade(x0, here, z)
            return x_s + (process.carried(residual, kappa, here, there, z) if tau else residual)

        x_s = move(x0_hat)
        if order == 2 and s > 0:
            x_s = move((x0_hat + restore(x_s, there)) / 2)
        x_t = x_s
    x_0 = process.clip(x_t)
    yield Step(0, x_0, x_0)


def final(trajectory: Iterator[Step]) -> Tensor:
    """Walk a trajectory to its end and return x_0, keeping no other state.  (B, C, H, W)"""
    return deque(trajectory, maxlen=1)[0].x_t
