"""Cold diffusion of the row and column studies: line after line is replaced by its own mean."""

import math

import torch
from torch import Tensor

from thaw.base import ThawError, generator, pick
from thaw.degradations.base import Degradation, register
from thaw.degradations.operators import on_grid, progress

ORDERS = ("centre-out", "edges-in", "random")


def line_order(count: int, order: str, seed: int) -> Tensor:
    """Return the order in which `count` groups of lines are averaged, a permutation (count,)."""
    if order == "random":
        return torch.randperm(count, generator=generator(seed, "line order"))
    pick(order, ORDERS, "line order")
    distance = (torch.arange(count) - (count - 1) / 2).abs()
    return distance.argsort(stable=True, descending=order == "edges-in")


class Lines(Degradation):
    """D_t replaces the first groups of rows (or columns), in a fixed order, by their mean.

    Args:
        shape: (C, H, W) of the images.
        axis: "row" or "col".
        steps: the number of steps T; by default one group of lines a step.
        group: how many neighbouring lines share one mean.
        order: "centre-out", "edges-in" or "random" (drawn once from `seed`).
        seed: seed of the random order.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        axis: str,
        steps: int | None = None,
        group: int = 1,
        order: str = "random",
        seed: int = 0,
    ) -> None:
        if axis not in ("row", "col"):
            raise ThawError(f"axis must be row or col, got {axis!r}")
        lines = shape[1] if axis == "row" else shape[2]
        if not 1 <= group <= lines:
            raise ThawError(f"group must be between 1 and the {lines} lines of the image, got {group}")
        count = math.ceil(lines / group)
        super().__init__(shape, count if steps is None else steps)
        self.axis, self.group, self.lines, self.count = axis, group, lines, count
        member = torch.arange(lines) // group  # line -> group
        rank = line_order(count, order, seed).argsort()  # group -> its place in the order
        done = progress(self.steps, count)  # groups averaged by step t
        self.register_buffer("averaged", rank[member] < done[:, None], persistent=False)  # (T+1, lines)
        pool = torch.nn.functional.one_hot(member, count).double()
        self.register_buffer("pool", pool / pool.sum(dim=0), persistent=False)  # (lines, groups)
        self.register_buffer("member", member, persistent=False)

    def means(self, x: Tensor) -> Tensor:
        """Return the mean of each group of lines.  (B, C, H, W) -> (B, C, groups)

        Rounded to a grid of 2^-12, so that averaging twice changes nothing to the last bit (the
        family is nested exactly) and no trace of x0 is left in the rounding. The rounding lets
        gradients through.
        """
        mean = x.mean(dim=3 if self.axis == "row" else 2) @ self.pool.to(x.dtype)
        return on_grid(mean)

    def _paint(self, means: Tensor) -> Tensor:
        """Spread group means back over the image.  (B, C, groups) -> (B, C, H, W)"""
        lines = means[:, :, self.member]
        return (lines[:, :, :, None] if self.axis == "row" else lines[:, :, None, :]).expand(-1, *self.shape)

    def _mask(self, t: Tensor) -> Tensor:
        """Return where lines are averaged.  (B,) -> (B, 1, H, 1) or (B, 1, 1, W) bool"""
        mask = self.averaged[t]  # (B, lines)
        return mask[:, None, :, None] if self.axis == "row" else mask[:, None, None, :]

    def forward(self, x0: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        return torch.where(self._mask(t), self._paint(self.means(x0)), x0)

    def destroyed(self, noise: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        mean = noise.mean(dim=3 if self.axis == "row" else 2) @ self.pool.to(noise.dtype)
        return torch.where(self._mask(t), noise - self._paint(mean), 0)

    def coordinates(self, x_T: Tensor) -> Tensor:
        return self.means(x_T).flatten(1)

    def from_coordinates(self, coordinates: Tensor, z: Tensor | None = None) -> Tensor:
        means = coordinates.reshape(len(coordinates), self.shape[0], self.count).clamp(-1, 1)
        return self._paint(on_grid(means)).contiguous()


@register("row")
def row(
    shape: tuple[int, int, int], steps: int | None = None, group: int = 1, order: str = "random", seed: int = 0
) -> Lines:
    """Rows are averaged, one group a step; see `Lines`."""
    return Lines(shape, "row", steps, group, order, seed)


@register("col")
def col(
    shape: tuple[int, int, int], steps: int | None = None, group: int = 1, order: str = "random", seed: int = 0
) -> Lines:
    """Columns are averaged, one group a step; see `Lines`."""
    return Lines(shape, "col", steps, group, order, seed)
