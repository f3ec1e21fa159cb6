"""Pixelate: the image is averaged over fewer and fewer cells."""

import torch
import torch.nn.functional as F

from thaw.degradations.base import register
from thaw.degradations.operators import enlarge, progress, smallest_side
from thaw.degradations.separable import Separable

CELLS = 4  # along the shorter side, at the end


def average(size: int, cells: int) -> torch.Tensor:
    """Return the matrix of torch's adaptive average pooling of `size` lines to so many cells, (cells, size) float64."""
    return F.adaptive_avg_pool1d(torch.eye(size, dtype=torch.float64)[None], cells)[0].mT


@register("pixelate")
class Pixelate(Separable):
    """D_t averages over (H - t) x (W - t) cells and enlarges by nearest neighbours (Bansal et al. 2022).

    The means of the last cells survive.

    Args:
        shape: (C, H, W) of the images.
        steps: the number of steps T; by default one row and column of cells a step.
        cells: cells along the shorter side at the end; by default 4.
    """

    def __init__(self, shape: tuple[int, int, int], steps: int | None = None, cells: int | None = None) -> None:
        lines = min(shape[1:]) - smallest_side(shape, cells, CELLS)
        super().__init__(shape, lines if steps is None else steps)
        lost = progress(self.steps, lines).tolist()
        rows, columns = (
            [(average(size, size - k), enlarge(size - k, size, "nearest")) for k in lost] for size in shape[1:]
        )
        self.use_factors(rows, columns)
