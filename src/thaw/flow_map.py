"""A flow map: one network that takes x_t to any x_s in one evaluation, guidance included; what it learns from.

    x_s = D_s(F; z) + kappa (x_t - D_t(F; z)),    kappa = sigma_s / sigma_t (1 at tau = 0),  F = f(x_t, t, s, tau, y, w)

It is the step of `thaw.sampling` with eta = 0 and F in place of x0_hat: whatever many small steps of a teacher come to,
there is an F that comes to it in one. Unlike a consistency function, which always jumps to 0, it gains by more steps
(Sabour et al. 2025, "Align Your Flow").
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from thaw.base import ThawError
from thaw.degradations import Degradation
from thaw.process import Process
from thaw.sampling import time_steps

GRID = 12  # intervals of a trajectory: the jumps of 1, 2, 3, 4, 6 or 12 steps end on it
FEW = 4  # steps that an image takes at most, as a rule
CORNER, LEAST = 0.1, 5e-4  # errors of a pixel, and of an image, up to which the loss is smooth
OFTEN, ONE = 0.7, 0.4  # shares of the draws that are such jumps, and of these that go all the way at once


@dataclass(frozen=True)
class Paths:
    """Trajectories of a teacher: what a flow map is trained on in place of images."""

    x: Tensor  # (B, G + 1, C, H, W), the states from T down to 0, at the steps `FlowMap.grid`
    tau: Tensor  # (B,) their temperatures
    guidance: Tensor  # (B,) their guidance weights
    z: Tensor | None  # what the degradation keeps fixed along each, if anything

    def __len__(self) -> int:
        return len(self.x)

    def at(self, index: Tensor) -> Tensor:
        """Return the state of each trajectory at a place (B,) of the grid.  (B, C, H, W) float32"""
        return self.x[torch.arange(len(self.x), device=self.x.device), index].float()

    def __getitem__(self, index: Tensor | slice) -> "Paths":
        return Paths(*(None if part is None else part[index] for part in vars(self).values()))

    def to(self, device: torch.device | str) -> "Paths":
        """Return the same trajectories on a device."""
        return Paths(*(None if part is None else part.to(device) for part in vars(self).values()))


class Jumps(NamedTuple):
    """The random numbers of one training batch: which states of the grid each jump leaves and reaches, from T on."""

    leaves: Tensor  # (B,) int64 in 0..G-1
    reaches: Tensor  # (B,) int64 in 1..G, further on

    def part(self, chosen: slice) -> "Jumps":
        """Return the numbers of some of the trajectories."""
        return Jumps(*(part[chosen] for part in self))

    def to(self, device: torch.device | str) -> "Jumps":
        """Return the same numbers on a device."""
        return Jumps(*(part.to(device) for part in self))


class FlowMap(Process):
    """A process whose network is a flow map.

    Args:
        degradation, sigma, settings, bounded: of the teacher's process.
        flow_map: the range of guidance weights it is trained for.

    Raises:
        ThawError: for no range, or noise that grows on the way back, which no jump without fresh noise can follow.
    """

    def __init__(
        self,
        degradation: Degradation,
        sigma: Tensor,
        *settings: object,
        flow_map: tuple[float, float],
        bounded: bool = True,
    ) -> None:
        super().__init__(degradation, sigma, *settings, bounded=bounded)
        if not 0 <= flow_map[0] <= flow_map[1]:
            raise ThawError(f"the guidance weights of a flow map must satisfy 0 <= low <= high, got {tuple(flow_map)}")
        ratio = sigma[1:] / degradation.alpha(torch.arange(1, len(sigma))).clamp(min=1e-12)
        if bool((ratio.diff() < 0).any()):
            raise ThawError("a flow map needs noise that only falls on the way back; take another schedule")
        self.flow_map = (float(flow_map[0]), float(flow_map[1]))
        self.grid = grid_of(self.steps)

    def share(self, guidance: Tensor) -> Tensor:
        """Return guidance weights as the network takes them, a share of their range.  (B,) -> (B,)

        Raises:
            ThawError: for a weight outside the range.
        """
        low, high = self.flow_map
        if not bool(((guidance >= low) & (guidance <= high)).all()):
            raise ThawError(
                f"these weights were trained for guidance {low:g} to {high:g}, got {float(guidance.max()):g}; their "
                "teacher takes any"
            )
        return (guidance - low) / max(high - low, 1e-6)

    def evaluate(
        self, network: nn.Module, x_t: Tensor, t: Tensor, s: Tensor, tau: Tensor, y: Tensor, guidance: Tensor
    ) -> Tensor:
        """Return F of the jump from t to s, not clipped.  (B, C, H, W), all others (B,) -> (B, C, H, W)"""
        raw = network(x_t, self.time(t), tau, y, jump=(self.time(s), self.share(guidance)))
        return self.predict(raw, x_t, t, tau)

    def jump(self, F: Tensor, x_t: Tensor, t: Tensor, s: Tensor, tau: Tensor, z: Tensor | None = None) -> Tensor:
        """Return x_s; every image has its own t, s < t, and temperature.  (B, C, H, W)"""
        falls = torch.where(tau > 0, self.sigma[s] / self.sigma[t], 1.0)  # Algorithm 2 where there is no noise
        residual = x_t - self.degradation(F, t, z)
        kappa = falls.to(F.dtype)[:, None, None, None]
        return self.degradation(F, s, z) + self.carried(residual, kappa, t, s, z)

    def draw(self, n: int, generator: torch.Generator) -> Jumps:
        """Draw jumps for `n` trajectories: `OFTEN` those of 1 to `FEW` steps, else between any two states."""
        G = len(self.grid) - 1
        long, many, which, rare = torch.rand(4, n, generator=generator)
        steps = torch.where(long < ONE, 1, 2 + ((FEW - 1) * many).long()).clamp(max=G)
        first = (which * steps).long()
        two = torch.rand(n, G + 1, generator=generator).topk(2, dim=1).indices.sort(dim=1).values
        leaves = torch.where(rare < OFTEN, first * G // steps, two[:, 0])
        return Jumps(leaves, torch.where(rare < OFTEN, (first + 1) * G // steps, two[:, 1]))

    def reach(self, network: nn.Module, x0: Paths, x_t: Tensor, y: Tensor, leaves: Tensor, reaches: Tensor) -> Tensor:
        """Return where the network's jumps between states of the grid (B,) come to.  (B, C, H, W) -> (B, C, H, W)"""
        grid = torch.tensor(self.grid, device=x_t.device)
        t, s = grid[leaves], grid[reaches]
        return self.jump(self.evaluate(network, x_t, t, s, x0.tau, y, x0.guidance), x_t, t, s, x0.tau, x0.z)

    def loss(self, network: nn.Module, x0: Paths, y: Tensor, draws: Jumps) -> Tensor:
        """Return the error of x_s after the jumps, against the states of the trajectories, a scalar; see `distance`."""
        return distance(self.reach(network, x0, x0.at(draws.leaves), y, *draws) - x0.at(draws.reaches))


def distance(error: Tensor) -> Tensor:
    """Return the mean over jumps of how far off each is, a scalar.  (B, C, H, W) -> ()

    Within an image small errors count by their square and large ones by their size (pseudo-Huber, as Song & Dhariwal
    2024): what a small network cannot tell ends sharp, where the mean would be grey. Over images the root is taken: the
    first of four jumps errs a tenth of what one jump does, but all that follows goes astray by it, and it must not
    be drowned.
    """
    each = ((error.square() + CORNER**2).sqrt() - CORNER).flatten(1).mean(dim=1)
    return ((each + LEAST).sqrt() - LEAST**0.5).mean()


def grid_of(steps: int) -> list[int]:
    """Return the steps that a trajectory's states are kept at, from T down to 0."""
    return time_steps(steps, min(steps, GRID))
