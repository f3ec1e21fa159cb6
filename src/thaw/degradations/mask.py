"""Mask: a hard-edged rectangle grows from the middle until it hides the whole image (inpainting)."""

import torch

from thaw.degradations.base import register
from thaw.degradations.cover import GreyCover


@register("mask")
class Mask(GreyCover):
    """D_t paints the pixels of a centred rectangle grey: t/T of the height and of the width.

    Nested to the bit: D_t(D_s(x)) = D_max(s, t)(x).

    Args:
        shape: (C, H, W) of the images.
        steps: the number of steps T.
    """

    def __init__(self, shape: tuple[int, int, int], steps: int = 14) -> None:
        super().__init__(shape, steps)
        t = torch.arange(self.steps + 1)[:, None]
        rows, columns = ((2 * torch.arange(n) - (n - 1)).abs() * self.steps < t * n for n in shape[1:])  # (T+1, n)
        self.use_masks(1.0 - (rows[:, :, None] & columns[:, None, :]).float())
