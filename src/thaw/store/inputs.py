"""What an experiment is trained on: a data set, a folder of images, or latents, encoded once and cached."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from thaw import data
from thaw.autoencoder import Coder, statistics, weights_hash
from thaw.base import ThawError, check_target
from thaw.data import ImageSet, load_folder, load_pairs
from thaw.experiment import Config
from thaw.model import Model
from thaw.networks import Autoencoder
from thaw.store.tensors import load_tensors, save_tensors
from thaw.store.weights import load_model

LATENTS = Path("contents/latents")


@dataclass(frozen=True)
class Latents(ImageSet):
    """Standardised latents of a data set, (N, c, h, w) float32, for the training loop in place of its images."""

    coder: Coder | None = None  # what encoded them
    # The fingerprint of the images that were, by which a run knows its data: latents' last digits depend on the machine
    encoded: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """That of the images."""
        return self.encoded

    def pixels(self, index: Tensor | slice = slice(None)) -> Tensor:
        """Return latents as they are.  (n,) indices -> (n, c, h, w)"""
        return self.images[index]


def load_data(config: Config, split: str = "train", *, download: bool = True, coder: Coder | None = None) -> ImageSet:
    """Load the data set of a configuration, a folder of images or latents included; a `ThawError` if it is missing.

    Latents are those of a loaded model's `coder`, or else of the configuration's.
    """
    if config.autoencoder is not None:
        return load_latents(config, split, coder)
    if not config.of_a_folder:
        return data.load(config.data, split, download=download, emnist=config.emnist_split)
    extensions = tuple(config.data_extensions)
    shape = (config.data_size, config.data_channels)
    read = load_folder if config.data == "folder" else load_pairs
    return read(Path(config.data_path), split, *shape, extensions, config.background)


@torch.no_grad()
def encode_dataset(
    network: Autoencoder, images: ImageSet, folder: Path = LATENTS, batch: int = 500, progress: bool = False
) -> Tensor:
    """Encode a data set by the mean of the latent, or read what was encoded before.

    Args:
        network: the autoencoder, on any device.
        images: any split.
        folder: of the cache; a file's name tells data set, split, and the hashes of weights and images.
        batch: images at once.
        progress: show a progress bar.

    Returns:
        (N, c, h, w) float32 on the CPU, not standardised.
    """
    path = latents_path(network, images, folder)
    try:
        latents = load_tensors(path)["latents"] if path.is_file() else None
    except (ThawError, KeyError):
        latents = None  # damaged: encoded again
    if isinstance(latents, Tensor) and latents.shape == (len(images), *network.latent):
        return latents
    check_target(path, ".pt")
    network.eval()
    starts = tqdm(range(0, len(images), batch), disable=not progress, desc="encoding", unit="batch")
    device = next(network.parameters()).device
    parts = [network.encode(images.pixels(slice(start, start + batch)).to(device))[0].cpu() for start in starts]
    latents = torch.cat(parts)
    save_tensors(path, {"latents": latents})
    return latents


def latents_path(network: Autoencoder, images: ImageSet, folder: Path = LATENTS) -> Path:
    """Return where the latents of a data set are cached."""
    of_images = hashlib.sha256(images.images.contiguous().numpy().tobytes()).hexdigest()[:8]
    return folder / f"{images.name}_{images.split}_{weights_hash(network.state_dict())[:16]}_{of_images}.pt"


def images_of(config: Config, split: str) -> ImageSet:
    """Load the images behind a latent data set; `limit` shortens the training split as training does."""
    images = load_data(config.model_copy(update={"autoencoder": None}), split)
    if split == "train" and config.limit is not None:
        return images.subset(min(config.limit, len(images)), config.seed)
    return images


def check_autoencoder(model: Model) -> None:
    """Raise a `ThawError` unless the model is an autoencoder."""
    if model.config.study != "autoencoder":
        raise ThawError(
            f"{model.info.get('file', model.config.label)} is no autoencoder (study {model.config.study}); "
            "train one from configs/autoencoder/"
        )


def open_coder(config: Config, folder: Path = LATENTS) -> Coder:
    """Load the autoencoder of a configuration, with the statistics of the training set's latents.

    Raises:
        ThawError: if it is missing, no autoencoder, or one of other images.
    """
    path = Path(config.autoencoder)
    if not path.exists():
        raise ThawError(
            f"no autoencoder {path}; train it first (thaw train --config configs/autoencoder/NAME.yaml), "
            "or set autoencoder to a run directory or a .pth file"
        )
    model = load_model(path)
    check_autoencoder(model)
    images = images_of(config, "train")
    if model.config.data_name != config.data_name or model.process.shape != images.shape:
        raise ThawError(
            f"{path} encodes {model.config.data_name} {model.process.shape}, not {config.data_name} {images.shape}; "
            "train an autoencoder on this data set"
        )
    mean, std = statistics(encode_dataset(model.network, images, folder))
    digest = weights_hash(model.network.state_dict())
    return Coder(model.config, model.process.shape, model.network, mean, std, digest)


def flat_map(latents: Latents) -> Tensor:
    """Return where latents lie on a map that keeps neighbours together (t-SNE, van der Maaten & Hinton 2008).  (N, 2)

    Of fewer than four, which have too few neighbours, the first two numbers.
    """
    from sklearn.manifold import TSNE

    points = latents.images.flatten(1)
    if len(points) < 4 or points.shape[1] < 2:
        return torch.nn.functional.pad(points[:, :2], (0, max(0, 2 - points.shape[1])))
    near = min(30.0, (len(points) - 1) / 3)  # sklearn's default is 30
    return torch.from_numpy(TSNE(init="pca", perplexity=near, random_state=0).fit_transform(points.numpy()))


def load_latents(config: Config, split: str = "train", coder: Coder | None = None, folder: Path = LATENTS) -> Latents:
    """Return a split of a configuration's data set in the latent, encoding it where that was not done before.

    Args:
        config: with `autoencoder`.
        split: "train" or "test".
        coder: of a loaded model; opened from the configuration by default.
        folder: of the cache.

    Raises:
        ThawError: as `open_coder` and `thaw.data.load`.
    """
    coder = open_coder(config, folder) if coder is None else coder
    images = images_of(config, split)
    latents = (encode_dataset(coder.network, images, folder) - coder.mean.cpu()) / coder.std.cpu()
    told = {"source": images.source, "names": images.names, "encoded": images.fingerprint}
    return Latents(images.name, split, latents, images.labels, images.classes, coder=coder, **told)
