"""JPEG: blocks of cosines, coarser and coarser, until each block is black, grey or white.

    python -m thaw budget examples/jpeg.py

As in a JPEG file at falling quality, the coefficients of each block are rounded to multiples of a quantum that grows
with the frequency. Rounding is neither affine nor differentiable, and need not be: the network learns from the images,
and the budget is measured on them. Few numbers survive, and no others may be drawn: the example tells its coordinates.
"""

import numpy as np
import torch
from scipy.fft import dct

import thaw


def block_cosines(size: int, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cosine transform of each block of lines, (size, size) orthonormal, and its frequencies, (size,)."""
    sides = [min(block, size - start) for start in range(0, size, block)]
    parts = [torch.from_numpy(dct(np.eye(side), axis=0, norm="ortho")) for side in sides]
    return torch.block_diag(*parts), torch.cat([torch.arange(side) for side in sides])


@thaw.register("jpeg")
class Jpeg(thaw.Degradation):
    """Blocks of cosines, rounded more and more coarsely.

    D_t(x0) rounds the coefficients c of each block to multiples of q_t (1 + i + j), (i, j) their frequency:
    q_t = block (t/T)^2. At T, with its quantum as large as a block's constant can be, and twice that for the others,
    only the constants are left, as -1, 0 or 1.

    Args:
        shape: (C, H, W) of the images.
        steps: the number of steps T.
        block: lines of a block's side; the last ones may be smaller.
    """

    def __init__(self, shape: tuple[int, int, int], steps: int = 28, block: int = 7) -> None:
        super().__init__(shape, steps)
        if not 2 <= block <= min(shape[1:]):
            raise thaw.ThawError(f"a block can have 2 to {min(shape[1:])} lines, got {block}")
        (rows, down), (columns, across) = (block_cosines(size, block) for size in shape[1:])
        growth = (torch.arange(steps + 1).double() / steps).square()[:, None, None]
        quantum = block * growth * (1 + down[:, None] + across)  # (T+1, H, W)
        quantum[0] = 1.0  # is not used
        constants = (down[:, None] + across == 0).flatten().nonzero()[:, 0]
        for name, table in {"rows": rows, "columns": columns, "quantum": quantum, "constants": constants}.items():
            self.register_buffer(name, table, persistent=False)

    def forward(self, x0: torch.Tensor, t: torch.Tensor, z: torch.Tensor | None = None) -> torch.Tensor:
        # In double precision, so that what is rounded does not depend on the batch.
        quantum = self.quantum[t][:, None]
        whole = (self.rows @ x0.double() @ self.columns.mT / quantum).round()
        return torch.where((t == 0)[:, None, None, None], x0, self._painted(whole * quantum).to(x0.dtype))

    def _painted(self, coefficients: torch.Tensor) -> torch.Tensor:
        return (self.rows.mT @ coefficients @ self.columns).clamp(-1, 1)

    def coordinates(self, x_T: torch.Tensor) -> torch.Tensor:
        """Return -1, 0 or 1 for each block.  (B, C, H, W) -> (B, C blocks)"""
        coefficients = (self.rows @ x_T.double() @ self.columns.mT).flatten(2)[..., self.constants]
        return (coefficients.sign() * (coefficients.abs() > 0.5)).flatten(1).to(x_T.dtype)

    def from_coordinates(self, coordinates: torch.Tensor, z: torch.Tensor | None = None) -> torch.Tensor:
        """Return the image with these blocks, black, grey or white: what was drawn in between is rounded."""
        whole = coordinates.view(len(coordinates), self.shape[0], -1).round().clamp(-1, 1).double()
        coefficients = whole.new_zeros(*whole.shape[:2], self.quantum[-1].numel())
        coefficients[..., self.constants] = whole * self.quantum[-1].flatten()[self.constants]
        return self._painted(coefficients.unflatten(2, self.shape[1:])).to(coordinates.dtype)
