"""Data sets: where they lie, reading or downloading them, and what is wrong with their files."""

import contextlib
import os
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from thaw.base import MissingExtraError, ThawError, first_line, generator, locked, need, pick, stamp
from thaw.data.image_set import ImageSet

# name -> torchvision's, of its class and of the folder under `data_root()`; scikit-learn's digits need no files
DATA_SETS = {"mnist": "MNIST", "fashion": "FashionMNIST", "emnist": "EMNIST", "digits": ""}
EMNIST_TRAIN = 100_000  # images of the bymerge test file used for training; the rest is our test split
EMNIST_SPLITS = {"balanced": 47, "byclass": 62, "bymerge": 47, "letters": 26}  # name -> classes


class DamagedDataError(ThawError):
    """A file of a data set is there but cannot be what it should be: neither a download nor another set replaces it."""


def data_root() -> Path:
    """Return the folder that holds the data sets: `THAW_DATA`, or `data/` in the current directory."""
    return Path(os.environ.get("THAW_DATA") or "data").expanduser()


def folder_name(path: str | Path) -> str:
    """Return the name of a folder of images as a data set: its letters and digits, so that file names can hold it.

    It is no name of another data set: a folder `mnist` is `foldermnist`. Two folders may still have one name; what is
    released of one is never replaced by the other (`thaw.store.weights.check_release`).
    """
    name = re.sub("[^a-z0-9]", "", Path(path).resolve().name.lower())
    taken = {*DATA_SETS, *(f"emnist{split}" for split in EMNIST_SPLITS), "folder", "pairs"}
    return f"folder{name}" if name in {"", *taken} else name


def on_disk(name: str) -> bool:
    """Tell, without loading it, whether the files of a data set are in `data_root()`."""
    return any((data_root() / (DATA_SETS.get(name) or name) / "raw").glob("*images-idx3-ubyte*"))


def load(name: str, split: str = "train", *, download: bool = True, emnist: str = "balanced") -> ImageSet:
    """Load a data set into memory, once a process while its files do not change.

    MNIST, FashionMNIST and EMNIST come from torchvision, out of `data_root()` or its download.
    EMNIST is the official split named by `emnist` (balanced, byclass, bymerge or letters) where it
    can be had. Where only the `bymerge` test file exists, `balanced` and `bymerge` both stand for that
    file: 116,323 images of 47 classes, split once, by a fixed seed, into 100,000 training and 16,323
    test images; numbers on it cannot be compared with those on the official splits.
    `digits` is scikit-learn's built-in 8 x 8 set, enlarged to MNIST's layout (a 20 x 20 digit in
    28 x 28 pixels), 1,500 training and 297 test images; it needs no files.

    Raises:
        ThawError: for an unknown name or split, or files that are neither there nor downloadable.
        MissingExtraError: without torchvision.
        DamagedDataError: naming the file that is cut short, empty or another one.
    """
    pick(name, DATA_SETS, "data set")
    if split not in ("train", "test"):
        raise ThawError(f"unknown split {split!r}; choose train or test")
    pick(emnist, EMNIST_SPLITS, "EMNIST split")
    if name == "digits":
        return _digits(split)
    need("data", "torchvision")
    for file in (files := _files(name, split, emnist)):
        if file.exists():
            _check_idx(file)
    problem, own = None, data_root().exists()
    for attempt in (False, True) if download else (False,):
        if attempt:
            print(f"{name} is not in {data_root()}: downloading it with torchvision ...", flush=True)
        try:
            with locked(data_root() / name) if attempt else contextlib.nullcontext():  # one of several that need it
                return _torchvision(name, split, attempt, emnist, *map(stamp, files))
        except DamagedDataError:
            raise
        except (RuntimeError, OSError, ValueError, ThawError) as error:
            problem = error
    raw = data_root() / DATA_SETS[name] / "raw"
    with contextlib.suppress(OSError):  # what a failed download leaves behind, as far as it is empty
        for folder in (raw, raw.parent, *(() if own else (data_root(),))):
            folder.rmdir()
    missing = [file.name for file in files if not file.exists()]
    packed = [f"{file}.gz" for file in files if file.name in missing and file.with_name(f"{file.name}.gz").exists()]
    reason = first_line(problem)
    if packed:
        reason = f"{packed[0]} is still packed; unpack it, or remove it if gunzip calls it damaged"
    elif raw.is_dir() and missing:
        reason = f"{', '.join(missing)} missing in {raw}"
    raise ThawError(
        f"no {name} in {data_root()} ({reason}); set THAW_DATA to the folder that holds it in torchvision's "
        "layout, connect to the internet for the download, or use data=digits"
    ) from problem


def resolve(name: str, say: Callable[[str], None] = print) -> str:
    """Return `name` if it can be loaded or downloaded, else "digits", saying so in one line.

    The fallback applies only where `THAW_DATA` is not set: a folder that was named but does not
    hold the data set is the user's mistake to hear about, not ours to paper over. A "folder" of
    images, or of "pairs", has no substitute either: loading it says what is wrong.
    """
    if name in ("folder", "pairs"):
        return name
    try:
        load(name, "test")
    except DamagedDataError:
        raise
    except ThawError as error:
        if name not in DATA_SETS or os.environ.get("THAW_DATA"):
            raise
        lacking = f"{name} is neither in {data_root()} nor downloadable"
        lacking = str(error) if isinstance(error, MissingExtraError) else lacking
        say(f"{lacking}: using scikit-learn's digits instead.")
        return "digits"
    return name


def _files(name: str, split: str, emnist: str) -> list[Path]:
    """Return where torchvision reads a split from: the files of images and of labels."""
    raw, kinds = data_root() / DATA_SETS[name] / "raw", ("images-idx3", "labels-idx1")
    if name != "emnist":
        return [raw / f"{'train' if split == 'train' else 't10k'}-{kind}-ubyte" for kind in kinds]
    if _only_bymerge(raw, emnist):
        emnist, split = "bymerge", "test"
    return [raw / f"emnist-{emnist}-{split}-{kind}-ubyte" for kind in kinds]


def _check_idx(path: Path) -> None:
    """Raise `DamagedDataError` unless a file begins with the header of its kind and is as long as that says.

    torchvision compares neither: it ends in an error that names no file, or takes what is there.
    """
    dimensions = int(path.name.removesuffix("-ubyte")[-1])
    try:
        head, length = np.fromfile(path, ">i4", 1 + dimensions), path.stat().st_size
    except OSError as error:
        raise DamagedDataError(f"cannot read {path} ({error.strerror}); repair or remove it") from None
    begin, magic, whole = head[:1].tobytes(), 0x0800 + dimensions, head.nbytes + int(head[1:].prod(dtype=np.int64))
    if len(head) <= dimensions:
        reason = f"it ends after {length} bytes"
    elif head[0] != magic:
        packed = ": still packed by gzip" if begin[:2] == b"\x1f\x8b" else ""
        reason = f"it begins with {begin.hex()}, not with {magic:08x}{packed}"
    elif min(head[1:]) < 1:
        reason = "it holds nothing"
    elif length != whole:
        reason = f"it is {length:,} bytes long, and its header says {whole:,}"
    else:
        return
    raise DamagedDataError(f"{path} is damaged ({reason}); remove it, and it is downloaded again, or copy it anew")


def _check_labels(images: Tensor, labels: Tensor, classes: int, files: list[Path]) -> None:
    """Raise `DamagedDataError` unless there is a label 0..K-1 for each image."""
    if len(images) != len(labels):
        found = f"{len(images):,} images and {files[1].name} {len(labels):,} labels"
        raise DamagedDataError(f"{files[0]} holds {found}; they are not of one set: remove both, or copy them anew")
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise DamagedDataError(
            f"{files[1]} has labels from {int(labels.min())} to {int(labels.max())}, not {classes} classes; "
            "remove it, and it is downloaded again, or copy it anew"
        )


def _only_bymerge(raw: Path, emnist: str) -> bool:
    """Tell whether only the `bymerge` test file stands for this split of EMNIST."""
    only = (raw / "emnist-bymerge-test-images-idx3-ubyte").exists() and emnist in ("balanced", "bymerge")
    return only and not any(raw.glob(f"emnist-{emnist}-train-*"))


@lru_cache(maxsize=4)
def _torchvision(name: str, split: str, download: bool, emnist: str, *_: tuple[str, int, int] | None) -> ImageSet:
    from torchvision import datasets  # takes a second to import: only where it is used

    if name == "emnist":
        return _emnist(split, download, emnist)
    files = getattr(datasets, DATA_SETS[name])(str(data_root()), train=split == "train", download=download)
    _check_labels(files.data, files.targets, 10, _files(name, split, emnist))
    return ImageSet(name, split, files.data[:, None], files.targets.long(), 10)


def _emnist(split: str, download: bool, which: str) -> ImageSet:
    from torchvision.datasets import EMNIST

    index, source, root = slice(None), "", str(data_root())
    if _only_bymerge(data_root() / DATA_SETS["emnist"] / "raw", which):
        files = EMNIST(root, split="bymerge", train=False)
        order = torch.randperm(len(files.data), generator=generator(0, "emnist split"))
        index = order[:EMNIST_TRAIN] if split == "train" else order[EMNIST_TRAIN:]
        source = (
            f"EMNIST's bymerge test file, split by a seed into {EMNIST_TRAIN:,} training and "
            f"{len(order) - EMNIST_TRAIN:,} test images"
        )
    else:
        files = EMNIST(root, split=which, train=split == "train", download=download)
    targets = files.targets.long() - int(which == "letters")  # whose labels begin at 1
    _check_labels(files.data, targets, EMNIST_SPLITS[which], _files("emnist", split, which))
    images = files.data.transpose(1, 2)[index]  # EMNIST stores its images transposed
    name = "emnist" if which == "balanced" else f"emnist{which}"
    return ImageSet(name, split, images[:, None].contiguous(), targets[index], EMNIST_SPLITS[which], source)


@lru_cache(maxsize=2)
def _digits(split: str) -> ImageSet:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = torch.from_numpy(bunch.images).float()[:, None] / 16.0
    large = F.interpolate(small, size=(20, 20), mode="bicubic", align_corners=False).clamp(0, 1)
    images = (F.pad(large, (4, 4, 4, 4)) * 255).round().to(torch.uint8)
    labels = torch.from_numpy(bunch.target).long()
    order = torch.randperm(len(images), generator=generator(0, "digits split"))
    index = order[:1500] if split == "train" else order[1500:]
    return ImageSet("digits", split, images[index], labels[index], 10)
