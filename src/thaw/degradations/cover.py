"""What the families have in common that cover the image until nothing of it is left."""

import torch
from torch import Tensor

from thaw.base import ThawError
from thaw.degradations.base import Degradation
from thaw.degradations.operators import on_grid


class Cover(Degradation):
    """D_t(x0; z) = m_t x0 + (1 - m_t) s(z), with m_0 = 1 and m_T = 0: at the end there is only s.

    A subclass calls `use_masks` in its constructor. The masks are rounded to multiples of 2^-12: m_T
    is 0 and x_T is s to the bit, both weights are exact, and no value leaves [-1, 1].
    """

    def use_masks(self, masks: Tensor) -> None:
        """Keep m_t, t = 0..T, falling from 1 to 0: (T+1, H, W), or (T+1, 1, 1) for one weight a step."""
        self.register_buffer("masks", on_grid(masks).float(), persistent=False)

    def kept(self, t: Tensor, z: Tensor | None) -> Tensor:
        """Return the share m_t of the image that is kept.  (B,) -> (B, 1, H, W)"""
        return self.masks[t][:, None]

    def cover(self, z: Tensor | None) -> Tensor:
        """Return what takes the image's place, s(z).  (B, ...) -> (B, C, H, W)"""
        if z is None:
            raise ThawError(f"{type(self).__name__} needs its z; draw it with draw_z(n, generator)")
        return z

    def forward(self, x0: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        kept = self.kept(t, z).to(x0.dtype)
        return kept * x0 + (1 - kept) * self.cover(z).to(x0.dtype)

    def destroyed(self, noise: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        """Return (1 - m_t) noise: each pixel gets as much of it as it has lost."""
        return (1 - self.kept(t, z).to(noise.dtype)) * noise

    def carried(self, noise: Tensor, t: Tensor, s: Tensor, z: Tensor | None = None) -> Tensor:
        """Return (1 - m_s) / (1 - m_t) noise, and nothing where nothing was lost."""
        lost, left = ((1 - self.kept(step, z)).to(noise.dtype) for step in (t, s))
        return torch.where(lost > 0, left / lost.clamp(min=torch.finfo(noise.dtype).tiny), 0) * noise

    def coordinates(self, x_T: Tensor) -> Tensor:
        """No number of x0 survives."""
        return x_T.new_zeros(len(x_T), 0)

    def from_coordinates(self, coordinates: Tensor, z: Tensor | None = None) -> Tensor:
        return self.cover(z).to(coordinates.dtype).expand(len(coordinates), *self.shape)


class GreyCover(Cover):
    """A cover of uniform grey: s = 0, the middle of the range."""

    def cover(self, z: Tensor | None) -> Tensor:
        return self.masks.new_zeros(())
