"""A latent as one more process: the autoencoder's training step, and what a flow in its latent needs of it."""

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thaw.base import ThawError, check_images
from thaw.degradations import Scale
from thaw.networks import Autoencoder
from thaw.networks.autoencoder import latent_shape
from thaw.process import Draws, Process

SMALLEST = 0.05  # least standard deviation of a latent's number, as a share of their mean


def weights_hash(state: dict[str, Tensor]) -> str:
    """Return the SHA-256 of a state dict: names and values, in order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def statistics(latents: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each number of the latents.  (N, c, h, w) -> two of (c, h, w)

    A number that hardly varies (the posterior of a VAE may ignore some) is not blown up to unit variance.
    """
    mean, std = latents.mean(dim=0), latents.std(dim=0, correction=min(1, len(latents) - 1))  # of one image: 0
    return mean, std.clamp(min=max(SMALLEST * float(std.mean()), 1e-6))


@dataclass
class Coder:
    """An autoencoder with the statistics of its latents."""

    config: Any  # the autoencoder's experiment, for the record; nothing here reads it
    shape: tuple[int, int, int]  # (C, H, W) of the images
    network: Autoencoder  # in evaluation mode
    # mean, std: of the training set's latents, (c, h, w)
    mean: Tensor
    std: Tensor
    digest: str  # the autoencoder's hash, see `weights_hash`

    @property
    def latent(self) -> tuple[int, int, int]:
        """(c, h, w) of the latent."""
        return self.network.latent

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Return the standardised latents of images: the posterior's mean.  (B, C, H, W) -> (B, c, h, w)"""
        check_images(x, self.shape)
        return (self.network.encode(x)[0] - self.mean) / self.std

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of standardised latents.  (B, c, h, w) -> (B, C, H, W) in [-1, 1]"""
        check_images(latents, self.latent)
        return self.network.decode(latents * self.std + self.mean).clamp(-1, 1)

    def to(self, device: torch.device | str) -> "Coder":
        """Move network and statistics to a device; returns self."""
        self.network.to(device)
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        return self


class Reconstruction(Process):
    """What an autoencoder is trained by: one step that leaves nothing of the image but its latent.

    A `Process`, so that the training loop, its checkpoints and released files are the same.

    Args:
        shape: (C, H, W) of the images.
        options: of the autoencoder.
        alpha: weight of the divergence.
    """

    def __init__(self, shape: tuple[int, int, int], options: dict[str, Any], alpha: float) -> None:
        super().__init__(Scale(shape, steps=1), torch.tensor([0.0, 1.0]), tau=(1.0, 1.0))
        sizes = {key: options[key] for key in ("widths", "patch", "latent_channels", "latent_size")}
        self.latent, self.alpha = latent_shape(shape, **sizes), alpha

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        """Draw the noise of `n` latents, (n, c, h, w); t and tau mean nothing here."""
        noise = torch.randn(n, *self.latent, generator=generator)
        return Draws(torch.ones(n, dtype=torch.long), torch.ones(n), noise, None)

    def loss(self, network: nn.Module, x0: Tensor, y: Tensor, draws: Draws) -> Tensor:
        """Return the squared error (sum over pixels in [0, 1]) plus alpha KL, the mean over images, a scalar."""
        check_images(x0, self.shape)
        x_hat, kl = network(x0, noise=draws.noise)
        return (squared_error(x_hat, x0) + self.alpha * kl).mean()

    def predict(self, raw: Tensor, x_t: Tensor, t: Tensor, tau: Tensor) -> Tensor:
        raise ThawError("an autoencoder draws nothing by itself; train a flow in its latent (configs/latent/)")


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the squared error of images in [-1, 1], summed over the pixels on the scale [0, 1].  (B,)"""
    return ((x_hat - x) / 2).square().flatten(1).sum(dim=1)
