"""The plain network of the earlier study, kept as the baseline."""

import math

import torch
from torch import Tensor, nn

from thaw.base import ThawError
from thaw.networks.blocks import activation_of


class CNN(nn.Module):
    """Convolutions of 7 x 7 pixels with layer norms over (C, H, W); the time is added after the first.

    With widths (16, 32, 32, 16) it has the earlier study's 291,217 parameters. It is neither told
    the class nor the temperature.

    Args:
        shape: (C, H, W) of the images.
        classes: ignored; kept so that all networks are built alike.
        widths: channels of the hidden layers.
        activation: one of silu, gelu, selu.
    """

    conditional = False

    def __init__(
        self,
        shape: tuple[int, int, int] = (1, 28, 28),
        classes: int = 0,
        widths: tuple[int, ...] = (16, 32, 32, 16),
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        act = activation_of(activation)
        if not widths:
            raise ThawError("the CNN needs at least one hidden layer; widths is empty")
        C, H, W = shape
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c_in, c_out, 7, padding=3), nn.LayerNorm((c_out, H, W)), act())
            for c_in, c_out in zip((C, *widths), widths, strict=False)
        )
        self.last = nn.Conv2d(widths[-1], C, 3, padding=1)
        self.embed = nn.Sequential(
            *(nn.Linear(32, 128), act(), nn.Linear(128, 128), act(), nn.Linear(128, 128), act()),
            nn.Linear(128, widths[0]),
        )
        self.register_buffer("frequencies", 2 * math.pi * 1.5 ** torch.arange(16), persistent=False)

    def forward(self, x: Tensor, time: Tensor, tau: Tensor, y: Tensor) -> Tensor:
        """Map images (B, C, H, W) at times (B,) in [0, 1] to the raw prediction; tau and y are ignored."""
        angles = time.float()[:, None] * self.frequencies  # (B, 16)
        embedding = self.embed(torch.cat([angles.sin(), angles.cos()], dim=1))
        h = self.layers[0](x) + embedding[:, :, None, None]
        for layer in self.layers[1:]:
            h = layer(h)
        return self.last(h)
