"""Features of real images, one by one: what precision, recall, density, coverage, KID and the floors compare with.

Means and covariances, which are part of the judge, are not enough for them. 10,000 features of each
split, and some more of the rarer classes, are shipped in `pretrained/`: as bytes, 1.3 MB a split, half of what
10,000 fp16 features of one split would take. Rounding to 256 levels moves the scores of real images
by less than 0.002. For other judges they are computed from the data set, once, rounded in the same
way, and kept in `contents/evaluation/` under the judge's digest.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from thaw.base import ThawError, check_target, generator
from thaw.data import DATA_SETS, ImageSet, what_changed
from thaw.experiment import make_config
from thaw.scoring.judge import Judge
from thaw.scoring.scores import CACHE
from thaw.store import PRETRAINED, load_released, load_tensors, pretrained, read_manifest, save_released, save_tensors
from thaw.store.inputs import load_data

FORMAT = "thaw-real/2"
MOST = 10_000  # features of a split that are a random draw; those of rarer classes come after


@dataclass(frozen=True)
class RealFeatures:
    """Features of real images, in a random order, so that the first n, at most `MOST`, are a random draw."""

    data: str  # name of the data set
    judge: str  # digest of the feature network
    codes: dict[str, Tensor]  # split -> (N, D) uint8
    scales: dict[str, Tensor]  # split -> (D,) float32: a feature is its code times its scale
    labels: dict[str, Tensor]  # split -> (N,) int16

    def features(self, split: str) -> Tensor:
        """Return the features of `train` or `test`.  (N, D) float32"""
        return self.codes[split] * self.scales[split]


def real_images(judge: Judge, *, download: bool = True) -> dict[str, ImageSet]:
    """Load the data set that a judge was trained on: `train` and `test`.

    Raises:
        ThawError: if it is not where it was, or not what it was.
    """
    settings, splits = make_config(judge.reading or _by_name(judge.data)), {}
    for split in ("train", "test"):
        splits[split] = images = load_data(settings, split, download=download)
        changed = what_changed(judge.fingerprints.get(split, {}), images)
        if changed:
            raise ThawError(
                f"{judge.reading.get('data_path') or judge.data} is not what its judge was trained on: {changed} "
                f"({split}); train the judge again by `thaw features` with --replace"
            )
    return splits


def _by_name(name: str) -> dict[str, str]:
    """Return the settings that read a data set whose judge does not tell them."""
    if name not in DATA_SETS and name.startswith("emnist"):
        return {"data": "emnist", "emnist_split": name.removeprefix("emnist")}
    if name not in DATA_SETS:
        raise ThawError(f"the judge of {name} does not tell where its images are; train it again by `thaw features`")
    return {"data": name}


def order_of(n: int, split: str) -> Tensor:
    """Return the random order, always the same, in which n images of a split are taken.  (n,) int64"""
    return torch.randperm(n, generator=generator(0, "real", split))


def choose(images: Tensor, split: str, n: int = MOST) -> Tensor:
    """Return at most n images of a split, always the same ones in the same random order.  (N, ...) -> (n, ...)"""
    return images[order_of(len(images), split)[:n]]


def chosen(labels: Tensor, split: str, classes: int) -> Tensor:
    """Return which images of a split are stored.

    The first `MOST` of the random order, and then as many more of a class as `MOST` images need of it that are drawn in
    equal classes, or in the shares of the split.

    Args:
        labels: (N,) of all images of the split.
        split: its name.
        classes: number of classes.

    Returns:
        Indices (M,) int64.
    """
    order = order_of(len(labels), split)
    ranked = labels[order]
    needed = torch.bincount(labels, minlength=classes) * MOST / len(labels)
    needed = needed.clamp(min=MOST / max(1, classes)).ceil().long() + 1
    rank = torch.zeros_like(ranked)  # how many of its class come before an image
    for k in ranked.unique():
        rank[ranked == k] = torch.arange(int((ranked == k).sum()))
    further = (rank < needed[ranked]) & (torch.arange(len(order)) >= MOST)
    return torch.cat([order[:MOST], order[further]])


def collect_real(judge: Judge, train: ImageSet, test: ImageSet, progress: bool = False) -> RealFeatures:
    """Compute and round the features of both splits.

    They are averages after a ReLU, so from 0 to a largest value, which is taken as code 255.
    """
    codes, scales, labels = {}, {}, {}
    for split, images in (("train", train), ("test", test)):
        index = chosen(images.labels, split, images.classes)
        features = judge.features(images.images[index], progress=progress)
        scales[split] = (features[:MOST].amax(dim=0) / 255).clamp(min=1e-12)
        codes[split] = (features / scales[split]).round().clamp(max=255).to(torch.uint8)
        labels[split] = images.labels[index].to(torch.int16)
    return RealFeatures(judge.data, judge.digest, codes, scales, labels)


def real_path(name: str, folder: str | Path | None = None) -> Path:
    """Return where the real features of a data set are stored."""
    return pretrained(folder) / f"real_{name}.pth"


def check_real(data: str, judge: str, folder: str | Path = PRETRAINED, replace: bool = False) -> Path:
    """Return where real features are stored; a `ThawError` where those of a judge with another digest lie."""
    path = check_target(real_path(data, folder), ".pth")
    if not replace and path.exists() and (there := load_tensors(path).get("judge")) != judge:
        raise ThawError(f"{path} belongs to the judge {there}, not to {judge}; replace it by --replace")
    return path


def save_real(real: RealFeatures, folder: str | Path = PRETRAINED, replace: bool = False) -> Path:
    """Write real features beside their judge, and list them in MANIFEST.json; see `check_real`."""
    path = check_real(real.data, real.judge, folder, replace)
    entry = {"judge": real.judge, "images": {split: len(codes) for split, codes in real.codes.items()}}
    return save_released(path, FORMAT, vars(real), entry)


def known_real(judge: Judge) -> RealFeatures | None:
    """Return the real features of a judge, read or computed once a process; None where `load_real` finds none."""
    try:
        return _once(judge)
    except ThawError:
        return None


@lru_cache(maxsize=8)
def _once(judge: Judge) -> RealFeatures:
    return load_real(judge)


def load_real(
    judge: Judge, folder: str | Path | None = None, cache: Path | None = CACHE, progress: bool = False
) -> RealFeatures:
    """Return the real features of a judge: shipped, or kept from an earlier call, or computed from the data set.

    Args:
        judge: what the features must be those of.
        folder: where features are shipped; beside the judge by default.
        cache: where computed ones are kept; None to keep nothing.

    Raises:
        ThawError: if they are damaged, or neither shipped nor computable because the data set is missing.
    """
    folder = judge.folder if folder is None else folder
    listed = read_manifest(folder).get(real_path(judge.data, folder).name, {})
    # An unsaved judge has no digest, and so no file of its own.
    kept = _kept(judge.data, judge.digest, cache) if cache and judge.digest else None
    if judge.digest and listed.get("judge") == judge.digest:
        return _read(real_path(judge.data, folder), judge)
    if kept and kept.is_file():
        return _read(kept, judge)
    if kept:
        check_target(kept, ".pth")
    try:
        splits = real_images(judge)
    except ThawError as error:
        raise ThawError(
            f"the real features of judge {judge.digest} are not shipped and need the data: {error}"
        ) from None
    real = collect_real(judge, splits["train"], splits["test"], progress=progress)
    if kept:
        keep_real(real, cache)
    return real


def keep_real(real: RealFeatures, cache: Path = CACHE) -> Path:
    """Write real features where `load_real` finds them by their judge's digest, which must not be empty."""
    path = _kept(real.data, real.judge, cache)
    save_tensors(path, {"format": FORMAT} | vars(real))
    return path


def _kept(name: str, digest: str, cache: Path) -> Path:
    return cache / f"real2_{name}_{digest}.pth"  # the number of the format: an older file is left alone


def _read(path: Path, judge: Judge) -> RealFeatures:
    content = load_released(path, FORMAT, "real features")[0]
    try:
        real = RealFeatures(**{key: value for key, value in content.items() if key != "format"})
        shapes = [(real.features(split).shape, real.labels[split].shape) for split in ("train", "test")]
        fitting = all(features == (*labels, judge.num) for features, labels in shapes)
    except (KeyError, TypeError, AttributeError, RuntimeError):
        real, fitting = None, False
    if not fitting or real.judge != judge.digest:
        raise ThawError(f"{path} does not hold the real features of judge {judge.digest}; remove it or restore it")
    return real
