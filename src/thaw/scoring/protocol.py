"""The full protocol: everything that is measured of a model, each number beside what real images get.

`thaw.scoring.metrics.evaluate` is the quick score of training; this one also needs the features of single real
images (`thaw.scoring.real`), and half a minute of one CPU core for 10,000 images.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from thaw.base.errors import ThawError
from thaw.base.files import remember
from thaw.base.seeding import generator
from thaw.data import ImageSet
from thaw.scoring.floors import OTHER, Classes, accuracy_like, draws_like, scored_classes, shares_like
from thaw.scoring.judge import Judge
from thaw.scoring.metrics import Score, check_scored, chi_squared, entropy, inception_score, kid
from thaw.scoring.neighbours import NEIGHBOURS, manifolds, nearest
from thaw.scoring.real import CACHE, RealFeatures, load_real, order_of

VERSION = 2  # of what the numbers mean: part of every cache's key
BESIDE = 2000  # test images whose distances to the nearest training images the novelty is compared with
NO_FLOOR = ("chi2_p",)  # one draw from 0 to 1 for real images: it says nothing
NEAR = 0.01  # share of test images that count as near to a training image


def protocol(
    images: Tensor,
    judge: Judge,
    labels: Tensor | None = None,
    *,
    real: RealFeatures | None = None,
    splits: Mapping[str, ImageSet] | None = None,
    reference: str = "test",
    seed: int = 0,
    cache: Path | None = CACHE,
    progress: bool = False,
) -> dict[str, Score]:
    """Score generated images by everything we measure; their order does not matter to the last digit.

    Args:
        images: (N, C, H, W) uint8 in 0..255, at least twice as many as the judge has features.
        judge: see `thaw.scoring.judge.load_judge`.
        labels: (N,) the classes that were asked for, if any.
        real: features of real images; `thaw.scoring.real.load_real(judge)` by default.
        splits: the real images themselves, {"train": ..., "test": ...}, for novelty.
        reference: split of real images to compare with; the floors are those of as many images of the other split,
            counted by class as the scored ones are: by the labels asked for, else by what the judge sees.
        seed: the seed the images were drawn with, for the record.
        cache: folder in which floors are kept; None to keep nothing.
        progress: show progress bars.

    Returns:
        By name, in the judge's units:
        `fid`: Frechet distance to the whole reference; `kid`: kernel distance; `is`: inception score;
        `precision`, `recall`, `density`, `coverage`: see `thaw.scoring.neighbours`, k = 5, against as many real images;
        `entropy`: nats, of the classes that the judge sees; `chi2`, `chi2_p`: whether their histogram is
        that of the training split; `share_0`, `share_1`, ...: the histogram
        (without labels, the floors of these are those of the training split itself);
        `confidence`: mean largest class probability (it falls with blur and mild noise, but the judge is
        often sure of, and wrong about, what looks like no digit at all);
        with labels `accuracy`: share classified as what was asked for, beside the judge's on test images;
        with splits `novelty`: median distance of the pixels in [0, 1] to the nearest training image, and
        `copies`: share nearer than the nearest 1 % of test images, both beside those of test images in the same
        shares of the classes.
        A floor is None where the split has too few images of a class.

    Raises:
        ThawError: for floats, values that are 0 and 1 only, a wrong shape, too few images, or a judge
            whose real features can be neither found nor computed.
    """
    check_scored(len(images), labels, judge.num)
    images, labels = prepare(images, labels, reference)
    features = judge.features(images, progress=progress)
    real = real or load_real(judge, progress=progress)
    n, predicted = len(images), judge.predict(features)
    classes = scored_classes(judge, labels, predicted)
    key = {"floors": VERSION, "judge": judge.digest, "data": judge.data, "reference": reference, **classes.key()}
    unsaved = not judge.digest  # nothing that its floors could be found by again
    keep = None if unsaved else cache
    values = _measure(features, judge, real, reference)
    floors = dict(remember(keep, key, lambda: _floors(classes, judge, real, reference)))
    if labels is not None:
        values["accuracy"] = float((predicted == labels).float().mean())
    if splits is not None:
        beside = {"nearest": BESIDE, "judge": judge.digest, "data": judge.data}
        of_test = remember(
            keep, beside, lambda: nearest(_test(splits).images, splits["train"].images, progress)[0].tolist()
        )
        found = _novelty_floors(classes, judge, _test(splits), torch.tensor(of_test).double())
        distances = nearest(images, splits["train"].images, progress)[0]
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


def _floors(classes: Classes, judge: Judge, real: RealFeatures, reference: str) -> dict[str, float]:
    """Measure as many real images of each class of the other split in the same way: the mean over the draws."""
    drawn = draws_like(classes, judge, real, OTHER[reference], whole=True)
    each = [_measure(features, judge, real, reference) for features in drawn]
    floors = {name: [values[name] for values in each] for name in (each[0] if each else ())}
    training = judge.references["train"].histogram
    if classes.seen:  # their own histogram would say nothing
        floors |= {"entropy": [entropy(training)], "chi2": [float((training > 0).sum() - 1)]}
        floors |= {f"share_{k}": [int(count) / int(training.sum())] for k, count in enumerate(training)}
    else:
        floors["accuracy"] = accuracy_like(classes, judge, real)
    return {name: sum(values) / len(values) for name, values in floors.items() if values and name not in NO_FLOOR}


def _test(splits: Mapping[str, ImageSet]) -> ImageSet:
    """Return the test images that the novelty is compared with."""
    return splits["test"].take(order_of(len(splits["test"]), "test")[:BESIDE])


def _novelty_floors(classes: Classes, judge: Judge, test: ImageSet, distances: Tensor) -> dict[str, float]:
    """Return below which distance an image is near, and what test images get in the scored shares of the classes."""
    near = distances.quantile(NEAR)
    weights = shares_like(classes, classes.of(test.labels, judge, judge.features(test.images)))
    if weights is None:
        return {"near": float(near)}
    ordered, order = distances.sort()
    middle = ordered[int((weights[order].cumsum(0) < 0.5).sum())]
    return {"novelty": float(middle), "copies": float(weights[distances < near].sum()), "near": float(near)}
