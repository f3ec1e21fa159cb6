"""Scores of generated images: each a record of the value and of everything it depends on."""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from scipy.stats import chi2_contingency
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image import PeakSignalNoiseRatio
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from thaw.base.errors import ThawError
from thaw.base.pixels import to_uint8
from thaw.base.seeding import derive
from thaw.base.text import number
from thaw.model import Model
from thaw.scoring.floors import OTHER, Classes, accuracy_like, draws_like, scored_classes
from thaw.scoring.judge import AsIs, Judge
from thaw.scoring.real import known_real

KID_SUBSETS, KID_SIZE = 100, 1000  # torchmetrics' defaults
SSIM_WINDOW = 11  # pixels: a Gaussian of deviation 1.5


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
        floor: what real images get, counted by class as the scored ones are: as many of the split that is not the
            reference, test images for the accuracy. None where it has no meaning, or they are too few.
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
        beside = "" if self.floor is None else f" (real images {number(self.floor)})"
        return f"{self.name} {number(self.value)}{beside}, n = {self.n}, seed {self.seed}"


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


def restoration(restored: Tensor, originals: Tensor, *, seed: int = 0) -> dict[str, Score]:
    """Score restored images against the originals that were degraded.

    Args:
        restored: (N, C, H, W) uint8.
        originals: the same shape and type, in the same order.
        seed: the seed they were restored with, for the record.

    Returns:
        By name: `psnr` (dB, of the squared error over all images; infinite for equal images) and, for images that hold
        its window, `ssim` (the mean of `ssim` above). They have no floor.

    Raises:
        ThawError: for floats, differing shapes, or no images.
    """
    for images in (restored, originals):
        if images.dtype != torch.uint8:
            raise ThawError(f"scores take uint8 images, got {images.dtype}; use thaw.to_uint8 on pixels in [-1, 1]")
    if restored.shape != originals.shape or restored.ndim != 4 or not len(restored):
        shapes = f"{tuple(restored.shape)} and {tuple(originals.shape)}"
        raise ThawError(f"expected as many restored images (N, C, H, W) as originals, got {shapes}")
    pairs, psnr = (
        list(zip(restored.split(1000), originals.split(1000), strict=True)),
        PeakSignalNoiseRatio((0.0, 255.0)),
    )
    for pair in pairs:
        psnr.update(*(images.double() for images in pair))
    values = {"psnr": float(psnr.compute())}
    if min(restored.shape[2:]) >= SSIM_WINDOW:
        values["ssim"] = float(torch.cat([ssim(*pair) for pair in pairs]).mean())
    return {name: Score(name, value, len(restored), seed, "originals", "") for name, value in values.items()}


def check_scored(n: int, labels: Tensor | None, num: int) -> None:
    """Raise a `ThawError` unless n images are enough for a covariance of `num` features, and have a label each."""
    if n < 2 * num:
        raise ThawError(f"a score needs at least {2 * num} images, got {n}; draw more")
    if labels is not None and labels.shape != (n,):
        raise ThawError(f"expected one label for each of the {n} images, got {tuple(labels.shape)}")
    if labels is not None and labels.min() < 0:
        raise ThawError(f"labels are classes, counted from 0; got {int(labels.min())}")


def evaluate(
    images: Tensor,
    judge: Judge,
    labels: Tensor | None = None,
    *,
    reference: str = "test",
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Score]:
    """Score generated images quickly: what training and the notebooks show.  `thaw.scoring.protocol` measures all.

    Each value stands beside that of real images, counted by class as the scored ones are: by the labels asked for, else
    by what the judge sees (but the entropy of images without labels beside that of all real images).

    Args:
        images: (N, C, H, W) uint8, at least twice as many as the judge has features.
        judge: see `thaw.scoring.judge.load_judge`.
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
        top, predicted = judge.network.classify(features).max(dim=1)
    values = {
        "fid": judge.distance(features, reference),
        "entropy": entropy(torch.bincount(predicted, minlength=judge.classes)),
        "confidence": float(top.mean()),
    }
    if labels is not None:
        values["accuracy"] = float((predicted == labels).float().mean())
    floors = quick_floors(judge, scored_classes(judge, labels, predicted), reference)
    n = len(images)
    return {
        name: Score(name, value, n, seed, reference, judge.digest, floors.get(name)) for name, value in values.items()
    }


def quick_floors(judge: Judge, classes: Classes, reference: str = "test") -> dict[str, float]:
    """Return what real images, counted by class as scored ones are, get for the distance, the entropy and the accuracy.

    From the stored features alone, so in a moment; what they are too few for is left out.
    """
    real = known_real(judge)
    if real is None:
        return {}
    drawn = draws_like(classes, judge, real, OTHER[reference])
    floors = {"fid": [judge.distance(features, reference) for features in drawn]}
    if not classes.seen:
        seen = [torch.bincount(judge.predict(features), minlength=judge.classes) for features in drawn]
        floors |= {
            "entropy": [entropy(histogram) for histogram in seen],
            "accuracy": accuracy_like(classes, judge, real),
        }
    else:
        floors["entropy"] = [entropy(judge.references[reference].histogram)]
    return {name: sum(values) / len(values) for name, values in floors.items() if values}


def floor_at(judge: Judge, labels: Tensor, reference: str = "test") -> float | None:
    """Return the Frechet distance of real images of classes (n,) int64; None if there are too few of one."""
    return quick_floors(judge, scored_classes(judge, labels, labels), reference).get("fid")


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
