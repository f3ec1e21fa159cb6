"""Nearest neighbours, in blocks: how many generated images look real, and how many real ones are covered.

Distances of 10,000 to 10,000 points are never held at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from thaw.base import ThawError

BLOCK = 1000  # rows of a distance matrix held at once: 80 MB against 10,000 points in float64
NEIGHBOURS = 5  # k of Naeem et al. 2020


@dataclass(frozen=True)
class Manifolds:
    """How two sets of points lie to each other, by the balls to their k-th neighbours."""

    precision: float  # share of generated points inside the ball of any real one (Kynkaanniemi et al. 2019, eq. 1)
    recall: float  # share of real points inside the ball of any generated one (the same, eq. 2)
    # Real balls that hold a generated point, over k; 1 on average where both sets are drawn alike, and more where the
    # generated ones crowd together (Naeem et al. 2020, eq. 4)
    density: float
    coverage: float  # share of real balls that hold a generated point (the same, eq. 6)


def radii(points: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """Return the distance of each point to its k-th nearest other.  (N, D) float64 -> (N,)

    Raises:
        ThawError: if there are no k others.
    """
    if len(points) <= k:
        raise ThawError(f"the {k}-th neighbour needs at least {k + 1} points, got {len(points)}")
    # The nearest of all is the point itself, at distance zero.
    return torch.cat(
        [torch.cdist(rows, points).topk(k + 1, largest=False).values[:, -1] for rows in points.split(BLOCK)]
    )


def manifolds(real: Tensor, generated: Tensor, k: int = NEIGHBOURS) -> Manifolds:
    """Compare real features (N, D) with generated ones (M, D); N = M is the usual choice.

    In float64, because a distance by matrix product cancels: in float32 a copy would seem 0.01 away.
    """
    real, generated = real.double(), generated.double()
    generated_radii = radii(generated, k)
    balls = torch.zeros(len(generated), dtype=torch.int64)  # real balls that hold each generated point
    recalled, covered = 0, 0
    for distances, inside in _blocks(real, generated, k):
        balls += inside.sum(dim=0)
        covered += int(inside.any(dim=1).sum())
        recalled += int((distances <= generated_radii).any(dim=1).sum())
    n, m = len(real), len(generated)
    return Manifolds(int((balls > 0).sum()) / m, recalled / n, int(balls.sum()) / (k * m), covered / n)


def densities(real: Tensor, generated: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """Return each generated point's share of the density: real balls that hold it, over k.

    0 where it lies outside of all, as no real point does. Their mean is the density of `manifolds`,
    and the share above 0 is its precision.

    Args:
        real: features (N, D).
        generated: features (M, D).

    Returns:
        (M,) float64.
    """
    counts = [inside.sum(dim=0) for _, inside in _blocks(real.double(), generated.double(), k)]
    return torch.stack(counts).sum(dim=0).double() / k


def _blocks(real: Tensor, generated: Tensor, k: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, for a block of real points at a time, the distances (block, M) and which lie within the real balls."""
    for rows, row_radii in zip(real.split(BLOCK), radii(real, k).split(BLOCK), strict=True):
        distances = torch.cdist(rows, generated)
        yield distances, distances <= row_radii[:, None]


def nearest(images: Tensor, others: Tensor, progress: bool = False) -> tuple[Tensor, Tensor]:
    """Find the nearest of `others` to each image.

    Args:
        images: (N, C, H, W) uint8.
        others: (M, C, H, W) uint8.

    Returns:
        The Euclidean distances of the pixels in [0, 1] (N,), exact, and the indices of the nearest (N,) int64.
    """
    points = others.flatten(1).float()  # (M, CHW)
    squares = points.square().sum(dim=1) / 2
    found = []
    for rows in tqdm(images.split(500), disable=not progress, desc="nearest neighbours", unit="batch"):
        # |x - y|^2 / 2 without the part that is the same for all y.
        found.append((squares - rows.flatten(1).float() @ points.T).argmin(dim=1))
    index = torch.cat(found)
    # Exact integers now, so that a copy is at distance zero.
    pairs = zip(images.split(BLOCK), others[index].split(BLOCK), strict=True)
    squared = [(a.int() - b.int()).square().flatten(1).sum(dim=1) for a, b in pairs]
    return torch.cat(squared).double().sqrt() / 255, index
