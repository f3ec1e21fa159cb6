"""A few real images in a released file of their own, for whoever has no data set."""

from pathlib import Path

import torch
from torch import Tensor

from thaw.base import ThawError, by_git
from thaw.data import ImageSet
from thaw.store.released import load_released, pretrained

FORMAT = "thaw-examples/1"


def examples_path(data: str, folder: str | Path | None = None) -> Path:
    """Return where the example images of a data set are."""
    return pretrained(folder) / f"examples_{data}.pth"


def load_examples(data: str = "mnist", folder: str | Path | None = None) -> ImageSet:
    """Load the example images of a data set.

    Raises:
        ThawError: if none are shipped, or the file is damaged or does not match its checksum in MANIFEST.json.
    """
    path = examples_path(data, folder)
    content = load_released(path, FORMAT, "examples")[0]
    images, labels = content.get("images"), content.get("labels")
    whole = getattr(images, "dtype", None) == torch.uint8 and getattr(labels, "dtype", None) == torch.int64
    if not whole or images.ndim != 4 or labels.shape != images.shape[:1] or not {"split", "classes"} <= content.keys():
        raise ThawError(f"{path} lacks a part of an examples file; restore it with {by_git(path)}")
    return ImageSet(data, str(content["split"]), images, labels, int(content["classes"]))


def example(number: int = 0, data: str = "mnist", folder: str | Path | None = None) -> tuple[Tensor, int]:
    """Return one of the embedded real images, (1, C, H, W) in [-1, 1], and its class; two of each class, in turn.

    Raises:
        ThawError: for a number that none has.
    """
    images = load_examples(data, folder)
    if not 0 <= number < len(images):
        raise ThawError(f"there are {len(images)} examples, numbered from 0; got {number}")
    return images.pixels(slice(number, number + 1)), int(images.labels[number])
