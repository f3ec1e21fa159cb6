"""Scores of generated images: each a record of the value and of everything it depends on."""

import bisect
import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from scipy.stats import chi2_contingency
from torch import Tensor
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from thaw.errors import ThawError
from thaw.features import AsIs, Judge
from thaw.model import Model
from thaw.pixels import to_uint8
from thaw.seeding import derive

KID_SUBSETS, KID_SIZE = 100, 1000  # torchmetrics' defaults


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


def floor_at(judge: Judge, n: int) -> float | None:
    """Return the real-against-real Frechet distance at n images, the mean over the stored seeds; None where none is.

    Between stored sizes it is interpolated in 1/n, the order of the estimator's bias.
    """
    sizes = sorted(judge.floors)
    if not sizes:  # fewer real images than are ever scored
        return None
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


def chi_squared(histogram: Tensor, other: Tensor) -> tuple[float, float]:
    """Test whether two histograms of counts (K,) are draws of one distribution (scipy's test of homogeneity).

    Returns:
        The statistic, K - 1 on average if they are, and its p value. The classes asked for in turn are
        all equal, while MNIST's are not quite: a model that obeys then fails this test from some
        thousand images on.
    """
    both = torch.stack([histogram, other])
    result = chi2_contingency(both[:, both.sum(dim=0) > 0].numpy(), correction=False)
    return float(result.statistic), float(result.pvalue)


@contextlib.contextmanager
def _drawing(purpose: str) -> Iterator[None]:
    """Give torchmetrics, which draws from the global generator, its own stream, and spare users its hints."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.manual_seed(derive(0, purpose))
        yield


def kid(features: Tensor, real: Tensor) -> float:
    """Return torchmetrics' kernel distance (Binkowski et al. 2018) between features (N, D) and real ones (M, D).

    The mean over 100 subsets of 1,000, or of all where there are fewer. It is unbiased: 0 on average for
    real images, and then as often below as above. In float64, because small differences of large sums are taken.
    """
    with _drawing("kid"):
        size = min(KID_SIZE, len(features), len(real))
        metric = KernelInceptionDistance(feature=AsIs(features.shape[1]), subsets=KID_SUBSETS, subset_size=size)
        metric.update(real.double(), real=True)
        metric.update(features.double(), real=False)
        return float(metric.compute()[0])


def inception_score(logits: Tensor) -> float:
    """Return torchmetrics' inception score (Salimans et al. 2016) of class scores (N, K): 1 worst, K best.

    The mean over ten splits. The classes are the judge's, not Inception's.
    """
    with _drawing("inception score"):
        metric = InceptionScore(feature=AsIs(logits.shape[1]))
        metric.update(logits.double())
        return float(metric.compute()[0])


def restoration(restored: Tensor, originals: Tensor, *, seed: int = 0) -> dict[str, Score]:
    """Score restored images against the originals that were degraded.

    Args:
        restored: (N, C, H, W) uint8.
        originals: the same shape and type, in the same order.
        seed: the seed they were restored with, for the record.

    Returns:
        By name: `ssim` (mean structural similarity, 1 for equal images) and `psnr` (dB, of the squared
        error over all images; infinite for equal images), by torchmetrics. They have no floor.

    Raises:
        ThawError: for floats, differing shapes, or no images.
    """
    for images in (restored, originals):
        if images.dtype != torch.uint8:
            raise ThawError(f"scores take uint8 images, got {images.dtype}; use thaw.to_uint8 on pixels in [-1, 1]")
    if restored.shape != originals.shape or restored.ndim != 4 or not len(restored):
        shapes = f"{tuple(restored.shape)} and {tuple(originals.shape)}"
        raise ThawError(f"expected as many restored images (N, C, H, W) as originals, got {shapes}")
    measures = {"ssim": StructuralSimilarityIndexMeasure(data_range=255.0), "psnr": PeakSignalNoiseRatio((0.0, 255.0))}
    scores = {}
    for name, measure in measures.items():
        for pair in zip(restored.split(1000), originals.split(1000), strict=True):
            measure.update(*(images.double() for images in pair))
        scores[name] = Score(name, float(measure.compute()), len(restored), seed, "originals", "")
    return scores


def check_scored(n: int, labels: Tensor | None, num: int) -> None:
    """Raise a `ThawError` unless n images are enough for a covariance of `num` features, and have a label each."""
    if n < 2 * num:
        raise ThawError(f"a score needs at least {2 * num} images, got {n}; draw more")
    if labels is not None and labels.shape != (n,):
        raise ThawError(f"expected one label for each of the {n} images, got {tuple(labels.shape)}")


def evaluate(
    images: Tensor,
    judge: Judge,
    labels: Tensor | None = None,
    *,
    reference: str = "test",
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Score]:
    """Score generated images quickly: what training and the notebooks show.  `thaw.protocol.protocol` measures all.

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
    check_scored(len(images), labels, judge.num)
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
