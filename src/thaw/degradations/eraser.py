"""The magic eraser: a soft head wanders over the image along a zigzag and leaves only the background."""

import itertools

import torch
from torch import Tensor

from thaw.base import ThawError
from thaw.degradations.base import register
from thaw.degradations.cover import Cover
from thaw.degradations.operators import progress


def zigzag(height: int, width: int, radius: int) -> Tensor:
    """Return the corners of the path, (K, 2) int64: alternately on the left or bottom and on the top or right side.

    The k-th pair lies on the antidiagonal i + j = c_k, with c_k = r, r + (2r + 1), r + 2 (2r + 1), ...
    (3, 10, 17, 24, ... for radius 3, as in the earlier study; its small offsets of the top and right
    points are left out). Every pixel is within r of the head at some time: its antidiagonal is at
    most r lines from one of these, and so many moves up or left (down or right) within the image reach it.
    """
    last = height + width - 2
    corners = []
    for line in range(radius, last + radius + 1, 2 * radius + 1):
        line = min(line, last)
        corners.append((min(line, height - 1), max(0, line - height + 1)))  # left, then bottom
        corners.append((max(0, line - width + 1), min(line, width - 1)))  # top, then right
    return torch.tensor(corners)


def pixel_line(start: Tensor, stop: Tensor) -> Tensor:
    """Return the pixels of the straight line from `start`, left out, to `stop`.  (2,), (2,) -> (N, 2)"""
    count, step = int((stop - start).abs().max()), stop - start
    return start + (2 * torch.arange(1, count + 1)[:, None] * step + count) // max(1, 2 * count)  # rounded


@register("eraser")
class Eraser(Cover):
    """D_t(x0; z) = m_t x0 + (1 - m_t) z, m_t the product of the head's masks up to t/T of its path.

    z is the background, fixed along a trajectory: one grey per image, uniform in [-1, 1], plus noise.

    Args:
        shape: (C, H, W) of the images.
        steps: the number of steps T.
        radius: radius of the solid head in pixels.
        softness: sigma of the head's soft edge in pixels.
        noise: standard deviation of the background's noise.
    """

    def __init__(
        self, shape: tuple[int, int, int], steps: int = 100, radius: int = 3, softness: float = 3.0, noise: float = 0.04
    ) -> None:
        super().__init__(shape, steps)
        if radius < 1 or radius != int(radius):
            raise ThawError(f"the eraser's radius must be a whole number of pixels, at least 1, got {radius}")
        if softness <= 0:
            raise ThawError(f"the eraser's softness must be above 0, got {softness}")
        if noise < 0:
            raise ThawError(f"the background's noise must not be negative, got {noise}")
        self.radius, self.softness, self.noise = int(radius), float(softness), float(noise)
        corners = zigzag(*shape[1:], self.radius)
        path = torch.cat([corners[:1], *(pixel_line(*leg) for leg in itertools.pairwise(corners))])
        self.register_buffer("path", path, persistent=False)  # (N, 2) row and column of the head
        untouched = torch.ones(1, *shape[1:], dtype=torch.float64)
        wiped = torch.cat([untouched, self.head(path)]).cumprod(dim=0)  # by the first n points of the path
        self.use_masks(wiped[progress(self.steps, len(path))])

    def head(self, point: Tensor) -> Tensor:
        """Return the mask of the head at pixels: 0 within the radius, outside 1 - exp(-d^2 / (2 softness^2)).

        d is the distance from the head's centre, so the mask jumps at the edge of the solid disk.
        (..., 2) -> (..., H, W) float64
        """
        rows, columns = (torch.arange(size, device=point.device) for size in self.shape[1:])
        d2 = (rows[:, None] - point[..., :1, None]) ** 2 + (columns - point[..., 1:, None]) ** 2  # exact
        return torch.where(d2 <= self.radius**2, 0.0, 1 - (-0.5 * d2.double() / self.softness**2).exp())

    def draw_z(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw backgrounds, (n, C, H, W) in [-1, 1]: the grey of an image is the same in all channels."""
        grey = 2 * torch.rand(n, 1, 1, 1, generator=generator) - 1
        return (grey + self.noise * torch.randn(n, *self.shape, generator=generator)).clamp(-1, 1)
