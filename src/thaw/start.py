"""Where a trajectory begins: what it is drawn from, and the way from one start to another."""

from typing import NamedTuple

import torch
from torch import Tensor


class Start(NamedTuple):
    """What a trajectory begins with; x_T = D_T's image of the coordinates and z, plus tau sigma_T noise."""

    coordinates: Tensor  # (B, D), drawn from the terminal
    noise: Tensor  # (B, C, H, W) standard normal
    z: Tensor | None  # what the degradation keeps fixed

    def first(self, n: int) -> "Start":
        """Return the starts of the first n trajectories."""
        return Start(*(None if part is None else part[:n] for part in self))

    def expand(self, n: int) -> "Start":
        """Return one start for n trajectories."""
        return Start(*(None if part is None else part.expand(n, *part.shape[1:]) for part in self))

    def to(self, device: torch.device | str) -> "Start":
        """Return the same starts on a device."""
        return Start(*(None if part is None else part.to(device) for part in self))

    def towards(self, other: "Start", weight: Tensor) -> "Start":
        """Return the start a share `weight` (B,) of the way to another one, with this one's z.

        Coordinates go straight; noise goes along the sphere, so that it stays as strong.
        """
        coordinates = torch.lerp(self.coordinates, other.coordinates, weight[:, None].to(self.coordinates))
        return Start(coordinates, slerp(self.noise, other.noise, weight), self.z)


def slerp(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Interpolate along the great circle from one noise to another (Shoemake 1985).

    Args:
        one, other: (B, ...), not opposite to each other.
        weight: (B,) in [0, 1].

    Returns:
        (B, ...); for standard normal noise in many dimensions, again of unit variance.
    """
    a, b = one.flatten(1).double(), other.flatten(1).double()
    angle = torch.acos(torch.nn.functional.cosine_similarity(a, b).clamp(-1, 1))[:, None]
    weight = weight.to(a)[:, None]
    nearly = angle.sin() < 1e-6  # parallel: the straight line
    scale = torch.where(nearly, 1.0, angle.sin())
    first = torch.where(nearly, 1 - weight, ((1 - weight) * angle).sin() / scale)
    second = torch.where(nearly, weight, (weight * angle).sin() / scale)
    return (first * a + second * b).to(one.dtype).view_as(one)
