"""Parts that several families share: numbers on a grid, progress over the steps, rows that sum to one."""

import torch
from torch import Tensor

from thaw.base.errors import ThawError

QUANTUM = 2.0**-12  # the grid of masks and of all numbers that survive at T
FINE = 2.0**-20  # the grid of the entries of matrices
REFERENCE = 28  # lengths in options are pixels of an image of this size; they grow with the image


def on_grid(x: Tensor, quantum: float = QUANTUM) -> Tensor:
    """Round to multiples of `quantum`, letting gradients through.

    What is on the grid can be computed again to the last bit, and holds no trace of anything else in
    its rounding. (The sum below is exact: a number and its rounding are at most a factor of two apart,
    or the rounding is zero.)
    """
    return x + ((x / quantum).round() * quantum - x).detach()


def progress(steps: int, total: int) -> Tensor:
    """Return how many of `total` things are done at step t = 0..T, evenly; (T+1,) int64."""
    return (torch.arange(steps + 1) * total / steps).round().long()


def smallest_side(shape: tuple[int, int, int], side: int | None, default: int) -> int:
    """Return how many lines the shorter side ends with: `side`, or the default where the image is larger."""
    short = min(shape[1:])
    side = min(default, short - 1) if side is None else side
    if not 1 <= side < short:
        raise ThawError(f"an image of {shape[1]} x {shape[2]} pixels can shrink to 1 to {short - 1} lines, got {side}")
    return side


def enlarge(size: int, enlarged: int, mode: str) -> Tensor:
    """Return the matrix by which `size` lines become `enlarged`, (enlarged, size) float64.

    As `torch.nn.functional.interpolate` does it. Nearest: line i comes from floor(i size / enlarged).
    Bilinear with `align_corners=False`: line i lies at i + 1/2, and the outermost lines are repeated
    beyond their middles.
    """
    eye, line = torch.eye(size, dtype=torch.float64), torch.arange(enlarged)
    if mode == "nearest":
        return eye[line * size // enlarged]
    place = ((line.double() + 0.5) * size / enlarged - 0.5).clamp(0, size - 1)
    lower = place.floor().long()
    share = (place - lower)[:, None]
    return (1 - share) * eye[lower] + share * eye[(lower + 1).clamp(max=size - 1)]


def stochastic(weights: Tensor, grid: float = FINE) -> Tensor:
    """Return non-negative rows scaled to sum to one exactly, in multiples of `grid`, as float32.  (..., n, m)

    Applied to pixels in [-1, 1] such a matrix stays in [-1, 1] to the last bit, in any order of
    summation: every partial sum of the weights is exact, and rounding never reverses an order.
    """
    weights = weights.double() / weights.double().sum(dim=-1, keepdim=True)
    rounded = (weights / grid).round() * grid
    largest = rounded.argmax(dim=-1, keepdim=True)
    return rounded.scatter_add(-1, largest, 1 - rounded.sum(dim=-1, keepdim=True)).float()


def gaussian(size: int, deviation: float) -> Tensor:
    """Return the matrix of a Gaussian blur with reflected borders (dcba|abcd|dcba); (size, size) float64

    Entry (i, j) sums the Gaussian over pixel j and its mirror images; rows sum to one.
    """
    place = torch.arange(size, dtype=torch.float64)
    count = 1 + int(6 * deviation / size)
    shift = 2 * size * torch.arange(-count, count + 1, dtype=torch.float64)
    images = torch.stack([place[:, None] + shift, -1 - place[:, None] + shift])  # (2, size, shifts)
    kernel = (-0.5 * ((place[:, None, None, None] - images) / deviation) ** 2).exp().sum(dim=(1, 3))
    return kernel / kernel.sum(dim=1, keepdim=True)
