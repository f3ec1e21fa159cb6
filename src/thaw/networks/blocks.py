"""What the networks share: activations, the condition, residual blocks, attention."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thaw.base import ThawError, pick

ACTIVATIONS = {"silu": nn.SiLU, "gelu": nn.GELU, "selu": nn.SELU}


def activation_of(name: str) -> type[nn.Module]:
    """Return the class of an activation by name; a `ThawError` for an unknown one."""
    return pick(name, ACTIVATIONS, "activation")


def fourier_features(values: Tensor, dim: int) -> Tensor:
    """Sine and cosine features of numbers in [0, 1] at geometric frequencies.  (B,) -> (B, dim)"""
    frequencies = torch.exp(torch.linspace(0.0, math.log(256.0), dim // 2, device=values.device))
    angles = values.float()[:, None] * frequencies * math.pi / 2
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class Condition(nn.Module):
    """Embed time, temperature and class into one vector.

    Time and temperature enter through Fourier features and a shared two-layer perceptron (Ho et
    al. 2020); the class through a table whose row K is the null class of classifier-free guidance.
    A flow map is told two numbers more, with weights that are zero at first: then it is the network without them.
    """

    def __init__(self, dim: int, classes: int, features: int = 64, jumps: bool = False) -> None:
        super().__init__()
        self.features = features
        self.mlp = nn.Sequential(nn.Linear(2 * features, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.label = nn.Embedding(classes + 1, dim)
        if jumps:
            self.jump = nn.Linear(2 * features, dim, bias=False)
            nn.init.zeros_(self.jump.weight)

    def forward(self, time: Tensor, tau: Tensor, y: Tensor, *jump: Tensor) -> Tensor:
        """Return the vector (B, dim) of time and temperature (B,), class y (B,), and a flow map's two more (B,)."""
        first, act, last = self.mlp
        hidden = first(self._numbers(time, tau))
        if jump:
            hidden = hidden + self.jump(self._numbers(*jump))
        return F.silu(last(act(hidden)) + self.label(y))

    @torch.no_grad()
    def hold_temperature(self, tau: float) -> None:
        """Make the vector at every temperature what it is at `tau`, until training tells them apart.

        A network that was trained at one temperature has learned nothing of what the features do at others, and
        the fastest turn within a hundredth: those of the one temperature would stay apart from its neighbours'.
        """
        first = self.mlp[0]
        told = self._numbers(torch.zeros(1), torch.full((1,), tau))[0, self.features :].to(first.weight)
        first.bias += first.weight[:, self.features :] @ told
        first.weight[:, self.features :] = 0.0

    def _numbers(self, *values: Tensor) -> Tensor:
        features = torch.cat([fourier_features(value, self.features) for value in values], dim=1)
        return features.to(self.label.weight.dtype)


class GroupNorm(nn.GroupNorm):
    """In eight groups (fewer where that does not divide), as precise as its weights: fp32 in mixed precision.

    So statistics stay exact; what bf16 units make faster are the convolutions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(math.gcd(8, channels), channels)

    def forward(self, h: Tensor) -> Tensor:
        return super().forward(h.to(self.weight.dtype))


class ResidualBlock(nn.Module):
    """norm, act, conv, norm with scale and shift from the condition, act, conv; plus the input."""

    def __init__(self, c_in: int, c_out: int, condition: int, activation: type[nn.Module], dropout: float) -> None:
        super().__init__()
        self.norm1 = GroupNorm(c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.film = nn.Linear(condition, 2 * c_out)
        self.norm2 = GroupNorm(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        self.act, self.dropout = activation(), nn.Dropout(dropout)
        nn.init.zeros_(self.conv2.weight)  # each block starts as the identity
        nn.init.zeros_(self.conv2.bias)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        r = self.conv1(self.act(self.norm1(h)))
        scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
        r = self.act(self.norm2(r) * (1 + scale) + shift)
        return self.skip(h) + self.conv2(self.dropout(r))


class SelfAttention(nn.Module):
    """Multi-head self-attention over the pixels of a feature map, added to its input."""

    def __init__(self, channels: int, head_dim: int = 32) -> None:
        super().__init__()
        wanted = max(1, channels // head_dim)
        self.heads = next(heads for heads in range(wanted, 0, -1) if channels % heads == 0)
        self.norm = GroupNorm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, h: Tensor) -> Tensor:
        B, C, H, W = h.shape
        qkv = self.qkv(self.norm(h)).reshape(B, 3, self.heads, C // self.heads, H * W).transpose(-1, -2)
        q, k, v = qkv.to(self.qkv.weight.dtype).unbind(dim=1)  # each (B, heads, HW, C/heads)
        with torch.autocast("cpu", enabled=False):  # where attention takes ten times as long in bf16 as in fp32
            mixed = F.scaled_dot_product_attention(q, k, v)
        mixed = mixed.transpose(-1, -2).reshape(B, C, H, W)
        return h + self.out(mixed)


class InvertedBottleneck(nn.Module):
    """norm, 1 x 1 up, act, depthwise 3 x 3, act, 1 x 1 down; plus the input (Sandler et al. 2018).

    Args:
        channels: in and out.
        expansion: hidden channels, as a multiple.
        activation: class of the activation.
        condition: width of a vector that scales and shifts the normed input; 0 for none.
    """

    def __init__(self, channels: int, expansion: int, activation: type[nn.Module], condition: int = 0) -> None:
        super().__init__()
        hidden = expansion * channels
        self.norm = GroupNorm(channels)
        self.film = nn.Linear(condition, 2 * channels) if condition else None
        self.up = nn.Conv2d(channels, hidden, 1)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.down = nn.Conv2d(hidden, channels, 1)
        self.act = activation()
        nn.init.zeros_(self.down.weight)  # each block starts as the identity
        nn.init.zeros_(self.down.bias)

    def forward(self, h: Tensor, condition: Tensor | None = None) -> Tensor:
        r = self.norm(h)
        if self.film is not None:
            scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
            r = r * (1 + scale) + shift
        return h + self.down(self.act(self.depthwise(self.act(self.up(r)))))


class Position(nn.Module):
    """Adds a learnt vector for each row and each column: what a convolution cannot know."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.rows = nn.Parameter(0.02 * torch.randn(channels, size[0], 1))
        self.columns = nn.Parameter(0.02 * torch.randn(channels, 1, size[1]))

    def forward(self, h: Tensor) -> Tensor:
        return h + self.rows + self.columns


def check_stages(network: str, widths: tuple[int, ...], blocks: int, expansion: int, embedding: int) -> None:
    """Raise a `ThawError` for options of which no network of a latent can be built; `network` is its name in words."""
    if not widths or min(widths) < 1:
        raise ThawError(f"{network} needs at least one width above 0, got {tuple(widths)}")
    if min(blocks, expansion, embedding) < 1:
        raise ThawError(
            f"blocks, expansion and embedding must be at least 1, got {blocks}, {expansion} and {embedding}"
        )
