"""The part of an autoencoder that a flow in its latent needs: images to standardised latents, and back."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thaw import networks
from thaw.base.errors import ThawError
from thaw.base.pixels import check_images
from thaw.experiment.config import Config, make_config
from thaw.networks import Autoencoder

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
    """An autoencoder with the statistics of its latents.

    Attributes:
        config: of the autoencoder.
        shape: (C, H, W) of the images.
        network: in evaluation mode.
        mean, std: of the training set's latents, (c, h, w).
        digest: the autoencoder's hash, see `weights_hash`.
    """

    config: Config
    shape: tuple[int, int, int]
    network: Autoencoder
    mean: Tensor
    std: Tensor
    digest: str

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

    def state(self, half: bool = False) -> dict[str, Any]:
        """Return plain values and tensors for a file; with `half`, weights in fp16."""
        weights = {key: value.half() if half else value for key, value in self.network.state_dict().items()}
        config = json.dumps(self.config.model_dump(mode="json"))
        plain = {"config": config, "shape": list(self.shape), "digest": self.digest}
        return plain | {"network": weights, "mean": self.mean, "std": self.std}

    @classmethod
    def from_state(cls, state: Any, where: str) -> "Coder":
        """Rebuild a coder from `state()`.

        Args:
            state: read from a file.
            where: the file's name, for the message.

        Raises:
            ThawError: if a part is missing or does not fit.
        """
        try:
            config, shape = make_config(json.loads(state["config"]), where), tuple(state["shape"])
            network = networks.build(config.network, shape, 0, **config.network_options())
            network.load_state_dict({key: value.float() for key, value in state["network"].items()})
            mean, std = (state[key].float().reshape(network.latent) for key in ("mean", "std"))
            network = network.eval().to(memory_format=torch.channels_last)  # as models are, so that results are equal
            return cls(config, shape, network, mean, std, str(state["digest"]))
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ThawError(
                f"{where} lacks a whole autoencoder ({reason}); download or train the weights again"
            ) from None
