"""The flow's network for latents of a few dozen numbers: a residual perceptron."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from thaw.networks.blocks import Condition, activation_of, check_stages


class Block(nn.Module):
    """norm, scale and shift from the condition, linear, act, linear; plus the input (Peebles & Xie 2023)."""

    def __init__(self, width: int, hidden: int, condition: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.film = nn.Linear(condition, 2 * width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.act = activation()
        nn.init.zeros_(self.down.weight)  # each block starts as the identity
        nn.init.zeros_(self.down.bias)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition).chunk(2, dim=1)
        r = F.layer_norm(h, h.shape[1:]) * (1 + scale) + shift
        return h + self.down(self.act(self.up(r)))


class MLP(nn.Module):
    """All numbers of the latent as one vector, through residual blocks told time and class.

    With 49 numbers there is little that neighbourhood tells: in the same minute it sees some ten times as many
    latents as convolutions do, and learns them better. The class enters twice: into the vector that scales and
    shifts every block, and as a vector added to the input. Label K is the null class.

    Args:
        shape: (c, h, w) of the latent.
        classes: number of classes K; 0 for an unlabelled data set.
        widths: one width a stage.
        blocks: residual blocks a stage.
        expansion: hidden width of a block, as a multiple.
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
        widths: tuple[int, ...] = (64, 64),
        blocks: int = 1,
        expansion: int = 1,
        activation: str = "silu",
        embedding: int = 32,
    ) -> None:
        super().__init__()
        act = activation_of(activation)
        check_stages("the perceptron", widths, blocks, expansion, embedding)
        D = math.prod(shape)
        self.condition = Condition(embedding, classes, features=16)
        self.stem = nn.Linear(D, widths[0])
        self.label = nn.Embedding(classes + 1, widths[0])
        nn.init.zeros_(self.label.weight)
        self.blocks = nn.ModuleList()
        for before, width in zip((widths[0], *widths), widths, strict=False):
            self.blocks.append(nn.Linear(before, width) if before != width else nn.Identity())
            self.blocks.extend(Block(width, expansion * width, embedding, act) for _ in range(blocks))
        self.head = nn.Sequential(nn.LayerNorm(widths[-1]), act(), nn.Linear(widths[-1], D))

    def forward(self, x: Tensor, time: Tensor, tau: Tensor, y: Tensor) -> Tensor:
        """Map noisy latents (B, c, h, w) to the raw prediction of the process, told what `Latent.forward` is told."""
        condition = self.condition(time, tau, y)
        h = self.stem(x.flatten(1)) + self.label(y)
        for block in self.blocks:
            h = block(h, condition) if isinstance(block, Block) else block(h)
        return self.head(h).view_as(x)
