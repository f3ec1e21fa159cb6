"""What a minute of training a degradation gives, from random weights and from those of the hot model.

    python benchmarks/start.py [--minutes 1] [--record]

As the panel "Your own degradation" trains: by the clock, at all temperatures. From random weights a small network
learns, which sees more images a minute. Scored against the training images, at tau = 1.
"""

import sys
import tempfile
from typing import Any

import torch

from thaw import play
from thaw.base.files import enter_project
from thaw.base.pixels import to_uint8
from thaw.cli import options as o
from thaw.experiment.config import Config
from thaw.play.degrading import own_config, own_trainer, trained_model
from thaw.report import results
from thaw.report.recorder import weights_of
from thaw.scoring import MEASURES, Judge, evaluate, labels_in_shares, load_judge

NAMES = ("row", "pixelate", "eraser")


def measure(config: Config, judge: Judge, n: int) -> dict[str, tuple[Any, str]]:
    """Train, draw n digits, and return distance, accuracy and how many images were seen."""
    with tempfile.TemporaryDirectory() as run:
        trainer = own_trainer(config, run)
        for _ in trainer.all_steps():
            pass
    model = trained_model(trainer)
    labels = labels_in_shares(judge, n)
    found = evaluate(to_uint8(model.sample(labels, seed=1)), judge, labels, reference="train")
    told = {what: MEASURES[what].reported(found[what].value) for what in ("fid", "accuracy")}
    return told | {"images": (trainer.images_seen, ",d")}


def main(*, n: o.Scored = 1000, minutes: o.Minutes = 1.0, record: o.Record = False) -> None:
    """Print the table."""
    enter_project()
    torch.set_num_threads(1)
    judge = load_judge("mnist")
    origin = {"benchmark": "benchmarks/start.py", "seed": 0, "n": n}
    made = origin | {"weights": weights_of(judge, play.open_model("default"))}
    values = {"start.n": (n, ",d"), "start.minutes": (minutes, "g")}
    for name in NAMES:
        for start, config in (
            ("random", own_config(name, minutes, "mnist", widths=(16, 32))),
            ("hot", own_config(name, minutes, "mnist")),
        ):
            found = measure(config, judge, n)
            print(f"{name:10s} {start:8s}", "  ".join(f"{what} {format(*value)}" for what, value in found.items()))
            values |= {f"start.{name}.{start}_{what}": value for what, value in found.items()}
    if record:
        results.record(values, made)


if __name__ == "__main__":
    sys.exit(o.run(main))
