"""What many tests read: degradations and processes that the laws are checked on, images, folders, failing commands."""

import importlib
import io
import itertools
import os
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from thaw import degradations
from thaw.base.seeding import generator
from thaw.cli.main import main
from thaw.cli.options import run
from thaw.data import ImageSet
from thaw.degradations import Degradation
from thaw.process import Process
from thaw.schedules import SCHEDULES, noise_schedule

ROOT = Path(__file__).resolve().parents[1]
SHAPE = (1, 28, 28)
SHAPES = [(1, 28, 28), (3, 32, 32), (1, 8, 10)]
QUANTUM = 2.0**-12

SCALES = [("scale", {"schedule": schedule}) for schedule in SCHEDULES]
LINES = [
    (axis, {"group": group, "order": order})
    for axis, group, order in itertools.product(("row", "col"), (1, 4), ("centre-out", "edges-in", "random"))
]
FAMILIES = [
    ("eraser", {"radius": 2}),
    ("eraser", {"softness": 0.5, "noise": 0.0}),
    ("zoom_nearest", {"last": 7}),
    ("zoom_bilinear", {"last": 2}),
    ("blur", {"largest": 5.0}),
    ("blur", {"keep": 1}),
    ("pixelate", {"cells": 3}),
    ("fade", {"softness": 1.0}),
    ("snow", {"flake": 3.0, "ramp": 0.5, "shade": 2.0}),
    ("morph", {"data": "digits"}),
]  # the other families, with options that are not their own
REGISTERED = [(name, {}) for name in degradations.names()]  # with their own options, those added later included
ALL = SCALES + LINES + FAMILIES + REGISTERED
COLD = [case for case in ALL if case[0] != "scale"]  # those that leave exactly their coordinates at T


def name_of(case: object) -> str | None:
    """Return a readable test id for a (name, options) pair."""
    return "-".join([case[0], *map(str, case[1].values())]) if isinstance(case, tuple) and len(case) == 2 else None


def make(case: tuple[str, dict], shape: tuple[int, int, int] = SHAPE, steps: int | None = None) -> Degradation:
    """Build a degradation of the lists above; the hot one with 20 steps unless told otherwise."""
    name, options = case
    return degradations.build(name, shape, 20 if steps is None and name == "scale" else steps, **options)


def draw(degradation: Degradation, n: int, seed: int = 0) -> Tensor | None:
    """Return the z of `n` trajectories."""
    return degradation.draw_z(n, generator(seed, "z"))


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors are the same to the last bit, the sign of zero included."""
    kind = torch.int64 if one.dtype == torch.float64 else torch.int32
    return one.dtype == other.dtype and torch.equal(one.contiguous().view(kind), other.contiguous().view(kind))


def pictures(n: int, shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> Tensor:
    """Return random pixels in [-1, 1] that are multiples of 2^-7, so that sums over a line are exact in any order."""
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(-128, 129, (n, *shape), generator=draws) / 128


def make_process(
    case: tuple[str, dict], steps: int | None = None, shape: tuple[int, int, int] = SHAPE, **options: object
) -> Process:
    """Build a process; a hot one has the noise that belongs to its signal, the others sigma = t / T."""
    degradation = make(case, shape, steps)
    sigma = noise_schedule(case[1].get("schedule", "flow"), degradation.steps)[1]
    return Process(degradation, sigma, **options)


def full(n: int, t: int) -> Tensor:
    """Return the step t for `n` images, (n,)."""
    return torch.full((n,), t)


def few(images: ImageSet, n: int) -> tuple[Tensor, Tensor]:
    """Return n images of a set in [-1, 1], (n, C, H, W), and their labels, (n,)."""
    chosen = images.subset(n, 0)
    return chosen.pixels(), chosen.labels


def open_picture(path: Path) -> Image.Image:
    """Open a picture, with all its frames, and leave no file open."""
    return Image.open(io.BytesIO(path.read_bytes()))


def everything(place):
    """Return all that lies below a folder, links and contents included."""
    found = {}
    for path in place.rglob("*"):
        kind = os.lstat(path).st_mode
        found[str(path)] = (
            kind,
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else "",
        )
    return found


SCRIPTS = {"report": "paper", "numbers": "numbers_tex", "cards": "cards", "banner": "banner", "speedrun": "speedrun"}


def command(arguments: list[str]) -> int:
    """Run a verb, or the script behind a make target of the same name, and return its exit code."""
    if arguments[0] in SCRIPTS:
        return run(importlib.import_module(SCRIPTS[arguments[0]]).main, arguments[1:])
    return main(arguments)


def fails(capsys, *arguments: str) -> str:
    """Run a command that must fail, and return its one sentence."""
    assert main(list(arguments)) == 1
    error = capsys.readouterr().err
    assert error.startswith("thaw: ") and error.count("\n") == 1
    return error


# Folders of images by their number of classes: name, images a class (of all where there is none), channels.
FOLDERS = {0: ("loose", 12, 3), 1: ("single", 11, 1), 2: ("pair", 10, 3), 3: ("three", 10, 1), 47: ("many", 2, 1)}


def folder_settings(folders: dict[int, Path], classes: int) -> dict:
    """Return the settings that read one of the folders."""
    size = 17 if classes == 2 else 16  # odd sizes too
    return {"data": "folder", "data_path": str(folders[classes]), "data_size": size,
            "data_channels": FOLDERS[classes][2]}  # fmt: skip


def write_pictures(folder, images, names):
    """Write grey images (N, 1, H, W) uint8 by their names below a folder."""
    for image, name in zip(images, names, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path)
