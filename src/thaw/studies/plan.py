"""What a study does within a time: the degradation, checked; the images; how many epochs, pictures, temperatures."""

import hashlib
import inspect
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thaw import data as sets
from thaw import degradations
from thaw.base import ThawError, check_target, digest_of, remember, sha256, user_path
from thaw.base.machine import machine
from thaw.data import DATA_SETS, ImageSet, coloured, open_set, read_items
from thaw.degradations import Degradation, check_laws
from thaw.degradations.base import registered
from thaw.experiment import Config, make_config, register_from
from thaw.process import Process
from thaw.scoring import Judge, load_judge
from thaw.store import hot_start, load_data
from thaw.studies.sizing import SEEDS, Size, fitting, measure_speed, predict, process_of, sizes_for

STUDIES = Path("contents/studies")
VERSION = 4  # of what the stages do: part of every key
GRADUAL = 40  # steps from which on a degradation is not softened
# As the sets `*_default` of the eleven degradations are trained and sampled, so that a study compares with them.
SETTINGS: dict[str, Any] = {
    "study": "custom", "set": "study", "schedule": "flow", "prediction": "x0", "tau": (0.0, 2.0), "sampler": "warm",
    "eta": 1.0, "guidance": 1.25, "guidance_interval": (0.2, 0.9), "sample_steps": 28, "label_dropout": 0.3,
    "evaluate_every": 0, "sample_every": 0, "save_minutes": 1.0,
}  # fmt: skip
# Of pairs: from the degraded picture, which no noise hides, back to the clean one; no class is told.
PAIRED = {"schedule": "bridge", "tau": (0.0, 1.0), "steps": 40, "label_dropout": 1.0, "guidance": 1.0}
RATE = {True: 4e-3, False: 8e-3}  # of learning: from the hot weights, or from random ones
SMOKE = {"limit": 256, "widths": (8, 16), "batch_size": 64, "sample_steps": 3, "terminal_components": 2}


@dataclass(frozen=True)
class Plan:
    """What a study does, and of what."""

    name: str  # of the degradation, or of a folder of pairs
    source: str  # the file that registers it; "" for one that is registered already, and for pairs
    code: str  # digest of its source, or of the pairs
    about: str  # its own description, the first line of its docstring
    settings: dict[str, Any]  # of `Config`, those of the data and the start included
    images: dict[str, Any]  # the fingerprint of the training images
    classes: int  # how many there are
    folder: str  # of the study
    minutes: float  # the time that was asked for
    size: Size  # what it is enough for
    scaled: bool  # whether a larger size would have taken too long
    # What one core was measured to take for a training step, for one evaluation of one image, and for one whose guess
    # is made consistent with a degraded picture
    seconds: tuple[float, float, float]
    workers: int  # processes side by side
    smoke: bool = False  # whether the numbers mean nothing

    @property
    def slug(self) -> str:
        """The name as keys of numbers have it."""
        return re.sub("[^a-z0-9_]", "_", self.name.lower())

    @property
    def path(self) -> Path:
        """The folder of the study."""
        return Path(self.folder)

    @property
    def restored(self) -> int:
        """How many test images are restored."""
        return 64 if self.smoke else min(self.size.n, 500)

    def key(self, *parts: str) -> dict[str, Any]:
        """Return what a result depends on: the degradation, the images and settings, and these parts of the size."""
        size = self.size._asdict()
        fixed = {"studies": VERSION, "code": self.code, "settings": self.settings, "images": self.images}
        return fixed | {part: size[part] for part in parts}

    @property
    def used(self) -> int:
        """How many of the training images are used."""
        there = self.images["images"]
        return max(1, round(self.size.share * min(there, self.settings.get("limit") or there)))

    def config(self, seed: int = 0) -> Config:
        """Return the experiment of a seed."""
        size, given = self.size, self.settings.get("limit")
        limit = given if size.share == 1 else self.used
        trained = {"epochs": size.epochs, "save_every": size.epochs, "limit": limit, "seed": seed}
        return make_config(self.settings | trained)

    def run(self, seed: int) -> Path:
        """Return the run directory of a seed: another one for whatever training depends on."""
        return self.path / "runs" / f"{digest_of(self.key('epochs', 'share'))}_seed{seed}"

    def predicted(self) -> dict[str, float]:
        """Return how many seconds of one core the parts of one seed take: training, curve, restorations."""
        return predict(self.config(), self.used, self.size, self.seconds)

    def register(self) -> None:
        """Make the degradation known in this process."""
        if self.source:
            register_from(self.source)

    def process(self, images: ImageSet) -> Process:
        """Return the process that is studied, for images of the study."""
        return process_of(self.config(), images)

    def inner(self, images: ImageSet) -> Degradation:
        """Return D_t as it is registered, not softened."""
        found = self.process(images).degradation
        return getattr(found, "inner", found)

    def load(self, split: str = "train") -> ImageSet:
        """Return a split of the images."""
        return load_data(self.config(), split)

    def judge(self) -> Judge | None:
        """Return the feature network of the images: the shipped one, or the study's; None of pairs without classes."""
        if self.classes < 2:
            return None
        return load_judge(self.config().data_name, self.path / "judge" if self.config().of_a_folder else None)

    def found(self, stage: str) -> Any:
        """Return what a stage found that another one needs, and that was therefore run before it."""
        return json.loads((self.path / "results" / f"{stage}.json").read_text())["value"]


def make_plan(
    source: str | Path,
    minutes: float = 25.0,
    data: str = "mnist",
    out: str | Path | None = None,
    workers: int | None = None,
    smoke: bool = False,
    say: Callable[[str], None] = print,
    **settings: Any,
) -> Plan:
    """Check a degradation by its laws, measure how fast it is here, and plan a study; kept in the study's folder.

    Args:
        source: a .py file that registers a degradation, the name of a registered one, or a folder of pairs.
        minutes: for all of it.
        data: a data set, or a folder of images, in a subfolder for each class.
        out: the study's folder; `contents/studies/<name>` by default.
        workers: processes side by side; by default as many as there are cores, at most one a seed.
        smoke: tiny settings, whose numbers mean nothing.
        say: told what is going on.
        settings: of `Config`, in place of a study's own.

    Raises:
        ThawError: in one sentence, before anything is written: for no such file or images, for a law that the
            degradation breaks, for settings that there are not, or an output that cannot be.
    """
    source = str(source)
    file = str(user_path(source)) if source.endswith(".py") else ""
    known_here = degradations.names()
    paired = not file and source not in known_here and user_path(source).is_dir()
    if paired and data != "mnist":
        raise ThawError(f"{source} is a folder of pairs, which are all the images of their study; leave out data")
    reads = _data_settings(source if paired else data)
    if paired and reads["data"] != "pairs":
        raise ThawError(f"{source} has no clean/ and degraded/; a study is of a .py file, or of such a folder")
    name = sets.folder_name(source) if paired else register_from(file) if file else source
    if not paired and name not in degradations.names():
        raise ThawError(f"no degradation {name!r}; name a .py file with @thaw.register, a folder of pairs, or one of "
                        f"{', '.join(known_here)}")  # fmt: skip
    factory = None if paired else registered()[name]
    code = sha256(file) if file else "" if paired else _code_of(factory, name)
    about = inspect.cleandoc(factory and factory.__doc__ or "").partition("\n")[0].strip()
    folder = check_target(out or STUDIES / name, folder="filled", inputs=[file or (source if paired else None)])
    given = SETTINGS | (PAIRED if paired else {"degradation": name}) | reads | (SMOKE if smoke else {})
    start = {} if smoke or "data_path" in given else hot_start(given["data"])
    start = {} if start.keys() & settings.keys() else start  # another network was asked for
    given |= start | {"lr": RATE[bool(start)]} | settings
    config = make_config(given)
    images = load_data(config, "train")
    load_data(config, "test")  # of one image there is none
    shape = images.shape
    degradation = process_of(config, images).degradation
    check_laws(degradation, images.subset(min(8, len(images)), 0).pixels())
    soften = 4 if degradation.steps < GRADUAL and "soften" not in settings else config.soften
    given |= {"soften": soften}
    config = make_config(given)
    if images.classes < 2 and not paired:  # pairs are compared with their originals
        what = f"{images.name} has {images.classes or 'none'}"
        raise ThawError(f"a study's scores need classes to tell apart, and {what}; sort the images into two subfolders")
    if not config.of_a_folder:  # its own is trained
        load_judge(config.data_name).check_shape(shape)
    workers = workers or min(SEEDS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
    known = {"name": name, "source": file, "code": code or images.fingerprint["digest"], "about": about}
    known |= {"folder": str(folder), "smoke": smoke, "classes": images.classes}
    known |= {"settings": config.model_dump(mode="json", exclude_unset=True)}
    known |= {"images": images.fingerprint, "minutes": float(minutes), "workers": workers}
    say(f"{name}: its laws hold on images of {images.name} {shape}, T = {degradation.steps}" if not paired else
        f"{name}: {len(images):,} pairs of {shape} to train on")  # fmt: skip

    largest = sizes_for(min(len(images), config.limit or len(images)))[-1].epochs

    def plan() -> dict[str, Any]:
        seconds = (0.1, 0.001, 0.001) if smoke else measure_speed(config, images)
        size = Size(1, 1.0, 256, (0.0, 1.0, 2.0)) if smoke else fitting(config, len(images), minutes, workers, seconds)
        return {"size": size, "seconds": seconds, "scaled": size.epochs < largest, "machine": machine()}

    # What this machine was measured to be enough for is kept: a study that goes on does the same.
    kept = remember(folder, {"studies": VERSION} | known, plan, name="plan")
    size = Size(**dict(zip(Size._fields, kept["size"], strict=True)) | {"taus": tuple(kept["size"][3])})
    return Plan(**known, size=size, scaled=kept["scaled"], seconds=tuple(kept["seconds"]))


def _code_of(factory: Any, name: str) -> str:
    """Return the digest of the source of what is registered under a name."""
    try:
        return hashlib.sha256(inspect.getsource(factory).encode()).hexdigest()
    except (OSError, TypeError):
        raise ThawError(
            f"the source of the degradation {name!r} cannot be read; save it in a file, and name that"
        ) from None


def _data_settings(name: str) -> dict[str, Any]:
    """Return the settings that read a data set, or a folder of images at a size and in the colours that suit it."""
    if name in DATA_SETS:
        return {"data": sets.resolve(name)}
    path = user_path(name)
    if not path.exists():
        raise ThawError(f"no data set or folder {name}; choose one of {', '.join(DATA_SETS)}, or a folder of images")
    pairs = all((path / part).is_dir() for part in ("clean", "degraded"))
    items = open_set(path / "clean" if pairs else path, say=lambda _: None)
    first = read_items(items[:1], name, say=lambda _: None)
    few = [read_items([item], name, say=lambda _: None)[0].permute(1, 2, 0).numpy() for item in items[:32]]
    channels = 3 if any(coloured(array) for array in few) else 1
    size = 28 if max(first.shape[2:]) <= 28 else 32
    reads = {"data": "pairs" if pairs else "folder", "data_path": str(path)}
    return reads | {"data_size": size, "data_channels": channels}
