"""Snow: flakes settle here and there until everything is white."""

import torch
from torch import Tensor

from thaw.base import ThawError
from thaw.degradations.base import register
from thaw.degradations.cover import Cover
from thaw.degradations.operators import REFERENCE, gaussian, on_grid, stochastic


@register("snow")
class Snow(Cover):
    """D_t(x0; z) = m_t(z) x0 + (1 - m_t(z)) s(z): z says when a pixel is snowed in, and how white it gets.

    z holds two smooth random fields, drawn once a trajectory: the time u in [0, 1] at which snow
    begins to cover a pixel, and the snow s, nearly white. 1 - m_t rises from 0 to 1 while (1 + ramp) t/T goes from
    u to u + ramp. (After the snow of Bansal et al. 2022, who whiten the image as well and never cover it.)

    Args:
        shape: (C, H, W) of the images.
        steps: the number of steps T.
        flake: standard deviation of the fields' smoothing, in pixels of a 28-pixel image.
        ramp: share of the steps in which a pixel is covered.
        shade: the snow's darkest grey is 1 - shade.
    """

    def __init__(
        self, shape: tuple[int, int, int], steps: int = 28, flake: float = 1.2, ramp: float = 0.15, shade: float = 0.3
    ) -> None:
        super().__init__(shape, steps)
        if flake <= 0:
            raise ThawError(f"the size of the snow flakes must be above 0, got {flake}")
        if ramp <= 0:
            raise ThawError(f"the ramp of the snow must be above 0, got {ramp}")
        if not 0 <= shade <= 2:
            raise ThawError(f"the shade of the snow must be between 0 and 2, got {shade}")
        self.ramp, self.shade = float(ramp), float(shade)
        # Not buffers: z is always drawn on the CPU. Rows of norm 1 keep the fields' variance at 1; on the grid
        # of `stochastic` the tails are 0 (as denormal numbers they would cost ten times the time).
        blurs = (stochastic(gaussian(size, flake * size / REFERENCE)) for size in shape[1:])
        self._rows, self._columns = (blur / blur.norm(dim=1, keepdim=True) for blur in blurs)

    def draw_z(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw when each pixel is covered and how white its snow is, (n, 2, H, W): each uniform in its range."""
        fields = self._rows @ torch.randn(n, 2, *self.shape[1:], generator=generator) @ self._columns.T
        time, grey = torch.special.ndtr(fields).unbind(dim=1)
        return torch.stack([time, 1 - self.shade * grey], dim=1)

    def kept(self, t: Tensor, z: Tensor | None) -> Tensor:
        begun = super().cover(z)[:, :1].float()  # in single precision, so that double sees the same masks
        now = (t / self.steps * (1 + self.ramp))[:, None, None, None]
        return on_grid(1 - ((now - begun) / self.ramp).clamp(0, 1))

    def cover(self, z: Tensor | None) -> Tensor:
        return super().cover(z)[:, 1:].expand(-1, self.shape[0], -1, -1)
