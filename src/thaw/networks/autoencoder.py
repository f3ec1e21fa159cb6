"""The autoencoders: inverted bottlenecks with depthwise convolutions, and self-attention (MobileNetV2, ViT)."""

import torch.nn.functional as F
from torch import Tensor, nn

from thaw.base import ThawError
from thaw.networks.blocks import GroupNorm, InvertedBottleneck, Position, SelfAttention, activation_of


def latent_shape(
    shape: tuple[int, int, int],
    widths: tuple[int, ...],
    patch: int = 2,
    latent_channels: int = 1,
    latent_size: int | None = None,
) -> tuple[int, int, int]:
    """Return the (c, h, w) of an autoencoder's latent; the arguments are those of `Autoencoder`.

    Raises:
        ThawError: for a latent larger than the lowest resolution of the network.
    """
    factor = patch * 2 ** (len(widths) - 1)
    lowest = [-(-side // factor) for side in shape[1:]]
    if latent_size is None:
        return latent_channels, *lowest
    if not 1 <= latent_size <= min(lowest):
        raise ThawError(
            f"latent_size must be between 1 and {min(lowest)} for images of {shape[1]} x {shape[2]} with "
            f"patch={patch} and {len(widths)} widths, got {latent_size}; take a smaller one, or fewer widths"
        )
    return latent_channels, latent_size, latent_size


class Autoencoder(nn.Module):
    """Images to a small latent and back.

    The image is unshuffled by `patch`, each further width halves the resolution, and attention looks
    over the lowest. A `latent_size` below the lowest resolution is reached by one unpadded convolution.

    Args:
        shape: (C, H, W) of the images; any size (padded inside).
        classes: ignored; kept so that all networks are built alike.
        widths: channels per resolution, highest first.
        blocks: inverted bottlenecks per resolution, on the way down and on the way up.
        patch: factor of the unshuffling.
        expansion: hidden channels of a bottleneck, as a multiple.
        latent_channels, latent_size: the latent is (channels, size, size); size None leaves the lowest resolution.
        activation: one of silu, gelu, selu.

    Raises:
        ThawError: for options that do not fit each other or the images.
    """

    conditional = False
    variational = False

    def __init__(
        self,
        shape: tuple[int, int, int] = (1, 28, 28),
        classes: int = 0,
        widths: tuple[int, ...] = (24, 40),
        blocks: int = 1,
        patch: int = 2,
        expansion: int = 3,
        latent_channels: int = 1,
        latent_size: int | None = None,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        act = activation_of(activation)
        if not widths or min(widths) < 1:
            raise ThawError(f"an autoencoder needs at least one width above 0, got {tuple(widths)}")
        if min(blocks, patch, expansion, latent_channels) < 1:
            raise ThawError(
                "blocks, patch, expansion and latent_channels of an autoencoder must be at least 1, "
                f"got {blocks}, {patch}, {expansion} and {latent_channels}"
            )
        self.shape, self.patch = tuple(shape), patch
        self.latent = latent_shape(self.shape, widths, patch, latent_channels, latent_size)
        self.factor = patch * 2 ** (len(widths) - 1)
        C, H, W = self.shape
        lowest = tuple(-(-side // self.factor) for side in (H, W))
        window = tuple(low - small + 1 for low, small in zip(lowest, self.latent[1:], strict=True))
        channels = C * patch * patch
        widest = widths[-1]

        def level(width: int) -> list[nn.Module]:
            return [InvertedBottleneck(width, expansion, act) for _ in range(blocks)]

        down: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1), *level(widths[0])]
        up: list[nn.Module] = []
        for width, below in zip(widths, widths[1:], strict=False):
            down += [nn.Conv2d(width, below, 2, stride=2), *level(below)]
            up = [*level(below), nn.ConvTranspose2d(below, width, 2, stride=2), *up]
        up += level(widths[0])
        outputs = latent_channels * (2 if self.variational else 1)
        self.encoder = nn.Sequential(
            *down, SelfAttention(widest), GroupNorm(widest), act(),
            nn.Conv2d(widest, outputs, window),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(latent_channels, widest, window), Position(widest, lowest), SelfAttention(widest),
            *up, GroupNorm(widths[0]), act(), nn.Conv2d(widths[0], channels, 3, padding=1),
        )  # fmt: skip

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map images (B, C, H, W) in [-1, 1] to the mean and the log-variance of their latents, (B, c, h, w) each.

        The log-variance is None where the autoencoder is not variational.
        """
        H, W = x.shape[-2:]
        x = F.pad(x, (0, -W % self.factor, 0, -H % self.factor), value=-1.0)
        h = self.encoder(F.pixel_unshuffle(x, self.patch))
        if not self.variational:
            return h, None
        mean, log_variance = h.chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 4)

    def decode(self, latent: Tensor) -> Tensor:
        """Map latents (B, c, h, w) to images (B, C, H, W), about [-1, 1] (not clipped)."""
        H, W = self.shape[1:]
        return F.pixel_shuffle(self.decoder(latent), self.patch)[..., :H, :W]

    def forward(
        self,
        x: Tensor,
        time: Tensor | None = None,
        tau: Tensor | None = None,
        y: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Reconstruct images; `time`, `tau` and `y` are ignored, so that all networks are called alike.

        Args:
            x: images (B, C, H, W) in [-1, 1].
            noise: standard normal (B, c, h, w): the latent is drawn with it, and the divergence returned.

        Returns:
            (B, C, H, W); with `noise` also KL(q(latent given x), N(0, I)) in nats, (B,), 0 unless variational.
        """
        mean, log_variance = self.encode(x)
        if noise is None:
            return self.decode(mean)
        if log_variance is None:
            return self.decode(mean), mean.new_zeros(len(x))
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(dim=1)
        return self.decode(mean + (0.5 * log_variance).exp() * noise), kl


class VAE(Autoencoder):
    """The variational autoencoder (Kingma & Welling 2014): the latent has a mean and a variance."""

    variational = True
