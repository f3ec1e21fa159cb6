"""Measures: what is measured of images, a function and a row of `MEASURES` each."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature

import numpy as np
import scipy.stats
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image import PeakSignalNoiseRatio
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from thaw.base import ThawError, derive, pick
from thaw.scoring.evidence import NAMES, OF_RESTORATIONS
from thaw.scoring.extractor import AsIs, frechet
from thaw.scoring.floors import accuracy_like

KID_SUBSETS, KID_SIZE = 100, 1000  # torchmetrics' defaults
NEAR = 0.01  # share of test images that count as near to a training image
SSIM_WINDOW = 11  # pixels: a Gaussian of deviation 1.5


def shares(histogram: Tensor) -> list[float]:
    """Return the share of each class in a histogram of counts (K,)."""
    return (histogram.double() / histogram.sum()).tolist()


def entropy(histogram: Tensor) -> float:
    """Return the entropy, in nats, of a histogram of counts (K,); log K where all are equal."""
    return float(scipy.stats.entropy(histogram.numpy()))


def chi_squared(histogram: Tensor, other: Tensor) -> tuple[float, float]:
    """Test whether two histograms of counts (K,) are draws of one distribution (scipy's test of homogeneity).

    Returns:
        The statistic, K - 1 on average if they are, and its p value. The classes asked for in turn are
        all equal, while MNIST's are not quite: a model that obeys then fails this test from some
        thousand images on.
    """
    both = torch.stack([histogram, other])
    result = scipy.stats.chi2_contingency(both[:, both.sum(dim=0) > 0].numpy(), correction=False)
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


def ssim(images: Tensor, others: Tensor) -> Tensor:
    """Return the structural similarity of each pair of images, 1 for equal ones.  (N, C, H, W) uint8 -> (N,) float64

    As Wang et al. (2004) define it: the mean over all places at which the whole window lies in the image. torchmetrics'
    own mean counts the border too, at which its window sees the image reflected.

    Raises:
        ThawError: for images smaller than the window.
    """
    height, width = images.shape[2:]
    if min(height, width) < SSIM_WINDOW:
        raise ThawError(
            f"structural similarity compares windows of {SSIM_WINDOW} x {SSIM_WINDOW} pixels; "
            f"images of {height} x {width} hold none"
        )
    edge = SSIM_WINDOW // 2
    pair, settings = (images.double(), others.double()), {"data_range": 255.0, "sigma": 1.5, "reduction": "none"}
    each = structural_similarity_index_measure(*pair, return_full_image=True, **settings)[1]
    return each[..., edge : height - edge, edge : width - edge].flatten(1).mean(dim=1)


def psnr(images: Tensor, originals: Tensor) -> float:
    """Return the ratio of peak to noise in dB, of the squared error over all pairs; infinite for equal images."""
    metric = PeakSignalNoiseRatio((0.0, 255.0))
    for pair in zip(images.split(1000), originals.split(1000), strict=True):
        metric.update(*(part.double() for part in pair))
    return float(metric.compute())


def mean_ssim(images: Tensor, originals: Tensor) -> float | None:
    """Return the mean of `ssim`; None for images that do not hold its window."""
    if min(images.shape[2:]) < SSIM_WINDOW:
        return None
    pairs = zip(images.split(1000), originals.split(1000), strict=True)
    return float(torch.cat([ssim(*pair) for pair in pairs]).mean())


def error_ratio(images: Tensor, originals: Tensor, direct: Tensor) -> float | None:
    """Return the squared error of restorations over that of direct ones, all (N, C, H, W); None where these have none.

    2 for draws from the exact posterior beside its mean: to the mean's error comes their own spread, which is as large.
    """
    error, of_direct = (float((found.double() - originals.double()).square().sum()) for found in (images, direct))
    return error / of_direct if of_direct else None


def spread_skill(draws: Tensor, originals: Tensor) -> float | None:
    """Return the spread of M restorations (M, N, C, H, W) of each picture over the error of their mean.

    Both are roots of mean squares over all pixels; times sqrt((M + 1) / M), as few draws need it (Fortin et al. 2014),
    1 for draws from the exact posterior. None for a single draw, or a mean without error.
    """
    M = len(draws)
    error = float((draws.double().mean(dim=0) - originals.double()).square().mean())
    return (float(draws.double().var(dim=0).mean()) / error * (M + 1) / M) ** 0.5 if M > 1 and error else None


def consistency(degraded: Tensor, again: Tensor) -> float:
    """Return by how much restorations, degraded again, miss the given pictures: root mean square, pixels in [-1, 1]."""
    return float((again.double() - degraded.double()).square().mean().sqrt())


def near(distances: Tensor, of_test: Tensor) -> Tensor:
    """Tell which distances (N,) to training images are less than all but `NEAR` of those of test images (M,).  (N,)"""
    return distances < of_test.quantile(NEAR)


@dataclass(frozen=True)
class Measure:
    """One row of `MEASURES`.

    Attributes:
        title: what figures and sentences call it.
        form: format of its value.
        of: computes it. Its parameters name what it needs of `thaw.scoring.evidence.Evidence`; where some of that is
            not at hand, or it returns None, the measure is left out. A list is a number a class: `share_0`, ...
        better: "lower" or "higher"; empty where neither is.
        factor: 100 where reports tell it in percent.
        quick: whether `evaluate` measures it too, which training and the notebooks show.
        inception: whether it is also taken of Inception's features, as `inception_<name>`.
        against: the split that it always refers to; empty for the reference that was chosen.
        floor: computes what real images get, as `of` does; None for the rule: as many real images of each class are
            measured in the same way. Restorations have none but this: what exact inference gets.
        seen: the same, in place of the rule, where the classes were not asked for but seen in the images.

    Raises:
        ThawError: for a function that needs what there is not.
    """

    title: str
    form: str
    of: Callable[..., float | list[float] | None]
    better: str = ""
    factor: int = 1
    quick: bool = False
    inception: bool = False
    against: str = ""
    floor: Callable[..., float | list[float] | None] | None = None
    seen: Callable[..., float | list[float] | None] | None = None

    def __post_init__(self) -> None:
        for function in [one for one in (self.of, self.floor, self.seen) if one is not None]:
            for name in signature(function).parameters:
                pick(name, NAMES, f"evidence of the measure {self.title!r}:")

    @property
    def restores(self) -> bool:
        """Whether it is a measure of restorations, by what it needs; the others are of samples."""
        return not signature(self.of).parameters.keys().isdisjoint(OF_RESTORATIONS)

    def reported(self, value: float) -> tuple[float, str]:
        """Return a value and its format as reports tell it."""
        return (value, self.form) if self.factor == 1 else (self.factor * value, ".1f")


MEASURES = {
    "fid": Measure("Fréchet distance", ".2f", frechet, "lower", quick=True, inception=True),
    "kid": Measure("kernel distance", ".4f", kid, "lower", inception=True),
    "is": Measure("inception score", ".2f", inception_score, "higher", inception=True),
    "precision": Measure("precision", ".3f", lambda manifolds: manifolds.precision, "higher"),
    "recall": Measure("recall", ".3f", lambda manifolds: manifolds.recall, "higher"),
    "density": Measure("density", ".3f", lambda manifolds: manifolds.density),
    "coverage": Measure("coverage", ".3f", lambda manifolds: manifolds.coverage, "higher"),
    "entropy": Measure("class entropy", ".3f", entropy, quick=True, seen=lambda expected: entropy(expected)),
    "chi2": Measure("chi-squared of the classes", ".1f",
                    lambda histogram, expected: chi_squared(histogram, expected)[0], "lower", against="train",
                    seen=lambda expected: int((expected > 0).sum()) - 1),
    "chi2_p": Measure("p of the classes", ".3f", lambda histogram, expected: chi_squared(histogram, expected)[1],
                      against="train", floor=lambda: None),  # theirs is one draw from 0 to 1: it tells nothing
    "confidence": Measure("confidence", ".3f", lambda logits: logits.softmax(dim=1).amax(dim=1).mean(), factor=100,
                          quick=True),
    "share": Measure("share of the class", ".3f", shares, against="train", seen=lambda expected: shares(expected)),
    "accuracy": Measure("accuracy", ".3f", lambda predicted, labels: (predicted == labels).float().mean(), "higher",
                        factor=100, quick=True, floor=accuracy_like),
    "novelty": Measure("novelty", ".2f", lambda distances: distances.median(), against="train",
                       floor=lambda of_test, weights:
                       np.quantile(of_test.numpy(), 0.5, weights=weights.numpy(), method="inverted_cdf")),
    "copies": Measure("copies", ".3f", lambda distances, of_test: near(distances, of_test).double().mean(), "lower",
                      against="train", floor=lambda of_test, weights: weights[near(of_test, of_test)].sum()),
    "agreement": Measure("class agreement", ".3f", lambda predicted, true: (predicted == true).float().mean(), "higher",
                         factor=100, floor=lambda ceiling: ceiling),
    "psnr": Measure("PSNR", ".1f", psnr, "higher"),
    "ssim": Measure("SSIM", ".2f", mean_ssim, "higher"),
    "error_ratio": Measure("squared error : direct", ".2f", error_ratio, floor=lambda direct: 2.0),
    "spread_skill": Measure("spread : error", ".2f", spread_skill, floor=lambda draws: 1.0),
    "consistency": Measure("consistency", ".3f", consistency, "lower", floor=lambda degraded: 0.0),
}  # fmt: skip


def chosen(wanted: Callable[[Measure], bool]) -> dict[str, Measure]:
    """Return the rows of `MEASURES` that are wanted."""
    return {name: row for name, row in MEASURES.items() if wanted(row)}


def row_of(name: str) -> Measure:
    """Return the row of a score: of `fid`, of `inception_fid`, of `share_3`; a `ThawError` if there is none."""
    whole = name.removeprefix("inception_")
    return pick(whole if whole in MEASURES else whole.rpartition("_")[0] or whole, MEASURES, "measure")
