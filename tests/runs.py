"""Tiny trainings, and what they leave: settings, epochs, states and losses."""

import json

import torch

from thaw.experiment.config import Config, make_config
from thaw.store import list_checkpoints, load_checkpoint
from thaw.training.loop import Epoch, train

TINY = {
    "data": "digits", "widths": (8, 16), "steps": 10, "sample_steps": 2, "limit": 64, "batch_size": 32, "epochs": 3,
    "save_every": 1, "sample_every": 0, "terminal_components": 2, "lr": 5e-3,
}  # fmt: skip


def configure(**values) -> Config:
    return make_config(TINY | values)


def run(config: Config, path, judge=None, until: int | None = None) -> list[Epoch]:
    """Train, walking away after epoch `until`."""
    epochs = []
    for epoch in train(config, path, judge=judge, progress=False):
        epochs.append(epoch)
        if epoch.epoch == until:
            break
    return epochs


def assert_equal(a, b, where: str = "") -> None:
    """Compare nested states bit for bit."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}[{index}]")
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, where


def states(run_path):
    return load_checkpoint(list_checkpoints(run_path)[-1]).states


def losses(run_path) -> list[float]:
    return [json.loads(line).get("loss") for line in (run_path / "metrics.jsonl").read_text().splitlines()]


VARIANTS = {
    "hot": {"prediction": "v"},
    "dropout": {"dropout": 0.3},
    "warm lines": {"study": "custom", "degradation": "row", "steps": None, "tau": (0.0, 1.0)},
    "cnn": {"network": "cnn"},
}

CODER = {
    "study": "autoencoder", "network": "vae", "data": "digits", "widths": (8, 16), "limit": 96, "batch_size": 32,
    "epochs": 1, "sample_every": 0, "evaluate_every": 0, "lr": 5e-3,
}  # fmt: skip
FLOW = {
    "study": "latent", "network": "mlp", "data": "digits", "set": "flow", "widths": (8, 8), "limit": 96,
    "batch_size": 32, "epochs": 2, "save_every": 1, "sample_every": 0, "steps": 20, "sample_steps": 3,
    "prediction": "v", "lr": 5e-3,
}  # fmt: skip
