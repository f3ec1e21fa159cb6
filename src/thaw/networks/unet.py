"""The default network: a small U-Net that is told the time, the temperature and the class."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thaw.base import ThawError
from thaw.networks.blocks import Condition, GroupNorm, ResidualBlock, SelfAttention, activation_of


class UNet(nn.Module):
    """U-Net on pixel-unshuffled images, with attention at the lowest resolution only.

    Args:
        shape: (C, H, W) of the images; any size (padded to a multiple of `patch` inside).
        classes: number of classes K; label K is the null class. 0 for an unlabelled data set.
        widths: channels per resolution, highest first; each level halves the resolution.
        blocks: residual blocks per level on the way down and on the way up; twice as many, with
            the attention between them, at the lowest resolution.
        patch: the image is unshuffled by this factor before the first convolution: 28 x 28
            becomes 14 x 14, four times fewer multiply-adds for the same width.
        activation: one of silu, gelu, selu.
        dropout: dropout probability inside the residual blocks.
        observed: above 0 for a second input, the degraded picture without noise (its share of the images is the
            process's); it begins with weights of zero, as if it were not there.
        flow_map: the range of guidance weights of a flow map, which is also told where it jumps to and the weight;
            None for a network that is told neither.
    """

    conditional = True

    def __init__(
        self,
        shape: tuple[int, int, int] = (1, 28, 28),
        classes: int = 10,
        widths: tuple[int, ...] = (32, 64),
        blocks: int = 1,
        patch: int = 2,
        activation: str = "silu",
        dropout: float = 0.0,
        observed: float = 0.0,
        flow_map: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        act = activation_of(activation)
        if not widths or any(width % 8 for width in widths):
            raise ThawError(f"U-Net widths must be multiples of 8, got {tuple(widths)}")
        self.shape, self.classes, self.patch = tuple(shape), classes, patch
        dim = 2 * widths[-1]
        channels = shape[0] * patch * patch
        self.condition = Condition(dim, classes, jumps=flow_map is not None)
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)

        def block(c_in: int, c_out: int) -> ResidualBlock:
            return ResidualBlock(c_in, c_out, dim, act, dropout)

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for width, below in zip(widths, widths[1:], strict=False):
            self.down.append(nn.ModuleList(block(width, width) for _ in range(blocks)))
            self.up.append(nn.ModuleList(block(2 * width if i == 0 else width, width) for i in range(blocks)))
            self.shrink.append(nn.Conv2d(width, below, 3, stride=2, padding=1))
            self.grow.append(nn.Conv2d(below, width, 1))
        self.middle = nn.ModuleList(block(widths[-1], widths[-1]) for _ in range(2 * blocks))
        self.attention = SelfAttention(widths[-1])
        self.head = nn.Sequential(GroupNorm(widths[0]), act(), nn.Conv2d(widths[0], channels, 3, padding=1))
        if observed:
            # Beside the stem, and as a whole into the condition. No biases: zeros, for nothing seen, change nothing.
            self.seen_stem = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
            whole = nn.Linear(math.prod(shape), dim, bias=False), act(), nn.Linear(dim, dim, bias=False)
            self.seen_whole = nn.Sequential(nn.Flatten(), *whole)
            for last in (self.seen_stem, self.seen_whole[-1]):
                nn.init.zeros_(last.weight)

    def forward(
        self, x: Tensor, time: Tensor, tau: Tensor, y: Tensor, seen: Tensor | None = None, jump: Sequence[Tensor] = ()
    ) -> Tensor:
        """Map noisy images to the raw prediction of the process.

        Args:
            x: images (B, C, H, W), about [-1, 1] plus noise.
            time: t / T in [0, 1], (B,).
            tau: temperature in [0, 1], (B,).
            y: class labels in 0..K, K the null class, (B,) int64.
            seen: degraded pictures without noise, (B, C, H, W) in [-1, 1]; zeros, or None, for none.
            jump: of a flow map: s / T of the step it jumps to, and guidance as a share of its range, (B,) each.

        Returns:
            Raw prediction (B, C, H, W); `Process.predict` turns it into x0_hat.
        """
        H, W = x.shape[-2:]
        condition = self.condition(time, tau, y, *jump)
        h = self.stem(self._unshuffled(x))
        if seen is not None:
            h, condition = h + self.seen_stem(self._unshuffled(seen)), condition + self.seen_whole(seen)
        skips = []
        for down, shrink in zip(self.down, self.shrink, strict=True):
            for residual in down:
                h = residual(h, condition)
            skips.append(h)
            h = shrink(h)
        for depth, residual in enumerate(self.middle):
            h = residual(self.attention(h) if 2 * depth == len(self.middle) else h, condition)
        for up, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            skip = skips.pop()
            h = torch.cat([F.interpolate(grow(h), size=skip.shape[-2:], mode="nearest"), skip], dim=1)
            for residual in up:
                h = residual(h, condition)
        return F.pixel_shuffle(self.head(h), self.patch)[..., :H, :W]

    def _unshuffled(self, x: Tensor) -> Tensor:
        """Return images with each patch of pixels as channels.  (B, C, H, W) -> (B, C p p, H / p, W / p)"""
        H, W = x.shape[-2:]
        x = F.pad(x, (0, -W % self.patch, 0, -H % self.patch))
        return F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last)
