"""Gaussian blur, until only the lowest cosine modes of the image can be told."""

import math

import torch
from torch import Tensor

from thaw.base import ThawError
from thaw.degradations.base import register
from thaw.degradations.operators import QUANTUM, REFERENCE, gaussian, on_grid
from thaw.degradations.separable import Separable

SMALLEST = 0.3  # standard deviation of the first step, in pixels of a 28-pixel image
LEAST = 1e-9  # a mode that has lost less than this share has lost nothing
PAINT = 2.0**-11  # the grid of the cosines at T; coarser than that of the numbers, as these add up to more than 1


def cosines(size: int, count: int) -> Tensor:
    """Return the lowest modes cos(pi k (i + 1/2) / size) of an axis with reflected borders, (size, count) float64.

    They are the eigenvectors of `gaussian(size, ...)`, orthogonal to one another.
    """
    place, mode = torch.arange(size, dtype=torch.float64) + 0.5, torch.arange(count, dtype=torch.float64)
    return torch.cos(math.pi / size * place[:, None] * mode)


def damping(size: int, deviation: float) -> Tensor:
    """Return the factor by which a Gaussian blur shrinks each cosine mode, (size,) float64."""
    modes = cosines(size, size)
    return (modes * (gaussian(size, deviation) @ modes)).sum(dim=0) / modes.square().sum(dim=0)


@register("blur")
class Blur(Separable):
    """D_t blurs by a Gaussian of a standard deviation that grows geometrically from 0.3 to `largest`.

    Borders are reflected (dcba|abcd|dcba). In exact arithmetic a blur can be undone, and float32
    holds enough digits to undo much of it. At T therefore only the lowest `keep` x `keep` cosine
    modes survive, rounded: those that the widest blur leaves visible. They are shrunk by a hair (0.08 %
    for 2 x 2 modes) so that the rounding cannot leave [-1, 1].

    Args:
        shape: (C, H, W) of the images.
        steps: the number of steps T.
        largest: standard deviation at T, in pixels of a 28-pixel image (it grows with the image).
        keep: cosine modes along each axis that survive at T; by default those of which the widest
            blur leaves more than the rounding, 2^-12.
    """

    def __init__(
        self, shape: tuple[int, int, int], steps: int = 40, largest: float = 20.0, keep: int | None = None
    ) -> None:
        super().__init__(shape, steps)
        if largest <= SMALLEST:
            raise ThawError(f"the largest blur must be wider than {SMALLEST} pixels, got {largest}")
        if keep is not None and not 1 <= keep <= min(shape[1:]):
            raise ThawError(f"a blur can keep 1 to {min(shape[1:])} modes along each axis, got {keep}")
        steps_left = torch.arange(self.steps - 1, -1, -1) / max(1, self.steps - 1)  # for t = 1..T, from 1 to 0
        deviations = (largest * (SMALLEST / largest) ** steps_left.double()).tolist()
        axes = []  # at each step: the blur, and nothing to enlarge; at T: the lowest modes, and their cosines
        for size in shape[1:]:
            eye, scale = torch.eye(size, dtype=torch.float64), size / REFERENCE
            widest = damping(size, deviations[-1] * scale)
            modes = cosines(size, int((widest >= QUANTUM).sum()) if keep is None else keep)
            lowest = widest[: modes.shape[1], None] * torch.linalg.pinv(modes)  # (keep, size)
            blurs = [(gaussian(size, deviation * scale), eye) for deviation in deviations[:-1]]
            axes.append([(eye, eye), *blurs, (lowest, modes)])
        (low_rows, rows), (low_columns, columns) = (axis[-1] for axis in axes)
        paint = on_grid(torch.kron(rows, columns), PAINT)
        reach = torch.kron((rows @ low_rows).abs().sum(dim=1), (columns @ low_columns).abs().sum(dim=1)).max()
        numbers = torch.kron(low_rows.abs().sum(dim=1), low_columns.abs().sum(dim=1))  # the largest of any image
        reach = reach + len(numbers) * QUANTUM / 2 + numbers.sum() * PAINT / 2  # |x_T| at most, with both roundings
        axes[0][-1] = (low_rows / reach.clamp(min=1), rows)
        self.use_factors(*axes, paint)
        spectra = []  # what each axis leaves of its modes, (T+1, size)
        for name, size, axis in zip(("rows", "columns"), shape[1:], axes, strict=True):
            modes = torch.nn.functional.normalize(cosines(size, size), dim=0)
            self.register_buffer(name, modes, persistent=False)
            spectra.append(torch.stack([(modes * (wide @ kept @ modes)).sum(dim=0) for kept, wide in axis]))
        lost = 1 - spectra[0][:, :, None] * spectra[1][:, None]
        self.register_buffer("lost", torch.where(lost < LEAST, 0, lost), persistent=False)  # (T+1, H, W)

    def _in_modes(self, noise: Tensor, factor: Tensor) -> Tensor:
        """Multiply each cosine mode by a factor.  (B, C, H, W), (B, H, W) -> (B, C, H, W)"""
        rows, columns = self.rows.to(noise.dtype), self.columns.to(noise.dtype)
        return rows @ (factor[:, None].to(noise.dtype) * (rows.mT @ noise @ columns)) @ columns.mT

    def destroyed(self, noise: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        """Return the noise less its blur: each cosine mode gets as much of it as it has lost."""
        return self._in_modes(noise, self.lost[t])

    def carried(self, noise: Tensor, t: Tensor, s: Tensor, z: Tensor | None = None) -> Tensor:
        """Return the noise with each mode scaled from what it has lost at t to what it has lost at s."""
        lost, left = self.lost[t], self.lost[s]
        return self._in_modes(noise, torch.where(lost > 0, left / lost.clamp(min=LEAST), 0))
