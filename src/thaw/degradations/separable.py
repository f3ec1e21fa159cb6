"""What the families have in common that resize or blur: a matrix on the rows and one on the columns."""

import torch
from torch import Tensor

from thaw.degradations.base import Degradation
from thaw.degradations.operators import QUANTUM, on_grid, stochastic

Factors = list[tuple[Tensor, Tensor]]  # at each step t = 0..T: (n, size) what is kept, (size, n) how it is enlarged


class Separable(Degradation):
    """D_t(x0) = L_t x0 R_t', and at T only a few numbers c = round(S x0) a channel survive: x_T = P c.

    A subclass calls `use_factors` in its constructor. Without the rounding (to multiples of 2^-12)
    the last digits of a smooth picture would still hold all of x0, and a network would learn to read them.
    The entries of P are on a grid as well, so that P c is exact in float32: x_T is a function of c to
    the bit, on any machine and in any batch.
    """

    def use_factors(self, rows: Factors, columns: Factors, paint: Tensor | None = None) -> None:
        """Keep the operators: L_t and R_t are products of the factors, S and P those at T, of both axes.

        Args:
            rows: what happens along the height, t = 0..T.
            columns: what happens along the width.
            paint: P, (H W, D), on a grid; by default the factors' with rows that sum to one.
        """
        survey, enlarge = (torch.kron(*pair) for pair in zip(rows[-1], columns[-1], strict=True))
        paint = stochastic(enlarge, QUANTUM) if paint is None else paint
        most = survey.abs().sum(dim=1)  # the largest c of any image
        tables = {"survey": survey, "paint": paint, "read": torch.linalg.pinv(paint.double())}
        tables["most"] = ((most - 1e-6) / QUANTUM).ceil() * QUANTUM
        for name, factors in (("left", rows), ("right", columns)):
            tables[name] = stochastic(torch.stack([enlarge @ keep for keep, enlarge in factors]))
        for name, table in tables.items():
            self.register_buffer(name, table.float(), persistent=False)

    def resized(self, x0: Tensor, t: Tensor) -> Tensor:
        """Return L_t x0 R_t'.  (B, C, H, W) -> (B, C, H, W)"""
        return self.left[t][:, None].to(x0.dtype) @ x0 @ self.right[t][:, None].to(x0.dtype).mT

    def _painted(self, numbers: Tensor) -> Tensor:
        """Return P c.  (B, C, D) -> (B, C, H, W)"""
        return (numbers @ self.paint.to(numbers.dtype).mT).unflatten(2, self.shape[1:])

    def forward(self, x0: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        x_T = self._painted(on_grid(x0.flatten(2) @ self.survey.to(x0.dtype).mT))
        return torch.where((t == self.steps)[:, None, None, None], x_T, self.resized(x0, t))

    def coordinates(self, x_T: Tensor) -> Tensor:
        """Return the numbers that survive, read from x_T by the pseudo-inverse of P.  (B, C, H, W) -> (B, C D)"""
        return on_grid(x_T.flatten(2) @ self.read.to(x_T.dtype).mT).flatten(1)

    def from_coordinates(self, coordinates: Tensor, z: Tensor | None = None) -> Tensor:
        most = self.most.to(coordinates.dtype)
        numbers = coordinates.reshape(len(coordinates), self.shape[0], len(most)).clamp(-most, most)
        return self._painted(on_grid(numbers)).clamp(-1, 1)
