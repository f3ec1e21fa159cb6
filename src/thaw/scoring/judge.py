"""The judge: a small classifier whose features every score rests on, with its reference statistics."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thaw.base import ThawError, advice, check_target, first_line, pick, to_pixels
from thaw.data import DATA_SETS
from thaw.networks import count_parameters
from thaw.scoring.extractor import Extractor, Statistics, check_uint8
from thaw.store import PRETRAINED, load_released, pretrained, save_released

FORMAT = "thaw-features/1"
FURTHER_PARTS = ("source", "background", "reading", "fingerprints", "training")  # of a judge, which not every file has
FURTHER = Path("contents/features")  # judges of other seeds: a check on the shipped one, not shipped themselves


class FeatureNetwork(nn.Module):
    """Classifier of six convolutions; its `num_features` averaged last channels are the features.

    It takes uint8 images only, so that every score sees the same rounding. The features are scaled
    by `unit` so that their variances over the training set sum to their number: a distance is then
    in the same units whatever network or data set it rests on.

    Args:
        channels: C of the images; any height and width.
        classes: number of classes K.
    """

    num_features = 128  # read by torchmetrics

    def __init__(self, channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        widths = (channels, 32, 32, 64, 64, 96, self.num_features)
        self.convolutions = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in zip(widths, widths[1:], strict=False)
        )
        self.head = nn.Linear(self.num_features, classes)
        self.register_buffer("unit", torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        """Return features.  (B, C, H, W) uint8 -> (B, 128) float32"""
        h = to_pixels(images).contiguous(memory_format=torch.channels_last)
        for index, convolution in enumerate(self.convolutions):
            h = convolution(h)
            if index in (1, 3):
                h = F.max_pool2d(h, 2)
        return h.mean(dim=(2, 3)) * self.unit

    def logits(self, features: Tensor) -> Tensor:
        """Return class scores before the softmax.  (B, 128) -> (B, K)"""
        return self.head(features / self.unit)

    def classify(self, features: Tensor) -> Tensor:
        """Return class probabilities.  (B, 128) -> (B, K)"""
        return self.logits(features).softmax(dim=1)


@dataclass(frozen=True, eq=False)
class Judge(Extractor):
    """A trained feature network with what scoring needs, so that it needs no data set.

    Attributes:
        network: in evaluation mode, on the CPU.
        data: name of the data set it was trained on.
        shape: (C, H, W) of the images it takes.
        accuracy: share of test images classified correctly.
        references: split name -> statistics of all its images.
        digest: first 12 digits of the file's SHA-256; part of every score's record.
        source: what to say beside every score, where the splits are not the official ones; else empty.
        background: grey level of the background of most training images, see `thaw.data.images.background_of`.
        reading: the settings of `Config` that read its data set; empty for one that its name tells.
        fingerprints: split name -> what its data set is known by again, see `ImageSet.fingerprint`.
        training: epochs and seed; empty for one that does not tell.
        folder: where it was read, and where features of real images lie beside it.
    """

    network: FeatureNetwork
    data: str
    shape: tuple[int, int, int]
    accuracy: float
    references: dict[str, Statistics]
    digest: str = ""
    source: str = ""
    background: int = 0
    reading: dict[str, Any] = field(default_factory=dict)
    fingerprints: dict[str, dict[str, Any]] = field(default_factory=dict)
    training: dict[str, int] = field(default_factory=dict)
    folder: Path = PRETRAINED

    def check_shape(self, shape: tuple[int, int, int]) -> None:
        """Raise a `ThawError` unless it judges images of a shape (C, H, W)."""
        if tuple(shape) != self.shape:
            raise ThawError(
                f"the {self.data} judge takes images {self.shape}, these are {tuple(shape)}; train one for them by "
                "`thaw features --config FILE`"
            )

    def class_of(self, told: str | int) -> int:
        """Return the class that a subfolder's name or a label tells; a `ThawError` for one that it does not know."""
        names = self.fingerprints.get("train", {}).get("names", [])
        found = names.index(told) if told in names else int(told) if str(told).isdecimal() else self.classes
        if found >= self.classes:
            raise ThawError(
                f"{told!r} is no class of {self.data}; name subfolders by {', '.join(names) or 'its number'}"
            )
        return found

    def check(self, images: Tensor) -> None:
        check_uint8(images)
        if images.ndim != 4 or tuple(images.shape[1:]) != self.shape:
            raise ThawError(f"the {self.data} judge takes images (N, {self.shape}), got {tuple(images.shape)}")

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        return self.network.logits(features)

    def reference(self, split: str) -> Statistics:
        """Return the statistics of a reference split; a `ThawError` if there is none of this name."""
        return pick(split, self.references, "reference split")

    def predict(self, features: Tensor) -> Tensor:
        """Return the likeliest classes.  (N, 128) -> (N,) int64"""
        return self.logits(features).argmax(dim=1)

    @property
    def classes(self) -> int:
        """The number of classes K."""
        return self.network.head.out_features

    @property
    def num(self) -> int:
        """The number of features."""
        return self.network.num_features


def judge_path(data: str, folder: str | Path | None = None) -> Path:
    """Return where the judge of a data set is stored."""
    return pretrained(folder) / f"features_{data}.pth"


def judge_folder(seed: int) -> Path:
    """Return where the judges of a seed lie: seed 0 is the shipped one, others have a folder of their own."""
    return Path(PRETRAINED) if seed == 0 else FURTHER / f"seed{seed}"


def load_judges(data: str) -> dict[int, Judge]:
    """Return the judges of a data set that are at hand, by their seeds, the shipped one (seed 0) first.

    Others are trained by `thaw features --seed 1`: what a score says of models should not depend on the judge's seed.
    """
    found = [path.parent.name.removeprefix("seed") for path in FURTHER.glob(f"seed[0-9]*/{judge_path(data).name}")]
    return {seed: load_judge(data, judge_folder(seed) if seed else None) for seed in [0, *sorted(map(int, found))]}


def check_judge(
    data: str,
    training: dict[str, int],
    fingerprints: dict[str, dict[str, Any]],
    folder: str | Path = PRETRAINED,
    replace: bool = False,
) -> Path:
    """Return where a judge is stored, unless one of other images, or trained otherwise, lies there.

    Args:
        data, training, fingerprints: of the judge.
        folder: where it is stored.
        replace: whether anything may be replaced.

    Raises:
        ThawError: naming what is there, or as `thaw.base.files.check_target`.
    """
    path = check_target(judge_path(data, folder), ".pth")
    if replace or not path.exists():
        return path
    there = load_judge(data, folder)
    if there.fingerprints != fingerprints:
        reason = f"was trained on other images ({there.reading.get('data_path') or there.data})"
    elif there.training != training:
        told = ", ".join(f"{name} {value}" for name, value in there.training.items())
        reason = f"was trained otherwise ({told})" if told else "does not tell how it was trained"
    else:
        return path
    raise ThawError(f"{path} {reason}, and scores rest on it; train with another --seed, or replace it by --replace")


def save_judge(judge: Judge, folder: str | Path = PRETRAINED, replace: bool = False) -> Path:
    """Write a judge (fp16 weights, float64 statistics) and list it in MANIFEST.json; see `check_judge`."""
    path = check_judge(judge.data, judge.training, judge.fingerprints, folder, replace)
    state = {k: v.half() if v.is_floating_point() else v for k, v in judge.network.state_dict().items()}
    content = {"data": judge.data, "shape": list(judge.shape), "accuracy": judge.accuracy}
    content |= {"classes": judge.network.head.out_features, "network": state}
    content |= {name: value for name in FURTHER_PARTS if (value := getattr(judge, name))}
    content["references"] = {name: vars(reference) for name, reference in judge.references.items()}
    entry = {"accuracy": judge.accuracy}
    entry |= {name: value for name in ("source", "training") if (value := getattr(judge, name))}
    entry |= {"data": judge.fingerprints["train"]} if judge.fingerprints else {}
    return save_released(path, FORMAT, content, entry | {"parameters": count_parameters(judge.network)})


def load_judge(data: str, folder: str | Path | None = None) -> Judge:
    """Load the judge of a data set.

    Raises:
        ThawError: if it is missing, damaged, or does not match its checksum in MANIFEST.json.
    """
    path = judge_path(data, folder)
    if not path.is_file():
        how = f"--data {data}" if data in DATA_SETS else "--config FILE"  # of a folder, or another split of EMNIST
        hint = advice(path, f"train it with `python -m thaw features {how}`")
        raise ThawError(f"no feature network {path}; {hint}")
    content, digest, _ = load_released(path, FORMAT, "feature network")
    try:
        shape = tuple(content["shape"])
        network = FeatureNetwork(shape[0], content["classes"])
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in content["network"].items()})
        references = {name: Statistics(**parts) for name, parts in content["references"].items()}
        network = network.to(memory_format=torch.channels_last).eval()
        further = {k: content[k] for k in FURTHER_PARTS if k in content} | {"folder": path.parent}
        return Judge(network, content["data"], shape, content["accuracy"], references, digest[:12], **further)
    except (KeyError, TypeError, RuntimeError, AttributeError, ValueError) as error:
        text = f"{path} lacks a part of a feature network file ({first_line(error)}); restore it with git"
        raise ThawError(text) from None
