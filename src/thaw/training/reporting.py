"""What a training run shows and measures after an epoch: samples and their scores, or reconstructions and theirs."""

from typing import Any

from torch import Tensor

from thaw.base.pixels import to_uint8
from thaw.base.text import number
from thaw.data import ImageSet
from thaw.model import Model
from thaw.scoring.judge import Judge
from thaw.scoring.metrics import score_model
from thaw.scoring.reconstruction import originals_above, score_reconstruction
from thaw.store.inputs import load_data

ROWS = 8  # of a grid of samples


def pictures(model: Model) -> tuple[Tensor, int]:
    """Return the pictures of a grid, uint8 (N, C, H, W), and its columns: see `Model.columns`.

    An autoencoder shows test images, a row of originals above each row of reconstructions.
    """
    columns = model.columns()
    if model.config.study == "autoencoder":
        return originals_above(model, load_data(model.config, "test"), ROWS // 2, columns, model.config.seed)
    return to_uint8(model.sample(model.labels(ROWS * columns))), columns


def scores(model: Model, judge: Judge | None) -> dict[str, float]:
    """Return the scores of `evaluate_n` samples, or test images, for a line of metrics.jsonl."""
    config = model.config
    if config.study == "autoencoder":
        images = _held_out(model, config.evaluate_n)
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


def _held_out(model: Model, n: int) -> ImageSet:
    images = load_data(model.config, "test")
    return images.subset(min(n, len(images)), model.config.seed)
