"""Scores of generated images: each a record of the value and of everything it depends on."""

import bisect
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from thaw.errors import ThawError
from thaw.features import Judge
from thaw.model import Model
from thaw.pixels import to_uint8


@dataclass(frozen=True)
class Score:
    """One number with its origin.

    Attributes:
        name: what was measured.
        value: the number.
        n: images scored.
        seed: seed the images were drawn with.
        reference: split of real images it refers to.
        features: digest of the feature network.
        floor: what real images get: for a distance, as many training images; for the entropy, the
            reference split; for the accuracy, the judge's on test images. None where it has no meaning.
    """

    name: str
    value: float
    n: int
    seed: int
    reference: str
    features: str
    floor: float | None = None

    def record(self) -> dict[str, Any]:
        """Return a plain dictionary, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        beside = "" if self.floor is None else f" (real images {self.floor:.2f})"
        return f"{self.name} {self.value:.2f}{beside}, n = {self.n}, seed {self.seed}"


def floor_at(judge: Judge, n: int) -> float:
    """Return the real-against-real Frechet distance at n images, the mean over the stored seeds.

    Between stored sizes it is interpolated in 1/n, the order of the estimator's bias.
    """
    sizes = sorted(judge.floors)
    if not sizes:
        return math.nan
    means = [sum(judge.floors[size]) / len(judge.floors[size]) for size in sizes]
    if n <= sizes[0]:
        return means[0] * sizes[0] / n
    if n >= sizes[-1]:
        return means[-1]
    right = bisect.bisect_left(sizes, n)
    left = right - 1
    share = (1 / n - 1 / sizes[right]) / (1 / sizes[left] - 1 / sizes[right])
    return means[right] + share * (means[left] - means[right])


def entropy(histogram: Tensor) -> float:
    """Return the entropy, in nats, of a histogram of counts (K,); log K where all are equal."""
    shares = histogram.double() / histogram.sum()
    return float(-(shares * shares.clamp(min=1e-300).log()).sum())


def evaluate(
    images: Tensor,
    judge: Judge,
    labels: Tensor | None = None,
    *,
    reference: str = "test",
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Score]:
    """Score generated images.

    Args:
        images: (N, C, H, W) uint8, at least twice as many as the judge has features.
        judge: see `thaw.features.load_judge`.
        labels: (N,) the classes that were asked for, if any.
        reference: split of real images to compare with.
        seed: the seed the images were drawn with, for the record.

    Returns:
        By name: `fid` (Frechet distance of the judge's features, torchmetrics), `entropy` (nats, of
        the class histogram), `confidence` (mean largest class probability), and with labels
        `accuracy` (share of images classified as what was asked for).

    Raises:
        ThawError: for floats, a wrong shape, or too few images for a covariance of full rank.
    """
    least = 2 * judge.num
    if len(images) < least:
        raise ThawError(f"a score needs at least {least} images, got {len(images)}")
    if labels is not None and labels.shape != (len(images),):
        raise ThawError(f"expected one label for each of the {len(images)} images, got {tuple(labels.shape)}")
    features = judge.features(images, progress=progress)
    with torch.no_grad():
        probabilities = judge.network.classify(features)
    top, predicted = probabilities.max(dim=1)
    classes = probabilities.shape[1]
    real = judge.references.get(reference)
    n = len(images)
    values: dict[str, tuple[float, float | None]] = {
        "fid": (judge.distance(features, reference), floor_at(judge, n) if reference == "test" else None),
        "entropy": (entropy(torch.bincount(predicted, minlength=classes)), entropy(real.histogram) if real else None),
        "confidence": (float(top.mean()), None),
    }
    if labels is not None:
        values["accuracy"] = (float((predicted == labels).float().mean()), judge.accuracy)
    return {
        name: Score(name, value, n, seed, reference, judge.digest, floor) for name, (value, floor) in values.items()
    }


def score_model(
    model: Model,
    judge: Judge,
    n: int,
    *,
    reference: str = "test",
    seed: int = 0,
    progress: bool = False,
    **settings: Any,
) -> dict[str, Score]:
    """Draw `n` images, the classes in turn, and score them; `settings` as for `Model.sample`.

    Tune settings with `reference="train"`, so that the test split stays for the final score.
    """
    y = model.labels(n)
    images = to_uint8(model.sample(y, seed=seed, progress=progress, **settings))
    return evaluate(images, judge, y if model.conditional else None, reference=reference, seed=seed)
