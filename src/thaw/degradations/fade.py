"""Fade: a hole with a soft edge grows from the middle of the image to its corners."""

import torch

from thaw.base import ThawError
from thaw.degradations.base import register
from thaw.degradations.cover import GreyCover
from thaw.degradations.operators import REFERENCE

REACH = 2.0  # standard deviations between the hole and the middle of the image when it begins to show


@register("fade")
class Fade(GreyCover):
    """D_t(x0) = m_t x0, m_t the picture of a hole with a Gaussian edge (after Bansal et al. 2022's inpainting).

    At distance d from the middle m_t is 0 within the hole's radius r_t, and 1 - exp(-(d - r_t)^2 / (2
    softness^2)) outside. r_t grows evenly, from where the edge barely shows in the middle to the corners.
    (The paper multiplies ever wider Gaussians instead; that product reaches 0 at the corners after no
    number of steps.)

    Args:
        shape: (C, H, W) of the images.
        steps: the number of steps T.
        softness: standard deviation of the edge, in pixels of a 28-pixel image (it grows with the image).
    """

    def __init__(self, shape: tuple[int, int, int], steps: int = 28, softness: float = 3.0) -> None:
        super().__init__(shape, steps)
        if softness <= 0:
            raise ThawError(f"the softness of the fading edge must be above 0, got {softness}")
        row, column = ((torch.arange(size).double() - (size - 1) / 2) * (REFERENCE / size) for size in shape[1:])
        distance = torch.hypot(row[:, None], column)  # (H, W)
        share = torch.arange(self.steps + 1).double() / self.steps
        radius = share * (distance.max() + REACH * softness) - REACH * softness  # (T+1,)
        beyond = (distance - radius[:, None, None]).clamp(min=0)
        masks = 1 - (-0.5 * (beyond / softness) ** 2).exp()
        masks[0], masks[-1] = 1.0, 0.0
        self.use_masks(masks)
