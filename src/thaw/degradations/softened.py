"""Softened: any degradation made gradual by interpolation between its steps."""

import torch
from torch import Tensor

from thaw.base import ThawError
from thaw.degradations.base import Degradation


class Softened(Degradation):
    """D_{k + j/m}(x0; z) = (1 - j/m) D_k(x0; z) + (j/m) D_{k+1}(x0; z): m steps in place of each.

    Where a family jumps, one step of the sampler loses the variance of what the jump reveals; where it
    moves gradually, Euler's method on the probability-flow ODE loses less with every step.

    Args:
        inner: the degradation, of T steps.
        parts: m, at least 1; the result has m T steps, and every m-th of them is one of `inner`'s, to the bit.

    >>> import torch, thaw
    >>> Softened(thaw.degradations.build("mask", (1, 28, 28)), 4).steps
    56
    """

    def __init__(self, inner: Degradation, parts: int) -> None:
        if parts < 1:
            raise ThawError(f"a degradation is softened by 1 or more parts a step, got {parts}")
        super().__init__(inner.shape, inner.steps * parts)
        self.inner, self.parts = inner, parts
        for name in ("draw_z", "z_from", "coordinates", "from_coordinates", "state", "load_state"):
            setattr(self, name, getattr(inner, name))  # what knows no step is the inner one's

    def _between(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return k, k + 1 (at most T) and the share j/m of the way, (B,) each."""
        k = torch.div(t, self.parts, rounding_mode="floor")
        return k, (k + 1).clamp(max=self.inner.steps), (t - k * self.parts) / self.parts

    def forward(self, x0: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        k, after, share = self._between(t)
        kept = self.inner(x0, k, z)
        if not share.any():
            return kept
        return torch.lerp(kept, self.inner(x0, after, z), share.to(kept.dtype)[:, None, None, None])

    def alpha(self, t: Tensor) -> Tensor:
        k, after, share = self._between(t)
        return torch.lerp(self.inner.alpha(k), self.inner.alpha(after), share.to(torch.float64))
