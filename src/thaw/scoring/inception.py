"""Inception's features, as an option: what others call FID, KID and IS, by that name and never mixed with ours.

torchmetrics' metrics on torch-fidelity's network (Szegedy et al. 2015), which was trained on colour photographs of
299 x 299 pixels: images are enlarged to that, and grey ones repeated in three channels. It costs some hundred times
what our own features do.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thaw.base import ThawError, first_line, make_folder, need, sha256, user_path
from thaw.scoring.extractor import Extractor
from thaw.scoring.judge import Judge
from thaw.scoring.real import choose, real_images
from thaw.store import load_tensors, save_tensors

NUM = 2048  # features; twice as many images are the least that is scored


@dataclass(frozen=True)
class Inception(Extractor):
    """The network of torch-fidelity, as torchmetrics uses it."""

    network: Any  # `torchmetrics.image.fid.NoTrainInceptionV3` for the 2,048 features before the last layer
    digest: str  # first 12 digits of the weights' SHA-256; part of every score's record
    prefix = "inception_"
    title, batch = "Inception", 50

    @property
    def num(self) -> int:
        """The number of features."""
        return NUM

    def check(self, images: Tensor) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ThawError(f"Inception takes uint8 images (N, 1 or 3, H, W), got {images.dtype} {tuple(images.shape)}")

    def embed(self, images: Tensor) -> Tensor:
        return self.network(images.expand(-1, 3, -1, -1))

    def known_as(self, judge: Judge) -> str:
        """Return the name that features of a data set are kept by: images of one's own may change under theirs."""
        return judge.data + "".join(f"_{found['digest'][:8]}" for _, found in sorted(judge.fingerprints.items()))

    def of_real(self, judge: Judge, split: str, cache: Path | None = None, progress: bool = False) -> Tensor:
        """Return the features of a split of a judge's data set, kept or computed.  (at most 10,000, 2048)"""
        path = cache / f"inception_{self.known_as(judge)}_{split}_{self.digest}.pth" if cache else None
        if path and path.is_file():
            return load_tensors(path)["features"]
        images = real_images(judge, download=False)[split].images
        features = self.features(choose(images, split), progress=progress)
        if path:
            save_tensors(path, {"features": features})
        return features

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """Return class scores without the bias, as the inception score takes them.  (N, 2048) -> (N, 1008)"""
        return features @ self.network.fc.weight.T


def find_weights(path: str | Path | None = None) -> Path:
    """Return the file of Inception's weights: the one that is named, or torch's cache, downloaded if it is not there.

    Raises:
        ThawError: if torch-fidelity is not installed, or the file is missing and cannot be downloaded.
    """
    need("inception", "torch_fidelity")
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3 as URL

    where = user_path(path) if path else Path(torch.hub.get_dir()) / "checkpoints" / URL.rsplit("/", 1)[1]
    if path and not where.is_file():
        raise ThawError(f"no file {where}; download Inception's weights from {URL}, or leave --weights out")
    if not where.is_file():
        make_folder(where.parent)
        try:
            torch.hub.download_url_to_file(URL, str(where), hash_prefix=where.stem.rsplit("-", 1)[1])
        except (OSError, RuntimeError) as error:  # no connection, or another file than expected
            raise ThawError(
                f"cannot download Inception's weights ({error}); download {URL} elsewhere, "
                f"and put it in {where.parent} or name it with --weights"
            ) from None
    return where


def load_inception(path: Path) -> Inception:
    """Load the network from a file of weights; a `ThawError` if it holds anything else."""
    from torchmetrics.image.fid import NoTrainInceptionV3

    load_tensors(path)  # torch-fidelity would run what code the file holds: refuse anything but tensors first
    try:
        network = NoTrainInceptionV3("inception-v3-compat", [str(NUM)], str(path))
    except (RuntimeError, AttributeError, TypeError) as error:
        raise ThawError(f"{path} does not hold torch-fidelity's Inception weights ({first_line(error)})") from None
    return Inception(network, sha256(path)[:12])
