"""The eleven degradations at equal budget: what a degradation of your own is compared with.

    python benchmarks/equal_budget.py [--epochs 5 2] [--taus 1 2 0] [--seeds 0 1 2] [--n 500] [--names row ...]
        [--runs contents/runs] [--record]

The set `default` of each is trained for so many epochs, with the whole decay of the learning rate, in run directories
of their own, from the hot weights that a study's own degradation begins with. As many as are shipped began with later
ones, and are read. Digits in the shares of the training classes are scored against the *training* images, at some
temperatures, by some seeds. With `--record` each row goes to equal_budget.json beside the weights as soon as it is
measured, and what stands there of the same weights is not measured again: killed, the same command goes on.
"""

import itertools
import json
import statistics
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from repairs import NAMES

from thaw import load_model
from thaw.base import arguments as a
from thaw.base.errors import ThawError
from thaw.base.files import enter_project, locked, write_json
from thaw.cli import options as o
from thaw.experiment.config import load_config
from thaw.model import Model
from thaw.sampling import Sampling
from thaw.scoring import Judge, labels_in_shares, load_judge
from thaw.scoring.protocol import protocol
from thaw.scoring.samples import draw_samples, weights_digest
from thaw.store.catalogue import hot_start
from thaw.store.released import pretrained
from thaw.store.runs import RUNS
from thaw.training.loop import train

FORMAT = "thaw-equal-budget/1"
FILE = "equal_budget.json"
SAMPLING = Sampling(eta=1.0, steps=28, guidance=1.25, guidance_interval=(0.2, 0.9))  # of the sets
NOTE = (
    "n and the temperatures are few, so that all rows take under an hour of one core; a distance depends on n: compare "
    "at this n alone. The seeds are those of sampling, of one training each."
)
RECORDED = ("fid", "accuracy", "precision", "recall", "coverage", "entropy")
IDENTITY = ("degradation", "epochs", "tau", "seed")  # of a row
Epochs = o.number(a.EPOCHS, "of training, from the hot weights", kind=list[int], consume_multiple=True)
Taus = o.number(a.TEMPERATURE, "temperatures", kind=list[float], consume_multiple=True)
Seeds = o.number(a.SEED, "of what is drawn", kind=list[int], consume_multiple=True)
Runs = o.word("folder of the runs that are trained; contents/runs by default")


@cache
def trained(name: str, epochs: int, runs: Path) -> tuple[Model, dict[str, Any]]:
    """Return the model of a degradation after so many epochs, trained if need be, and what it cost."""
    path = f"configs/custom/{name}_default.yaml"
    config = load_config(path)
    if epochs == config.epochs:
        model = load_model(f"{name}_default")
        cost = {"seconds": model.info.get("train_seconds"), "machine": model.info.get("machine")}
    else:
        run = runs / f"e{epochs}_{name}"
        settings = hot_start(config.data) | {"epochs": epochs, "save_every": epochs}  # as a study's own begins
        *_, last = train(load_config(path, **settings, sample_every=0, evaluate_every=0), run)
        model = load_model(run)
        cost = {key: last.record.get(key) for key in ("seconds", "machine")}
    return model, {"weights": weights_digest(model), "batch_size": config.batch_size} | cost


def score(model: Model, judge: Judge, n: int, tau: float, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Draw n digits and return their scores and the floors; novelty, which takes real images, is left out."""
    labels = labels_in_shares(judge, n)
    images = draw_samples(model, n, labels=labels, seed=seed, **asdict(SAMPLING.replace(tau=tau)))
    scores = protocol(images, judge, labels, reference="train", seed=seed)
    return {key: scores[key].value for key in RECORDED}, {key: scores[key].floor for key in RECORDED}


def recorded(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Return the table in a file, an empty one where there is none; a `ThawError` if it was measured otherwise."""
    about = json.loads(json.dumps(about))
    table = json.loads(path.read_text()) if path.is_file() else about | {"real": {}, "models": {}, "rows": []}
    if other := [key for key in about if table.get(key) != about[key]]:
        raise ThawError(f"{path} was measured with another {', '.join(other)}; move it, or ask for the same")
    return table


def add(table: dict[str, Any], row: dict[str, Any], origin: dict[str, Any], real: dict[str, float]) -> None:
    """Add a row, or replace it, with where it comes from; what rests on other weights of its model is dropped."""
    name, epochs = row["degradation"], row["epochs"]
    known = table["models"].setdefault(name, {})
    alike = known.get(str(epochs), origin)["weights"] == origin["weights"]
    others = [one for one in table["rows"] if alike or (one["degradation"], one["epochs"]) != (name, epochs)]
    others = [one for one in others if any(one[key] != row[key] for key in IDENTITY)]
    table["rows"] = sorted([*others, row], key=lambda one: [one[key] for key in IDENTITY])
    known[str(epochs)], table["real"] = origin, real
    table["seeds"], table["temperatures"] = (sorted({one[key] for one in table["rows"]}) for key in ("seed", "tau"))


def main(
    *, epochs: Epochs = (5, 2), taus: Taus = (1.0, 2.0, 0.0), seeds: Seeds = (0, 1, 2), n: o.Scored = 500,
    names: o.Names = NAMES, runs: Runs = None, record: o.Record = False,
) -> None:  # fmt: skip
    """Print the table."""
    enter_project()
    torch.set_num_threads(1)
    judge = load_judge("mnist")
    path = pretrained() / FILE
    about = {"format": FORMAT, "note": NOTE, "data": "mnist", "reference": "train", "judge": judge.digest, "n": n}
    about |= {"training_images": int(judge.references["train"].count)}
    about |= {"sampling": {key: value for key, value in asdict(SAMPLING).items() if key not in ("tau", "order")}}
    for tau, count, name in itertools.product(taus, epochs, names):
        model, origin = trained(name, count, RUNS if runs is None else Path(runs))
        found = []
        for identity in ((name, count, float(tau), seed) for seed in seeds):
            known = recorded(path, about)
            rows = {tuple(row[key] for key in IDENTITY): row for row in known["rows"]}
            if identity in rows and known["models"][name][str(count)]["weights"] == origin["weights"]:
                found.append(rows[identity])
                continue
            values, real = score(model, judge, n, tau, identity[-1])
            found.append(dict(zip(IDENTITY, identity, strict=True)) | values)
            if record:
                with locked(path):  # by several that measure different rows
                    add(table := recorded(path, about), found[-1], origin, real)
                    write_json(path, table)
        means = {key: statistics.mean(row[key] for row in found) for key in RECORDED}
        print(f"{name:14s} {count} tau {tau:g}", "  ".join(f"{k} {v:.3f}" for k, v in means.items()), flush=True)


if __name__ == "__main__":
    sys.exit(o.run(main))
