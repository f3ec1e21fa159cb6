"""Your own degradation: see what it does, train it for a minute, draw from what came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from thaw import degradations
from thaw.base import ThawError, generator, to_uint8
from thaw.data import on_disk
from thaw.experiment import Config
from thaw.model import Model
from thaw.play.pictures import Tile, as_picture, mosaic, shown
from thaw.store import TITLES, hot_start, load_data, load_examples

if TYPE_CHECKING:
    from thaw.training.trainer import Trainer

SHOWN = 10  # states of a strip


def own_names() -> list[str]:
    """Return the registered degradations that are not the package's own, the newest first."""
    return [name for name in reversed(degradations.registered()) if name not in {*TITLES, "scale"}]


def destroyed_tile(name: str, folder: str | Path | None = None, rows: int = 3, data: str = "mnist") -> Tile:
    """Return some digits destroyed step by step, ten states a row, as one tile.

    Raises:
        ThawError: for an unknown degradation, or one that breaks its laws: D(x, 0) = x, values in [-1, 1].
    """
    images = load_examples(data, folder)
    x0 = images.pixels(torch.arange(0, len(images), len(images) // rows)[:rows])
    degradation = degradations.build(name, images.shape)
    z = degradation.draw_z(rows, generator(0, "strips"))
    states: list[Tensor] = []
    for index in range(SHOWN):
        t = torch.full((rows,), round(index * degradation.steps / (SHOWN - 1)))
        states.append(degradation(x0, t, z))
        if states[-1].shape != x0.shape or float(states[-1].abs().max()) > 1.001:
            raise ThawError(f"the degradation {name} must keep the shape, and values in [-1, 1]; see its forward")
    if not torch.equal(states[0], x0):
        raise ThawError(f"the degradation {name} changes the picture at t = 0; D(x, 0) must be x")
    return Tile(mosaic(shown(torch.stack(states, dim=1).flatten(0, 1)), SHOWN), f"{name}: t = 0 ... T")


def destroying(name: str, folder: str | Path | None = None) -> Image.Image:
    """Return a figure of what a degradation does to some digits, from t = 0 to T."""
    return as_picture([[destroyed_tile(name, folder)]], scale=2)


def own_config(
    name: str, minutes: float = 1.0, data: str | None = None, folder: str | Path | None = None, **settings: Any
) -> Config:
    """Return the experiment of a training by the clock, at all temperatures.

    It begins with the hot weights of the data set where they are shipped and `settings` ask for no other network, else
    with a small network.

    Args:
        name: of the degradation.
        minutes: how long.
        data: data set; MNIST where it is on the disk, else scikit-learn's digits.
        folder: where released weights are.
        settings: other fields of `Config`.
    """
    data = data or ("mnist" if on_disk("mnist") else "digits")
    start = hot_start(data, folder)
    quick = start if start and not start.keys() & settings.keys() else {"widths": (16, 32)}
    quick |= {"batch_size": 64, "terminal_components": 2, "sample_steps": 14, "eta": 1.0}
    quick |= {"epochs": 100_000, "minutes": minutes, "tau": (0.0, 1.0), "ema": 0.99, "guidance": 1.5}
    return Config(study="custom", set="mine", degradation=name, data=data, **(quick | settings))


def own_trainer(config: Config, run: str | Path) -> Trainer:
    """Return what trains by the clock: go through its `all_steps` as far as you like, then take `trained_model`.

    Args:
        config: see `own_config`.
        run: folder for the terminal distribution.

    Raises:
        ThawError: if the data set is not there.
    """
    from thaw.training.parallel import build_accelerator
    from thaw.training.trainer import Trainer  # Accelerate takes seconds to import

    return Trainer(config, load_data(config, "train", download=False), Path(run), build_accelerator(config))


def progress_of(trainer: Trainer) -> str:
    """Return what a trainer has done so far, in words."""
    return f"{trainer.images_seen:,} images seen, loss {float(trainer.loss) / max(1, trainer.index):.3f}"


def trained_model(trainer: Trainer) -> Model:
    """Return the averaged model; a `ThawError` if no step was taken, or the loss diverged."""
    if not trainer.images_seen:
        raise ThawError("stopped before the first step; nothing was learnt")
    trainer.check_loss()
    return trainer.model()


def own(name: str, run: str | Path, minutes: float = 1.0, n: int = 40, seed: int = 0, **settings: Any) -> Image.Image:
    """Train a degradation for some minutes and return a figure: what it does, and digits drawn after it.

    Args:
        name: of a registered degradation.
        run: folder of the run.
        minutes: how long.
        n: digits.
        seed: of the digits.
        settings: other fields of `Config`.
    """
    trainer = own_trainer(own_config(name, minutes, **settings), run)
    for _ in trainer.all_steps():
        pass
    model = trained_model(trainer)
    drawn = to_uint8(model.sample(model.labels(n), seed=seed))
    title = f"after {minutes:g} min of training on {model.config.data}, warm"
    return as_picture([[destroyed_tile(name)], [Tile(mosaic(drawn, 10), title)]], scale=2, gap=8)
