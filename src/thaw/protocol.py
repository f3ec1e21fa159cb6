"""The full protocol: everything that is measured of a model, each number beside what real images get.

`thaw.metrics.evaluate` is the quick score of training; this one also needs the features of single real
images (`thaw.real`), and half a minute of one CPU core for 10,000 images.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from thaw.errors import ThawError
from thaw.features import Judge
from thaw.files import remember
from thaw.metrics import Score, check_scored, chi_squared, entropy, floor_at, inception_score, kid
from thaw.neighbours import NEIGHBOURS, manifolds, nearest
from thaw.real import CACHE, MOST, RealFeatures, choose, load_real
from thaw.seeding import generator

VERSION = 1  # of what the numbers mean: part of every cache's key
OTHER = {"test": "train", "train": "test"}  # reference split -> split that the floors are made of
NO_FLOOR = ("chi2_p",)  # one draw from 0 to 1 for real images: it says nothing
NEAR = 0.01  # share of test images that count as near to a training image


def protocol(
    images: Tensor,
    judge: Judge,
    labels: Tensor | None = None,
    *,
    real: RealFeatures | None = None,
    splits: Mapping[str, Tensor] | None = None,
    reference: str = "test",
    seed: int = 0,
    cache: Path | None = CACHE,
    progress: bool = False,
) -> dict[str, Score]:
    """Score generated images by everything we measure; their order does not matter to the last digit.

    Args:
        images: (N, C, H, W) uint8 in 0..255, at least twice as many as the judge has features.
        judge: see `thaw.features.load_judge`.
        labels: (N,) the classes that were asked for, if any.
        real: features of real images; `thaw.real.load_real(judge)` by default.
        splits: the real images themselves, {"train": (M, C, H, W) uint8, "test": ...}, for novelty.
        reference: split of real images to compare with; the floors are those of as many images of
            the other split (at most 10,000), and left out where it has fewer.
        seed: the seed the images were drawn with, for the record.
        cache: folder in which floors are kept; None to keep nothing.
        progress: show progress bars.

    Returns:
        By name, in the judge's units:
        `fid`: Frechet distance to the whole reference; `kid`: kernel distance; `is`: inception score;
        `precision`, `recall`, `density`, `coverage`: see `thaw.neighbours`, k = 5, against as many real images;
        `entropy`: nats, of the classes that the judge sees; `chi2`, `chi2_p`: whether their histogram is
        that of the training split; `share_0`, `share_1`, ...: the histogram, beside the training split's;
        `confidence`: mean largest class probability (it falls with blur and mild noise, but the judge is
        often sure of, and wrong about, what looks like no digit at all);
        with labels `accuracy`: share classified as what was asked for, beside the judge's on test images;
        with splits `novelty`: median distance of the pixels in [0, 1] to the nearest training image, and
        `copies`: share nearer than the nearest 1 % of test images, both beside those of as many test images.

    Raises:
        ThawError: for floats, values that are 0 and 1 only, a wrong shape, too few images, or a judge
            whose real features can be neither found nor computed.
    """
    check_scored(len(images), labels, judge.num)
    images, labels = prepare(images, labels, reference)
    features = judge.features(images, progress=progress)
    real = real or load_real(judge, progress=progress)
    n = len(images)
    key = {"floors": VERSION, "judge": judge.digest, "data": judge.data, "reference": reference, "n": n}
    unsaved = not judge.digest  # nothing that its floors could be found by again
    keep = None if unsaved else cache
    values = _measure(features, judge, real, reference)
    floors = remember(keep, key, lambda: _floors(judge, real, reference, n))
    if labels is not None:
        predicted = judge.network.logits(features).argmax(dim=1)
        values["accuracy"] = float((predicted == labels).float().mean())
        floors["accuracy"] = judge.accuracy
    if splits is not None:
        distances = nearest(images, splits["train"], progress)[0]
        found = remember(keep, {**key, "floors of": "novelty"}, lambda: _novelty_floors(splits, n, progress))
        values["novelty"] = float(distances.median())
        values["copies"] = float((distances < found["near"]).double().mean())
        floors |= found
    compared = {"chi2", "chi2_p", "novelty", "copies"} | {name for name in values if name.startswith("share_")}
    return {
        name: Score(name, value, n, seed, "train" if name in compared else reference, judge.digest, floors.get(name))
        for name, value in values.items()
    }


def prepare(images: Tensor, labels: Tensor | None, reference: str) -> tuple[Tensor, Tensor | None]:
    """Return images and labels in an order that depends on the images alone.

    Raises:
        ThawError: for an unknown reference split, or pixels that were scaled to 0..1 before they were cast.
    """
    if reference not in OTHER:
        raise ThawError(f"no reference split {reference!r}; choose one of {', '.join(OTHER)}")
    if images.dtype == torch.uint8 and images.max() == 1:
        raise ThawError("the largest pixel is 1: scores take greys 0..255, not 0..1; multiply by 255 before the cast")
    order = sorted(range(len(images)), key=lambda i: images[i].numpy().tobytes())
    return images[order], None if labels is None else labels[order]


@torch.no_grad()
def _measure(features: Tensor, judge: Judge, real: RealFeatures, reference: str) -> dict[str, float]:
    """Measure features (N, D) of images in any order, given the judge and real features."""
    others = real.features(reference)
    size = min(len(features), len(others))
    drawn = torch.randperm(len(features), generator=generator(0, "manifolds"))[:size]
    values = {"fid": judge.distance(features, reference), "kid": kid(features, others)}
    logits = judge.network.logits(features)
    values["is"] = inception_score(logits)
    if size > NEIGHBOURS:  # else no image has so many
        values |= vars(manifolds(others[:size], features[drawn], NEIGHBOURS))
    training = judge.references["train"].histogram
    histogram = torch.bincount(logits.argmax(dim=1), minlength=len(training))
    values["entropy"] = entropy(histogram)
    values["chi2"], values["chi2_p"] = chi_squared(histogram, training)
    values["confidence"] = float(logits.softmax(dim=1).amax(dim=1).mean())
    return values | {f"share_{k}": int(count) / len(features) for k, count in enumerate(histogram)}


def _floors(judge: Judge, real: RealFeatures, reference: str, n: int) -> dict[str, float]:
    """Measure as many real images of the other split in the same way; where it has fewer, tell the shares only."""
    same = real.features(OTHER[reference])[:n]
    floors = _measure(same, judge, real, reference) if len(same) == min(n, MOST) else {}
    if floors and reference == "test" and judge.floors:
        floors["fid"] = floor_at(judge, n)  # over several draws, and the one that the quick score shows
    training = judge.references["train"].histogram
    floors |= {f"share_{k}": int(count) / int(training.sum()) for k, count in enumerate(training)}
    return {name: value for name, value in floors.items() if name not in NO_FLOOR}


def _novelty_floors(splits: Mapping[str, Tensor], n: int, progress: bool) -> dict[str, float]:
    """Return what as many test images get, if there are so many, and below which distance an image counts as near."""
    distances = nearest(choose(splits["test"], "test", n), splits["train"], progress)[0]
    near = float(distances.quantile(NEAR))
    if len(distances) < min(n, MOST):
        return {"near": near}
    return {"novelty": float(distances.median()), "copies": float((distances < near).double().mean()), "near": near}
