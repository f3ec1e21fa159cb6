"""Swirl: the image is stirred, the middle more than the rim, and runs into rings.

    python -m thaw budget examples/swirl.py

A rotation by an angle that depends on the place. By itself it would lose nothing, and at T there would be as much to
draw as in the data; so along the way each circle runs into its mean. Whether it is stirred to the left or to the right
is drawn once a trajectory: randomness comes through z alone.
"""

import math

import torch
import torch.nn.functional as F

import thaw


@thaw.register("swirl")
class Swirl(thaw.Degradation):
    """A rotation, of the middle more than of the rim, while circles run into their means.

    D_t(x0; z) = (1 - s^2) swirl(x0; z s) + s^2 rings(x0) with s = t/T. swirl turns a pixel at distance r from the
    middle by z s `turns` (1 - r/r_max) turns, by bilinear interpolation; rings replaces it by what circles of a line's
    width have on average there.

    Args:
        shape: (C, H, W) of the images.
        steps: the number of steps T.
        turns: of the middle, at T.
    """

    def __init__(self, shape: tuple[int, int, int], steps: int = 28, turns: float = 1.0) -> None:
        super().__init__(shape, steps)
        rows, columns = ((torch.arange(size) + 0.5) * 2 / size - 1 for size in shape[1:])  # in [-1, 1]
        place = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)  # (H, W, 2): x, y
        distance = place.norm(dim=-1) / math.sqrt(2)  # of the corners, nearly 1
        ring = (distance * min(shape[1:]) / math.sqrt(2)).flatten()
        on = F.one_hot(ring.round().long()).float()  # (H W, R)
        for name, table in {
            "place": place,
            "angle": 2 * math.pi * turns * (1 - distance),
            "mean": on / on.sum(dim=0).clamp(min=1),  # of a ring's pixels
            "on": on,
        }.items():
            self.register_buffer(name, table, persistent=False)

    def draw_z(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draw the direction, -1 or 1.  (n,)"""
        return 2.0 * torch.randint(2, (n,), generator=generator) - 1

    def forward(self, x0: torch.Tensor, t: torch.Tensor, z: torch.Tensor | None = None) -> torch.Tensor:
        share = (t / self.steps)[:, None, None]
        angle = z.to(x0.device)[:, None, None] * share * self.angle  # (B, H, W)
        sine, cosine = angle.sin(), angle.cos()
        x, y = self.place.unbind(dim=-1)
        grid = torch.stack([cosine * x - sine * y, sine * x + cosine * y], dim=-1).to(x0.dtype)
        stirred = F.grid_sample(x0, grid, padding_mode="border", align_corners=False)
        rings = (x0.flatten(2) @ self.mean @ self.on.mT).view(x0.shape)
        mixed = torch.lerp(stirred, rings, share[:, None].square())
        return torch.where((t == 0)[:, None, None, None], x0, mixed)
