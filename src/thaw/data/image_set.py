"""One split of a data set, as uint8 tensors held in memory; and how two of them differ."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from thaw.base import ThawError, generator, to_pixels


@dataclass(frozen=True)
class ImageSet:
    """Images and labels of one split of a data set.

    Attributes:
        name: one of `DATA_SETS`, or the `folder_name` of a folder of images.
        split: "train" or "test".
        images: (N, C, H, W) uint8.
        labels: (N,) int64 in 0..K-1.
        classes: the number of classes K.
        source: what to say beside every number on it, where the splits are not the official ones; else empty.
        names: what the classes are called, (K,), where the folders tell; else empty.
        degraded: of pairs, the degraded picture of each image, as `images`; else None.
    """

    name: str
    split: str
    images: Tensor
    labels: Tensor
    classes: int
    source: str = ""
    names: tuple[str, ...] = ()
    degraded: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return tuple(self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """What a run or a judge keeps to know its data again: `classes`, `names`, `images` (how many), `digest`."""
        digest = hashlib.sha256(self.images.contiguous().numpy())
        digest.update(self.labels.contiguous().numpy())
        if self.degraded is not None:
            digest.update(self.degraded.contiguous().numpy())
        known = {"classes": self.classes, "names": list(self.names), "images": len(self)}
        return known | {"digest": digest.hexdigest()}

    def subset(self, n: int, seed: int) -> "ImageSet":
        """Return `n` images drawn without replacement."""
        if n > len(self):
            raise ThawError(f"asked for {n} images of {self.name}/{self.split}, which has {len(self)}")
        return self.take(torch.randperm(len(self), generator=generator(seed, "subset", self.name, self.split))[:n])

    def take(self, index: Tensor) -> "ImageSet":
        """Return the images of some indices (n,), in their order."""
        degraded = None if self.degraded is None else self.degraded[index]
        return replace(self, images=self.images[index], labels=self.labels[index], degraded=degraded)

    def batches(self, size: int = 1000) -> Iterator[Tensor]:
        """Yield all images as float32 in [-1, 1], in order, at most `size` at once.  (B, C, H, W)"""
        for start in range(0, len(self), size):
            yield self.pixels(slice(start, start + size))

    def pixels(self, index: Tensor | slice = slice(None)) -> Tensor:
        """Return images as float32 in [-1, 1].  (n,) indices -> (n, C, H, W)"""
        return to_pixels(self.images[index])


def what_changed(before: dict[str, Any], now: ImageSet) -> str:
    """Tell in words how a data set differs from the one of a fingerprint (or a part of one); empty if it does not."""
    if not before:
        return ""
    here, changes = now.fingerprint, []
    if (names := before.get("names")) is not None and names != here["names"]:
        gone, new = (sorted(set(a) - set(b)) for a, b in ((names, here["names"]), (here["names"], names)))
        changes += [f"without the class {', '.join(gone)}"] * bool(gone) + [f"a new class {', '.join(new)}"] * bool(new)
    if before.get("classes", here["classes"]) != here["classes"]:
        changes.append(f"{here['classes']} classes in place of {before['classes']}")
    if before.get("images", here["images"]) != here["images"]:
        changes.append(f"{here['images']:,} images in place of {before['images']:,}")
    if not changes and before.get("digest", here["digest"]) != here["digest"]:
        changes.append("as many images, but not the same, or with other labels")
    return ", ".join(changes)
