"""Parts that several families share: numbers on a grid, progress over the steps, rows that sum to one."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from thaw.base import ThawError

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
    """Return the matrix by which `torch.nn.functional.interpolate` makes of `size` lines `enlarged` ones.

    Args:
        size, enlarged: lines before and after.
        mode: "nearest" or "bilinear" (`align_corners=False`).

    Returns:
        (enlarged, size) float64.
    """
    mode = "linear" if mode == "bilinear" else mode
    return F.interpolate(torch.eye(size, dtype=torch.float64)[None], size=enlarged, mode=mode)[0].mT


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
    """Return the matrix of scipy's Gaussian blur with reflected borders (dcba|abcd|dcba), (size, size) float64."""
    return torch.from_numpy(gaussian_filter1d(np.eye(size), deviation, axis=0, mode="reflect", truncate=12.0))
