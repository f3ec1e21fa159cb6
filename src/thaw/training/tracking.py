"""Sending a run's curves and sample grids to TensorBoard or Weights & Biases, through Accelerate's trackers."""

import contextlib
import json
import secrets
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.tracking import GeneralTracker, TensorBoardTracker, WandBTracker
from PIL import Image

from thaw.base import ThawError, first_line, write_json
from thaw.experiment import Config

PROJECT = "thaw"  # the project's name in Weights & Biases
POINTS = 10  # an epoch: how often the loss within it is noted

Entry = tuple[tuple[int, int], dict[str, float], Path | None]  # (step, 0 within or 1 after an epoch), values, picture


class RunTracker:
    """Sends what a run has on disk, and remembers in `tracker.json` how far it got.

    Only what a checkpoint holds is sent. A run that was killed and goes on therefore neither repeats a
    point nor leaves one out, and one that is tracked from the middle sends the epochs before as well.

    Args:
        config: of the run; its fields become the hyper-parameters.
        run: the run directory; all files go there (`tensorboard/`, `wandb/`).

    Raises:
        ThawError: if the tracker cannot start.
    """

    def __init__(self, config: Config, run: Path) -> None:
        self.config, self.run, self.path = config, run, run / "tracker.json"
        self.states: dict[str, Any] = {}  # of every tracker that the run has had
        with contextlib.suppress(OSError, ValueError):
            self.states = json.loads(self.path.read_text())
        new = config.tracker not in self.states
        self.state = self.states.setdefault(config.tracker, {"id": secrets.token_hex(4), "sent": [-1, 0]})
        self.tracker = self._start()
        if new:
            self.tracker.store_init_configuration(hyperparameters(config))
            write_json(self.path, self.states)

    def _start(self) -> GeneralTracker:
        if self.config.tracker == "tensorboard":
            tracker: GeneralTracker = TensorBoardTracker("tensorboard", str(self.run))
        else:
            identity = {"name": self.config.run_name, "id": self.state["id"], "resume": "allow"}
            tracker = WandBTracker(PROJECT, dir=str(self.run), **identity)
        try:
            tracker.start()
        except Exception as error:  # not logged in, no connection, a folder that cannot be written
            reason = first_line(error)
            cure = "log in with `wandb login`, set WANDB_MODE=offline, or " if self.config.tracker == "wandb" else ""
            raise ThawError(
                f"tracker: {self.config.tracker} cannot start ({reason}); {cure}set tracker: none"
            ) from error
        return tracker

    def send(self, records: list[dict[str, Any]], points: list[list[float]]) -> None:
        """Send what is new.

        Args:
            records: the lines of metrics.jsonl.
            points: within the newest epoch: [steps of the run, steps of the epoch, sum of their losses,
                learning rate].
        """
        entries = sorted(self.entries(records, points), key=lambda entry: entry[0])
        due = [entry for entry in entries if entry[0] > tuple(self.state["sent"])]
        for (step, _), values, picture in due:
            self.tracker.log(values, step=step)
            if picture and picture.is_file():
                layout = {"dataformats": "NHWC"} if self.config.tracker == "tensorboard" else {}
                self.tracker.log_images({"samples": _pixels(picture)}, step=step, **layout)
        if due:
            self.state["sent"] = list(due[-1][0])
            write_json(self.path, self.states)

    def entries(self, records: list[dict[str, Any]], points: list[list[float]]) -> Iterator[Entry]:
        """Yield everything there is to send; the step counts optimiser steps since the run began."""
        for (_, since, loss_before, _), (step, index, loss, lr) in pairwise([(0, 0, 0.0, 0.0), *points]):
            yield (step, 0), {"loss/step": (loss - loss_before) / (index - since), "lr": lr}, None
        for record in records:
            values = {"loss/epoch" if key == "loss" else key: value for key, value in record.items()}
            step = record.get("images", 0) // self.config.batch_size
            yield (step, 1), values, self.run / "samples" / f"epoch_{record['epoch']:04d}.png"

    def close(self) -> None:
        """Close the tracker's files."""
        self.tracker.finish()


def hyperparameters(config: Config) -> dict[str, bool | int | float | str]:
    """Return the fields of a configuration as the plain values that trackers take; lists and nulls as JSON."""
    values = config.model_dump(mode="json")
    return {key: v if isinstance(v, bool | int | float | str) else json.dumps(v) for key, v in values.items()}


def _pixels(picture: Path) -> np.ndarray:
    """Read a picture as uint8 (1, H, W, 3)."""
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"))[None]
