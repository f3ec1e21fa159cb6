"""The flow's network: a few inverted bottlenecks on a small latent."""

import torch
from torch import Tensor, nn

from thaw.networks.blocks import (
    Condition,
    GroupNorm,
    InvertedBottleneck,
    Position,
    SelfAttention,
    activation_of,
    check_stages,
)


class Latent(nn.Module):
    """Inverted bottlenecks at one resolution, with attention in the middle, told time and class.

    The class enters twice: into the vector that scales and shifts every block, and as a learnt
    picture beside the input, which costs one number a class and pixel. Label K is the null class.

    Args:
        shape: (c, h, w) of the latent.
        classes: number of classes K; 0 for an unlabelled data set.
        widths: one number of channels a stage.
        blocks: bottlenecks a stage.
        expansion: hidden channels of a bottleneck, as a multiple.
        activation: one of silu, gelu, selu.
        embedding: width of the vector that tells time, temperature and class.

    Raises:
        ThawError: for options that make no network.
    """

    conditional = True

    def __init__(
        self,
        shape: tuple[int, int, int] = (1, 7, 7),
        classes: int = 10,
        widths: tuple[int, ...] = (24, 24),
        blocks: int = 1,
        expansion: int = 2,
        activation: str = "silu",
        embedding: int = 32,
    ) -> None:
        super().__init__()
        act = activation_of(activation)
        check_stages("the latent's network", widths, blocks, expansion, embedding)
        c, h, w = shape
        last = widths[-1]
        self.shape = tuple(shape)
        self.condition = Condition(embedding, classes, features=16)
        self.picture = nn.Embedding(classes + 1, h * w)
        nn.init.zeros_(self.picture.weight)
        self.stem = nn.Conv2d(c + 1, widths[0], 3, padding=1)
        self.position = Position(widths[0], (h, w))
        self.stages = nn.ModuleList()
        for before, width in zip((widths[0], *widths), widths, strict=False):
            change = nn.Conv2d(before, width, 1) if before != width else nn.Identity()
            bottlenecks = nn.ModuleList(InvertedBottleneck(width, expansion, act, embedding) for _ in range(blocks))
            self.stages.append(nn.ModuleList([change, bottlenecks]))
        self.middle = (len(widths) - 1) // 2  # attention follows this stage
        self.attention = SelfAttention(widths[self.middle])
        self.head = nn.Sequential(GroupNorm(last), act(), nn.Conv2d(last, c, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor, tau: Tensor, y: Tensor) -> Tensor:
        """Map noisy latents to the raw prediction of the process.

        Args:
            x: latents (B, c, h, w), standardised, plus noise.
            time: t / T in [0, 1], (B,).
            tau: temperature in [0, 1], (B,).
            y: class labels in 0..K, K the null class, (B,) int64.

        Returns:
            Raw prediction (B, c, h, w); `Process.predict` turns it into x0_hat.
        """
        condition = self.condition(time, tau, y)
        picture = self.picture(y).view(-1, 1, *self.shape[1:])
        h = self.position(self.stem(torch.cat([x, picture], dim=1)))
        for stage, (change, bottlenecks) in enumerate(self.stages):
            h = change(h)
            for bottleneck in bottlenecks:
                h = bottleneck(h, condition)
            if stage == self.middle:
                h = self.attention(h)
        return self.head(h)
