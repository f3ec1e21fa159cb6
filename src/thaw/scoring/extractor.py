"""What images are compared by: a network's features, and sums over those of real images."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from tqdm.auto import tqdm

from thaw.base import ThawError


class Extractor(ABC):
    """A network whose features stand for images: our own (`thaw.scoring.judge.Judge`), or Inception.

    Attributes:
        network: as torchmetrics takes it.
        digest: first 12 digits of the SHA-256 of its weights; part of every score's record.
        num: number of features D.
        prefix: what the names of its scores begin with.
        title, batch: of the progress bar, and images at once.
    """

    network: Any
    digest: str
    num: int
    prefix: ClassVar[str] = ""
    title: ClassVar[str] = "features"
    batch: ClassVar[int] = 500

    @abstractmethod
    def check(self, images: Tensor) -> None:
        """Raise a `ThawError` for what it does not take."""

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """Return class scores before the softmax.  (N, D) -> (N, K)"""

    def embed(self, images: Tensor) -> Tensor:
        """Return the features of a batch.  (B, C, H, W) uint8 -> (B, D)"""
        return self.network(images)

    @torch.no_grad()
    def features(self, images: Tensor, batch: int | None = None, progress: bool = False) -> Tensor:
        """Return the features of uint8 images.  (N, C, H, W) -> (N, D); a `ThawError` for what it does not take."""
        self.check(images)
        parts = tqdm(images.split(batch or self.batch), disable=not progress, desc=self.title, unit="batch")
        return torch.cat([self.embed(part) for part in parts])


def check_uint8(images: Tensor) -> None:
    """Raise a `ThawError` for anything but uint8."""
    if images.dtype != torch.uint8:
        raise ThawError(f"scores take uint8 images, got {images.dtype}; use thaw.to_uint8 on pixels in [-1, 1]")


class AsIs(nn.Module):
    """Lets torchmetrics take features that are already computed."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


@dataclass(frozen=True)
class Statistics:
    """Sums over the features of a set of real images, as torchmetrics keeps them (float64)."""

    total: Tensor  # (D,)
    outer: Tensor  # (D, D)
    count: int
    histogram: Tensor  # (K,) images a class


def statistics(features: Tensor, labels: Tensor, classes: int) -> Statistics:
    """Return the sums of features (N, D) and the class histogram of labels (N,)."""
    features = features.double()
    histogram = torch.bincount(labels, minlength=classes)
    return Statistics(features.sum(dim=0), features.T @ features, len(features), histogram)


def frechet(features: Tensor, reference: Statistics) -> float:
    """Return torchmetrics' Frechet distance (Heusel et al. 2017) between features (N, D) and those of real images."""
    metric = FrechetInceptionDistance(feature=AsIs(features.shape[1]))
    metric.real_features_sum, metric.real_features_cov_sum = reference.total.clone(), reference.outer.clone()
    metric.real_features_num_samples = torch.tensor(reference.count)
    metric.update(features.double(), real=False)
    return float(metric.compute())
