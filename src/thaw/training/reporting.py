"""What a training run shows and measures after an epoch: samples and their scores, or reconstructions and theirs."""

from pathlib import Path
from typing import Any

from thaw.base import number, to_uint8
from thaw.data import save_grid
from thaw.experiment import Config
from thaw.model import Model
from thaw.scoring import Judge, originals_above, score_model, score_reconstruction
from thaw.store import load_data

ROWS = 8  # of a grid of samples


def due(config: Config, judge: Judge | None, epoch: int, last: bool) -> tuple[bool, bool]:
    """Tell whether samples and scores are due after an epoch.

    There is something to score by with a judge, or with the originals of an autoencoder's reconstructions.
    """
    sampled, scored = (
        every > 0 and (last or epoch % every == 0) for every in (config.sample_every, config.evaluate_every)
    )
    return sampled, scored and (judge is not None or config.study == "autoencoder")


def save_samples(model: Model, run: Path) -> Path:
    """Save a grid of samples, see `Model.columns` for its columns, of the epoch that the model stands at.

    An autoencoder shows test images, a row of originals above each row of reconstructions.
    """
    columns = model.columns()
    if model.config.study == "autoencoder":
        images = load_data(model.config, "test")
        pictures, columns = originals_above(model, images, ROWS // 2, columns, model.config.seed)
    else:
        pictures = to_uint8(model.sample(model.labels(ROWS * columns)))
    return save_grid(run / "samples" / f"epoch_{model.epoch:04d}.png", pictures, columns)


def scores(model: Model, judge: Judge | None) -> dict[str, float]:
    """Return the scores of `evaluate_n` samples, or test images, for a line of metrics.jsonl."""
    config = model.config
    if config.study == "autoencoder":
        images = load_data(config, "test")
        images = images.subset(min(config.evaluate_n, len(images)), config.seed)
        found = score_reconstruction(model, images)
        return {name: round(value, 6) for name, value in found.items()} | {"n": len(images)}
    found = score_model(model, judge, config.evaluate_n, seed=config.seed)
    record = {name: round(score.value, 6) for name, score in found.items()}
    floor = found["fid"].floor
    return record | {"n": config.evaluate_n, "fid_floor": None if floor is None else round(floor, 6)}


def describe(record: dict[str, Any]) -> str:
    """Return what a line of metrics.jsonl tells, in words: the loss and the scores, where there are any."""
    line = ""
    if "loss" in record:
        line += f"   loss {record['loss']:.4f}   {record['images_per_second']:.0f} images/s"
    if "mse" in record:
        line += f"   squared error {record['mse']:.2f}, divergence {record['kl']:.1f} an image"
    if "fid" in record:
        floor = "" if record["fid_floor"] is None else f"real images {number(record['fid_floor'])}, "
        line += f"   FID {number(record['fid'])} ({floor}n = {record['n']})"
    return line
