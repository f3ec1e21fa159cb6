"""How images are scored: one way through `MEASURES`, quick or whole, by our own features or by Inception's.

`evaluate` is the quick score of training; `protocol` measures all, which needs the features of single real images
(`thaw.scoring.real`) and half a minute of one CPU core for 10,000 images.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thaw.base import ThawError, pick, remember
from thaw.data import ImageSet
from thaw.scoring.evidence import Evidence
from thaw.scoring.extractor import check_uint8, statistics
from thaw.scoring.floors import OTHER, Classes, draws_like, images_like, scored_classes, shares_like
from thaw.scoring.inception import Inception
from thaw.scoring.judge import Judge
from thaw.scoring.metrics import Measure, chosen, row_of
from thaw.scoring.neighbours import nearest
from thaw.scoring.real import RealFeatures, known_real, load_real, order_of
from thaw.scoring.scores import CACHE, VERSION, Score, versions

BESIDE = 2000  # test images whose distances to the nearest training images the novelty is compared with


def check_scored(n: int, labels: Tensor | None, num: int) -> None:
    """Raise a `ThawError` unless n images are enough for a covariance of `num` features, and have a label each."""
    if n < 2 * num:
        raise ThawError(f"a score needs at least {2 * num} images, got {n}; draw more")
    if labels is not None and labels.shape != (n,):
        raise ThawError(f"expected one label for each of the {n} images, got {tuple(labels.shape)}")
    if labels is not None and labels.min() < 0:
        raise ThawError(f"labels are classes, counted from 0; got {int(labels.min())}")


def prepare(images: Tensor, labels: Tensor | None, reference: str) -> tuple[Tensor, Tensor | None]:
    """Return images and labels in an order that depends on the images alone.

    Raises:
        ThawError: for an unknown reference split, or pixels that were scaled to 0..1 before they were cast.
    """
    pick(reference, tuple(OTHER), "reference split")
    if images.dtype == torch.uint8 and images.max() == 1:
        raise ThawError("the largest pixel is 1: scores take greys 0..255, not 0..1; multiply by 255 before the cast")
    order = sorted(range(len(images)), key=lambda i: images[i].numpy().tobytes())
    return images[order], None if labels is None else labels[order]


def evaluate(
    images: Tensor,
    judge: Judge,
    labels: Tensor | None = None,
    *,
    reference: str = "test",
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Score]:
    """Score generated images quickly: what training and the notebooks show.

    Each value stands beside that of real images, counted by class as the scored ones are: by the labels asked for, else
    by what the judge sees (but the entropy of images without labels beside that of all real images).

    Args:
        images: (N, C, H, W) uint8, at least twice as many as the judge has features.
        judge: see `thaw.scoring.judge.load_judge`.
        labels: (N,) the classes that were asked for, if any.
        reference: split of real images to compare with.
        seed: the seed the images were drawn with, for the record.

    Returns:
        By name, the rows of `MEASURES` that are quick: `fid`, `entropy`, `confidence`, and with labels `accuracy`.

    Raises:
        ThawError: for floats, a wrong shape, or too few images for a covariance of full rank.
    """
    check_scored(len(images), labels, judge.num)
    features = judge.features(images, progress=progress)
    classes = scored_classes(judge, labels, judge.predict(features))
    beside = quick_floors(judge, classes, reference)
    found = replace(_known(judge, classes, reference), images=images, labels=labels, features=features)
    return scored(found, chosen(lambda row: row.quick), beside, reference, seed)


def quick_floors(judge: Judge, classes: Classes, reference: str = "test") -> dict[str, float]:
    """Return what real images, counted by class as scored ones are, get for the measures of `evaluate`.

    From the stored features alone, so in a moment; what they are too few for is left out.
    """
    known = _known(judge, classes, reference)
    drawn = draws_like(classes, judge, known.stored, OTHER[reference]) if known.stored else []
    return floors(known, chosen(lambda row: row.quick), lambda: drawn)


def floor_at(judge: Judge, labels: Tensor, reference: str = "test") -> float | None:
    """Return the Frechet distance of real images of classes (n,) int64; None if there are too few of one."""
    return quick_floors(judge, scored_classes(judge, labels, labels), reference).get("fid")


def _known(judge: Judge, classes: Classes, reference: str) -> Evidence:
    """Return the evidence of real images that is at hand in a moment."""
    sums, stored = judge.reference(reference), known_real(judge)
    told = {"network": judge, "judge": judge, "classes": classes}
    return Evidence(**told, reference=sums, expected=sums.histogram, stored=stored)


def protocol(
    images: Tensor,
    judge: Judge,
    labels: Tensor | None = None,
    *,
    network: Inception | None = None,
    real: RealFeatures | None = None,
    splits: Mapping[str, ImageSet] | None = None,
    reference: str = "test",
    seed: int = 0,
    cache: Path | None = CACHE,
    progress: bool = False,
) -> dict[str, Score]:
    """Score generated images by everything we measure; their order does not matter to the last digit.

    Args:
        images: (N, C, H, W) uint8 in 0..255, at least twice as many as the network has features.
        judge: see `thaw.scoring.judge.load_judge`.
        labels: (N,) the classes that were asked for, if any.
        network: Inception (see `thaw.scoring.inception`), whose features take the judge's place; those of at most
            10,000 real images are kept in `cache` too.
        real: features of real images; `thaw.scoring.real.load_real(judge)` by default.
        splits: the real images themselves, {"train": ..., "test": ...}, for novelty.
        reference: split of real images to compare with; the floors are those of as many images of the other split,
            counted by class as the scored ones are: by the labels asked for, else by what the judge sees.
        seed: the seed the images were drawn with, for the record.
        cache: folder in which floors are kept; None to keep nothing.
        progress: show progress bars.

    Returns:
        By name, in the judge's units, all rows of `MEASURES` for which there is evidence: `accuracy` needs labels, and
        `novelty` and `copies` need splits. Precision, recall, density and coverage are against as many real images.
        Without labels, the floors of the classes' histogram are those of the training split itself.
        A floor is None where the split has too few images of a class. Of Inception's features `inception_fid`,
        `inception_kid` and `inception_is`.

    Raises:
        ThawError: for floats, values that are 0 and 1 only, a wrong shape, too few images, or a judge
            whose real features can be neither found nor computed.
    """
    own, network = network is None, network or judge
    check_scored(len(images), labels, network.num)
    images, labels = prepare(images, labels, reference)
    features = network.features(images, progress=progress)
    keep = cache if network.digest else None  # else there is nothing that they could be found by again
    predicted = labels if labels is not None else judge.predict(features if own else judge.features(images))
    classes = scored_classes(judge, labels, predicted)
    found = Evidence(images, network=network, judge=judge, classes=classes, labels=labels, features=features)
    key = {"floors": VERSION, "judge": judge.digest, "data": judge.data, "reference": reference, **classes.key()}
    if not own:
        of_real = network.of_real(judge, reference, cache, progress)
        found = replace(found, real=of_real, reference=statistics(of_real, torch.zeros(0, dtype=torch.int64), 0))
        key |= {"inception": network.digest, "data": network.known_as(judge)}

        def draw() -> list[Tensor]:
            return [network.features(same, progress=progress) for same in images_like(classes, judge, OTHER[reference])]

        rows = chosen(lambda row: row.inception)
        return scored(found, rows, floors(found, rows, draw, keep, key), reference, seed)
    real = real or load_real(judge, progress=progress)
    known = {"real": real.features(reference), "reference": judge.reference(reference), "stored": real}
    found = replace(found, **known, expected=judge.reference("train").histogram)
    if splits is not None:
        found = replace(found, **_distances(images, classes, judge, splits, keep, progress))
    rows = chosen(lambda row: not row.restores)
    key |= {"images": splits is not None}  # where few features are stored, the images are asked
    beside = floors(found, rows, lambda: draws_like(classes, judge, real, OTHER[reference], whole=True), keep, key)
    return scored(found, rows, beside, reference, seed)


def _distances(
    images: Tensor, classes: Classes, judge: Judge, splits: Mapping[str, ImageSet], cache: Path | None, progress: bool
) -> dict[str, Tensor | None]:
    """Return how far images (N, C, H, W), and `BESIDE` test images, are from training images: see `Evidence`."""
    test, train = splits["test"], splits["train"].images
    test = test.take(order_of(len(test), "test")[:BESIDE])
    key = {"nearest": BESIDE, "judge": judge.digest, "data": judge.data}
    of_test = remember(cache, key, lambda: nearest(test.images, train, progress)[0].tolist())
    weights = shares_like(classes, classes.of(test.labels, judge, judge.features(test.images)))
    distances = nearest(images, train, progress)[0]
    return {"distances": distances, "of_test": torch.tensor(of_test).double(), "weights": weights}


def restoration(
    restored: Tensor, originals: Tensor, *, judge: Judge | None = None, seed: int = 0, **known: Tensor | float | None
) -> dict[str, Score]:
    """Score restored images against the originals that were degraded.

    Args:
        restored: (N, C, H, W) uint8.
        originals: the same shape and type, in the same order.
        judge: that sees the classes of the restored ones.
        seed: the seed they were restored with, for the record.
        known: more of `thaw.scoring.evidence.OF_RESTORATIONS`: the classes, other restorations of the same pictures.

    Returns:
        By name, the rows of `MEASURES` of restorations for which there is evidence: always `psnr`, and `ssim` of images
        that hold its window. Beside them what exact inference gets, where that is known.

    Raises:
        ThawError: for floats, differing shapes, or no images.
    """
    others = {name: known[name] for name in ("direct", "draws") if known.get(name) is not None}
    for images in (restored, originals, *others.values()):
        check_uint8(images)
    for name, images in {"restored": restored, **others}.items():
        if images.shape[-4:] != originals.shape or originals.ndim != 4 or not len(originals):
            shapes = f"{tuple(images.shape)} and {tuple(originals.shape)}"
            raise ThawError(f"expected as many {name} images (N, C, H, W) as originals, got {shapes}")
    features = None if judge is None else judge.features(restored)
    found, rows = Evidence(restored, originals, network=judge, features=features, **known), chosen(lambda r: r.restores)
    values, beside = found.measure(rows), found.measure(rows, "floor")
    about = (len(restored), seed, "originals", judge.digest if judge else "")
    return {name: Score(name, value, *about, beside.get(name)) for name, value in values.items()}


def floors(
    known: Evidence,
    rows: Mapping[str, Measure],
    draw: Callable[[], list[Tensor]],
    cache: Path | None = None,
    key: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Return what real images get for some measures, by name; what they are too few for is left out.

    Args:
        known: the evidence of the scored images.
        rows: of `MEASURES`.
        draw: gives the features (n, D) of real images, counted by class as the scored ones are, in disjoint draws.
        cache: folder in which what was measured of them is kept; None to keep nothing.
        key: all that the draws depend on.
    """
    seen = {name: row for name, row in rows.items() if known.classes.seen and row.seen}
    own = {name: row for name, row in rows.items() if row.floor and name not in seen}
    alike = {name: row for name, row in rows.items() if name not in seen | own}
    found = remember(cache, {**(key or {}), "measures": versions(alike)}, lambda: _floors(known, alike, draw()))
    return {**found, **known.measure(seen, "seen"), **known.measure(own, "floor")}


def _floors(known: Evidence, rows: Mapping[str, Measure], draws: list[Tensor]) -> dict[str, float]:
    """Measure draws of real images, by their features (n, D), as the scored ones are measured: the means over them."""
    bare = replace(known, images=None, labels=None, distances=None)
    each = [replace(bare, features=features).measure(rows) for features in draws]
    found = {name: [values[name] for values in each if name in values] for name in (each[0] if each else ())}
    return {name: sum(values) / len(values) for name, values in found.items()}


def scored(
    found: Evidence, rows: Mapping[str, Measure], beside: Mapping[str, float], reference: str, seed: int
) -> dict[str, Score]:  # fmt: skip
    """Measure images and return the scores by name.

    Args:
        found: the evidence of them.
        rows: of `MEASURES`.
        beside: what real images get, see `floors`.
        reference, seed: for the record.
    """
    network, scores = found.network, {}
    for measured, value in found.measure(rows).items():
        name, against = f"{network.prefix}{measured}", row_of(measured).against or reference
        scores[name] = Score(name, value, len(found.features), seed, against, network.digest, beside.get(measured))
    return scores
