"""Drawing: digits from released weights, how they come about, several models side by side, what they score."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from thaw.base import ThawError, by_git, check_target, derive, number, to_uint8
from thaw.data import save_gif, save_grid, strip
from thaw.model import Model
from thaw.play.pictures import GREY, Tile, as_picture, mosaic
from thaw.sampling import Step
from thaw.store import cached_model, pretrained
from thaw.store.catalogue import catalogue

Choice = tuple[str, int | None]  # label and epoch, None for the newest

BATCH = 250
COLUMNS = 10  # states of a strip
SCALE = 2  # screen pixels a pixel: ten digits fit beside JupyterLab's file browser, and stay crisp


def draw(
    model: Model, out: str | Path, n: int = 64, digit: int | None = None, columns: int = 10, **settings: Any
) -> Image.Image:
    """Draw digits, save them as `<model>_samples.png`, and return the picture; says how long it took.

    Args:
        model: see `open_model`.
        out: folder of the picture.
        n: how many.
        digit: only this class; all in turn by default.
        columns: digits a row.
        settings: as for `Model.sample`: sampler, tau, eta, steps, guidance, seed.
    """
    path = check_target(Path(out) / f"{stem_of(model, settings)}_samples.png", ".png")
    started = time.perf_counter()
    images = to_uint8(model.sample(model.labels(n, digit), **settings))
    seconds = time.perf_counter() - started
    save_grid(path, images, columns, scale=SCALE)
    print(f"{n} digits in {seconds:.1f} s: {path}")
    return read_picture(path)


def watch(model: Model, out: str | Path, n: int = 3, **settings: Any) -> Image.Image:
    """Walk from x_T to x_0: save a strip of the states (PNG) and an animation (GIF), and return the strip.

    Every trajectory has two rows: x_t, and below it x0_hat, what the network takes to be behind it.

    Args:
        model: see `open_model`.
        out: folder of both files.
        n: trajectories, of the classes in turn.
        settings: as for `Model.trajectory`.
    """
    stem = f"{stem_of(model, settings)}_progression"
    gif, png = (check_target(Path(out) / f"{stem}{ending}", ending) for ending in (".gif", ".png"))
    steps = list(model.trajectory(model.labels(n), **settings))
    save_animation(gif, steps)
    return read_picture(save_grid(png, rows_of(steps), columns=min(COLUMNS, len(steps)), scale=SCALE))


def rows_of(steps: Sequence[Step]) -> torch.Tensor:
    """Return at most ten states of trajectories, rows of x_t and of x0_hat in turn.  (2 B * 10, C, H, W) uint8"""
    count, B = min(COLUMNS, len(steps)), len(steps[0].x_t)
    both = [s.x_t for s in steps], [s.x0_hat for s in steps]
    return torch.stack([strip(states, count).unflatten(0, (B, count)) for states in both], dim=1).flatten(0, 2)


def save_animation(path: str | Path, steps: Sequence[Step]) -> Path:
    """Save trajectories as a GIF, x_t above x0_hat, a column an image."""
    return save_gif(path, [torch.cat([s.x_t, s.x0_hat]) for s in steps], len(steps[0].x_t), background=GREY)


def epochs_of(label: str, data: str = "mnist", folder: str | Path | None = None) -> list[Choice]:
    """Return the shipped epochs of a model as choices to compare; a `ThawError` if it has none."""
    for one in catalogue(folder):
        if (one.label, one.data) == (label, data):
            return [(label, epoch) for epoch in one.epochs]
    folder = pretrained(folder)
    raise ThawError(f"no weights {data} {label} in {folder}; restore them with {by_git(folder)}")


def compare(
    choices: Sequence[Choice], n: int = 10, seed: int = 0, columns: int = 10, data: str = "mnist",
    folder: str | Path | None = None,
) -> Image.Image:  # fmt: skip
    """Draw the same labels with the same seed by several models, each at its own settings, and return one figure.

    Args:
        choices: (label, epoch) of each; see `epochs_of` for those of one model.
        n: digits each.
        seed: of all.
        columns: digits a row.
        data: data set of all.
        folder: of the weights.
    """
    if not choices:
        raise ThawError("there is nothing to compare; name at least one model, (label, epoch)")
    rows = []
    for label, epoch in choices:
        model = cached_model(label, epoch, data, folder)
        images = to_uint8(model.sample(model.labels(n), seed=seed))
        rows.append([Tile(mosaic(images, columns), f"{label}, epoch {model.epoch}")])
    return as_picture(rows, scale=2, gap=8)


def read_picture(path: Path) -> Image.Image:
    """Return a picture that was saved, as a cell shows it."""
    with Image.open(path) as picture:
        return picture.copy()


def stem_of(model: Model, settings: dict[str, Any]) -> str:
    """Return how the names of files of a model's pictures begin."""
    sampler = settings.get("sampler")
    return f"{model.config.study}_{model.config.label}" + (f"_{sampler}" if sampler else "")


def score(model: Model, n: int = 500, seed: int = 0, **settings: Any) -> dict[str, Any]:
    """Score `n` fresh digits against the test set's statistics, which are shipped; see `thaw.evaluate`."""
    from thaw.scoring import load_judge, score_model

    return score_model(model, load_judge(model.config.data_name), n, seed=seed, **settings)


def score_text(scores: dict[str, Any]) -> str:
    """Return scores as a line of text, each beside what real images get."""
    from thaw.scoring import row_of

    parts = []
    for key, value in scores.items():
        floor = "" if value.floor is None else f" (real {number(value.floor)})"
        parts.append(f"{row_of(key).title} {number(value.value)}{floor}")
    return ", ".join(parts) + f"; n = {next(iter(scores.values())).n}."


class Drawing(NamedTuple):
    """Where drawing stands: steps taken of all, and the images as far as they are known."""

    done: int
    total: int
    images: Tensor  # (N, C, H, W) pixels in [-1, 1]
    state: Tensor  # (N, C, H, W), x_t of the same


def draw_in_steps(model: Model, y: Tensor, seed: int = 0, **settings: Any) -> Iterator[Drawing]:
    """Draw one image for each label (N,) as `Model.sample` does, step by step; the last images are its result."""
    images, states = torch.full((2, len(y), *model.shape), -1.0)
    parts, done = y.split(BATCH), 0
    total = steps_of(model, settings) * len(parts)
    for index, labels in enumerate(parts):
        stream = derive(seed, "batch", index) if index else seed
        here = slice(index * BATCH, index * BATCH + len(labels))
        for step in model.trajectory(labels, seed=stream, **settings):
            images[here], states[here] = step.x0_hat.cpu().clamp(-1, 1), step.x_t.cpu()
            done += 1
            yield Drawing(done, total, images, states)


def steps_of(model: Model, settings: dict[str, Any]) -> int:
    """Return how many states a trajectory with these settings has."""
    settings = {name: value for name, value in settings.items() if name != "seed"}
    return len(model.sampling.replace(**settings).visited(model.process))
