"""Any folder of images as a data set: cropped to squares, resized, labelled by its subfolders."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from thaw import data
from thaw.base import ThawError, generator, user_path
from thaw.data import ImageSet
from thaw.data.images import ENDINGS, Item, check_differ, hidden, open_set, read_items

TEST_SHARE = 0.1  # of a folder without train/ and test/


def load_folder(
    path: Path,
    split: str = "train",
    size: int = 32,
    channels: int = 3,
    extensions: tuple[str, ...] = ENDINGS,
    background: int = 0,
) -> ImageSet:
    """Load a folder of images, or a file of them, into memory, once a process for each folder that a path leads to.

    Where it holds `train/` and `test/`, these are the splits; otherwise a tenth of the images, drawn
    by a fixed seed, is the test split. The names of the subfolders that hold images, in alphabetical
    order, are the classes 0..K-1; without subfolders K is 0. Arrays may tell their `labels` instead.
    Hidden files and folders, and what systems leave behind, are not data (`thaw.data.images.hidden`).

    Args:
        path: the folder, or else what `thaw.data.images.open_set` takes.
        split: "train" or "test".
        size: the images become size x size pixels.
        channels: 1 (grey) or 3 (colour).
        extensions: file names that count as images.
        background: grey level, 0..255, that transparent images are composited over.

    Raises:
        ThawError: for a missing or empty folder, an image that cannot be read, images both in
            subfolders and beside them, or training images that are all equal.
    """
    if split not in ("train", "test"):
        raise ThawError(f"unknown split {split!r}; choose train or test")
    path = user_path(path)
    return _read_once(path, os.path.realpath(path), split, size, channels, extensions, background)


@lru_cache(maxsize=4)
def _read_once(
    path: Path, _: str, split: str, size: int, channels: int, extensions: tuple[str, ...], background: int
) -> ImageSet:
    if not path.exists():
        raise ThawError(f"no folder {path}; set data_path to a folder of images")
    divided = (path / "train").is_dir() and (path / "test").is_dir()
    root = path / split if divided else path
    say = print if divided or split == "train" else lambda _: None  # of one folder once
    items = open_set(root, extensions, say)
    classes = _classes(root, items)
    _tell_empty(root, items, say)
    if divided:
        of_train = _classes(path / "train", open_set(path / "train", extensions, lambda _: None))
        unknown = [str(name) for name in classes if name not in of_train]
        if unknown or (of_train and not classes):
            raise ThawError(f"{root} has classes that {path / 'train'} has not: {', '.join(unknown) or 'none at all'}")
        classes = of_train
    else:
        order = torch.randperm(len(items), generator=generator(0, "folder split")).tolist()
        count = max(1, round(TEST_SHARE * len(items))) if len(items) > 1 else 0
        chosen = sorted(order[:count] if split == "test" else order[count:])
        if not chosen:
            raise ThawError(f"{path} holds one image only; a test split needs at least two")
        items = [items[i] for i in chosen]
    where = str(root) if divided else f"{path} ({split})"
    images = read_items(items, where, shape=(channels, size, size), background=background)
    if split == "train":
        check_differ(images, where)
    labels = torch.tensor([classes.index(item.label) if classes else 0 for item in items])
    names = tuple(map(str, classes))
    return ImageSet(data.folder_name(path), split, images, labels, len(classes), names=names)


def load_pairs(path: Path, split: str = "train", *reading: Any) -> ImageSet:
    """Load pairs into memory: `clean/` as a folder of images, and of each its picture of the same name in `degraded/`.

    Subfolders (classes, and train/ and test/) are alike in both.

    Args:
        path: the folder that holds both.
        split: "train" or "test".
        reading: size, channels, extensions and background, as of `load_folder`.

    Raises:
        ThawError: for a missing folder, a picture without its pair, or as `load_folder`.
    """
    path = user_path(path)
    ends = {part: path / part for part in ("clean", "degraded")}
    for folder in ends.values():
        if not folder.is_dir():
            raise ThawError(f"no folder {folder}; pairs are pictures of equal names in clean/ and degraded/ of {path}")
    extensions = reading[2] if len(reading) > 2 else ENDINGS
    listed = {part: open_set(folder, extensions, lambda _: None) for part, folder in ends.items()}
    named = {  # whatever their format
        part: [str(one.file.relative_to(ends[part]).with_suffix("")) for one in items] for part, items in listed.items()
    }
    for part, other in (("clean", "degraded"), ("degraded", "clean")):
        if alone := sorted({*named[part]} - {*named[other]}):
            rest = f", as {len(alone) - 1} others are" if len(alone) > 1 else ""
            raise ThawError(f"{alone[0]} in {ends[part]} is without its pair in {ends[other]}{rest}; name both alike")
    for one, other in zip_longest(*named.values()):  # two files of one name, arrays of other lengths, "a" and "a.b"
        if one != other:
            first, second = (f"{name or 'nothing'} in {part}/" for name, part in ((one, "clean"), (other, "degraded")))
            fix = "save as many images of each name in both, with one ending"
            raise ThawError(f"{first} would be the pair of {second} of {path}; {fix}")
    clean, degraded = (load_folder(folder, split, *reading) for folder in ends.values())
    return replace(clean, name=data.folder_name(path), degraded=degraded.images)


def _classes(root: Path, items: list[Item]) -> list[str] | list[int]:
    """Return the classes of a set: its subfolders, or 0, 1, ... up to the largest label; none where none is told."""
    labels = {item.label for item in items}
    if len({type(label) for label in labels}) > 1:
        loose = next(item.file.name for item in items if not isinstance(item.label, str))
        raise ThawError(f"{root} has images in subfolders and beside them ({loose}); move these into one too")
    if labels == {None}:
        return []
    return list(range(max(labels) + 1)) if isinstance(items[0].label, int) else sorted(labels)


def _tell_empty(root: Path, items: list[Item], say: Callable[[str], None]) -> None:
    """Say which subfolders hold no images, and are no classes."""
    if root.is_dir():
        folders = {entry.name for entry in root.iterdir() if entry.is_dir() and not hidden(entry.name)}
        empty = sorted(folders - {item.file.relative_to(root).parts[0] for item in items})
        if empty:
            say(f"subfolders of {root} without images are no classes: {', '.join(empty)}")
