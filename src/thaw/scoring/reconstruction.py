"""What an autoencoder's reconstructions are worth."""

import torch
from torch import Tensor

from thaw.autoencoder import squared_error
from thaw.base import to_uint8
from thaw.data import ImageSet
from thaw.model import Model
from thaw.store import check_autoencoder


@torch.no_grad()
def reconstruct(model: Model, x: Tensor, batch: int = 500) -> tuple[Tensor, Tensor]:
    """Encode and decode images with an autoencoder, by the mean of the latent.

    Args:
        model: see `check_autoencoder`.
        x: (N, C, H, W) in [-1, 1].
        batch: images at once.

    Returns:
        Images (N, C, H, W) in [-1, 1], and KL(q(latent given x), N(0, I)) in nats (N,); both on the CPU.
    """
    check_autoencoder(model)
    images, divergences = [], []
    model.network.eval()
    for part in x.split(batch):
        part = part.to(model.device)
        x_hat, kl = model.network(part, noise=part.new_zeros(len(part), *model.network.latent))
        images.append(x_hat.clamp(-1, 1).cpu())
        divergences.append(kl.cpu())
    return torch.cat(images), torch.cat(divergences)


def score_reconstruction(model: Model, images: ImageSet) -> dict[str, float]:
    """Return the means over images of the errors of their reconstructions.

    Returns:
        `mse`: the squared error, `l1`: the absolute error, both summed over the pixels on the scale
        [0, 1]; `kl`: the divergence in nats, 0 unless variational.
    """
    x = images.pixels()
    x_hat, kl = reconstruct(model, x)
    l1 = ((x_hat - x) / 2).abs().flatten(1).sum(dim=1)
    return {"mse": float(squared_error(x_hat, x).mean()), "l1": float(l1.mean()), "kl": float(kl.mean())}


def originals_above(model: Model, images: ImageSet, rows: int, columns: int, seed: int = 0) -> tuple[Tensor, int]:
    """Return rows of images drawn from a set, their reconstructions below each, and the columns; of few images fewer.

    Returns:
        (2 N, C, H, W) uint8, and at most `columns`.
    """
    columns = min(columns, len(images))
    shown = images.subset(min(rows, len(images) // columns) * columns, seed)
    x = shown.pixels()
    pairs = torch.stack([part.unflatten(0, (-1, columns)) for part in (x, reconstruct(model, x)[0])], dim=1)
    return to_uint8(pairs.flatten(0, 2)), columns
