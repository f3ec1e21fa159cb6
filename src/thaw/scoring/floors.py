"""Real images beside scored ones: of each class as many, so that only the images differ.

A Frechet distance depends on how many images of each class there are, not on their looks alone: MNIST's classes are not
equally frequent, and digits drawn in turn are at another distance from the test set than digits drawn at random.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from thaw.base import ThawError
from thaw.scoring.judge import Judge
from thaw.scoring.real import RealFeatures, order_of, real_images

DRAWS = 3  # of real images, that a floor is the mean of
OTHER = {"test": "train", "train": "test"}  # reference split -> split that the floors are made of


@dataclass(frozen=True)
class Classes:
    """How many images of each class were scored: as many real ones stand beside them."""

    counts: Tensor  # (K,) int64
    # Whether the judge saw these classes in images without labels; real images are then told apart by the judge too.
    # Otherwise they were asked for, and real images have them by their labels.
    seen: bool = False

    def key(self) -> dict[str, object]:
        """Return plain values, for a cache."""
        return {"classes": self.counts.tolist(), "seen": self.seen}

    def of(self, labels: Tensor, judge: Judge, features: Tensor) -> Tensor:
        """Return the classes (N,) by which real images are told apart, given their labels and their features."""
        return judge.predict(features) if self.seen else labels


def scored_classes(judge: Judge, labels: Tensor | None, predicted: Tensor) -> Classes:
    """Return how scored images are counted: by the labels asked for (N,), else by what the judge sees (N,)."""
    counted = predicted if labels is None else labels
    return Classes(torch.bincount(counted, minlength=judge.classes), labels is None)


def alike(classes: Tensor, counts: Tensor) -> list[Tensor]:
    """Draw images by class: at most `DRAWS` disjoint sets with `counts[k]` images of class k each.

    Args:
        classes: (N,) of images in a random order.
        counts: (K,) wanted of each class.

    Returns:
        Their indices; no set at all if a class has too few images.
    """
    wanted = [(int(count), (classes == k).nonzero()[:, 0]) for k, count in enumerate(counts) if count]
    times = min([DRAWS, *(len(where) // count for count, where in wanted)])
    return [torch.cat([where[i * count : (i + 1) * count] for count, where in wanted]) for i in range(times)]


def draws_like(classes: Classes, judge: Judge, real: RealFeatures, split: str, whole: bool = False) -> list[Tensor]:
    """Return features of real images of a split, counted by class as the scored ones are.

    Args:
        classes: how many of each.
        judge: whose features they are.
        real: the stored ones.
        split: `train` or `test`.
        whole: where the stored ones are too few, take one draw from the data set, if it is at hand.

    Returns:
        At most `DRAWS` disjoint draws (n, D); none if there are too few images of a class.
    """
    features = real.features(split)
    found = alike(classes.of(real.labels[split], judge, features), classes.counts)
    if found or not whole:
        return [features[index] for index in found]
    try:
        return [judge.features(images) for images in images_like(classes, judge, split)]
    except ThawError:
        return []


def images_like(classes: Classes, judge: Judge, split: str) -> list[Tensor]:
    """Return one draw of real images (n, C, H, W) of a data set's split, counted by class as the scored ones are.

    None at all if there are too few of a class; a `ThawError` if the data set is not at hand.
    """
    images = real_images(judge, download=False)[split]
    images = images.take(order_of(len(images), split))
    of = judge.predict(judge.features(images.images)) if classes.seen else images.labels
    return [images.images[index] for index in alike(of, classes.counts)[:1]]


def shares_like(classes: Classes, of: Tensor) -> Tensor | None:
    """Return weights by which images of classes `of` (N,) have the scored ones' shares of the classes; their sum is 1.

    For means and quantiles over single images, which need not be as many. (N,) float64; None if a class has none.
    """
    there = torch.bincount(of.long(), minlength=len(classes.counts))[: len(classes.counts)]
    if bool(((there == 0) & (classes.counts > 0)).any()):
        return None
    each = classes.counts.double() / classes.counts.sum() / there.clamp(min=1)
    return torch.cat([each, torch.zeros(1)])[of.long().clamp(max=len(each))]


def accuracy_like(classes: Classes, judge: Judge, stored: RealFeatures) -> float | None:
    """Return the judge's accuracy on test images in the shares of the scored classes; None if one has no test image."""
    labels = stored.labels["test"]
    weights = shares_like(classes, labels)
    return None if weights is None else float(weights[judge.predict(stored.features("test")) == labels].sum())
