"""Every process at its best: ten thousand digits each, settings chosen on the training split.

    python benchmarks/quality.py [--n 10000] [--data mnist] [--labels default high row_default ...] [--record]

First the temperature, then the weight of guidance and where it acts are chosen by the distance of a thousand digits
(another seed) to the *training* images; then n digits, their classes in the shares of the training images, are scored
against the test set by the full protocol. Real training images, as many, stand beside every score. What was drawn and
measured is kept in contents/evaluation/.
"""

import statistics
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch

from thaw import play
from thaw.base.files import enter_project
from thaw.base.seeding import generator
from thaw.cli import options as o
from thaw.model import Model
from thaw.report.recorder import Recorder
from thaw.report.results import read_values
from thaw.scoring import (
    CACHE,
    MEASURES,
    Judge,
    evaluate_model,
    labels_in_shares,
    load_judge,
    load_real,
    score_model,
)
from thaw.scoring.extractor import frechet
from thaw.scoring.real import MOST
from thaw.store import load_model

HOT = ("default", "high")
WARM = "_default"  # what labels of degradations end in
TAUS = (1.0, 1.5, 2.0)
GUIDED = {  # weight, part of t/T
    "ddpm": ((1.35, (0.2, 0.9)), (1.5, (0.2, 0.9)), (1.25, (0.0, 1.0))),
    "custom": ((1.25, (0.2, 0.9)), (1.0, (0.0, 1.0)), (1.5, (0.2, 0.9))),
}
HEAVIER = (2.0, 2.5, 3.0)  # weights in the same part that are tried while the heaviest so far is the best
STEPS = {"ddpm": 20, "custom": 28}  # at most fifty evaluations, with guidance
MARGIN = 0.25  # above the distance of real images
RECORDED = ("fid", "accuracy", "entropy", "precision", "recall", "coverage")


def choose(model: Model, judge: Judge, n: int) -> dict[str, Any]:
    """Return the settings whose distance to the training images is least: the temperature first, guidance then."""
    common = {"labels": labels_in_shares(judge, n), "seed": 1, "reference": "train", "cache": CACHE}
    steps, ways = min(STEPS[model.config.study], model.process.steps), list(GUIDED[model.config.study])

    def settings(tau: float, guidance: float, where: tuple[float, float]) -> dict[str, Any]:
        return {"tau": tau, "guidance": guidance, "guidance_interval": where, "sampler": "warm", "steps": steps}

    @cache
    def distance(*way: Any) -> float:
        found = score_model(model, judge, n, **common, **settings(*way))["fid"].value
        print("  ", *settings(*way).values(), f"{found:.3f}", flush=True)
        return found

    def best() -> tuple[float, tuple[float, float]]:
        return min(ways, key=lambda way: distance(tau, *way))

    low, high = model.config.tau
    tau = min((tau for tau in TAUS if low <= tau <= high), key=lambda tau: distance(tau, *ways[0]))
    for weight in HEAVIER:
        if best() != max(ways):
            break
        ways.append((weight, max(ways)[1]))
    return settings(tau, *best())


def texts(values: dict[str, float | None]) -> dict[str, tuple[float, str]]:
    """Return measures as they are recorded: the accuracy in percent."""
    return {what: MEASURES[what].reported(value) for what, value in values.items() if value is not None}


def shares_matter(judge: Judge, n: int = 2000, draws: int = 100) -> dict[str, tuple[float, str]]:
    """Return distances (mean, spread) of n real training images to the test set, by how their classes are drawn.

    At random, in equal classes, and in the shares of the training set.
    """
    real = load_real(judge)
    features, labels_of = real.features("train")[:MOST], real.labels["train"][:MOST]
    ways = {
        "in_turn": torch.arange(n) % len(judge.references["train"].histogram),
        "in_shares": labels_in_shares(judge, n),
    }
    found: dict[str, list[float]] = {"at_random": [], "in_turn": [], "in_shares": []}
    for seed in range(draws):
        order = torch.randperm(len(features), generator=generator(seed, "shares matter"))
        shuffled, classes = features[order], labels_of[order]
        chosen = {"at_random": torch.arange(n)} | {
            way: torch.cat([(classes == k).nonzero()[: int((labels == k).sum()), 0] for k in labels.unique()])
            for way, labels in ways.items()
        }
        for way, index in chosen.items():
            found[way].append(frechet(shuffled[index], judge.reference("test")))
    means = {f"shares.{way}": (statistics.mean(values), ".2f") for way, values in found.items()}
    spreads = {f"shares.{way}_spread": (statistics.stdev(values), ".2f") for way, values in found.items()}
    return means | spreads | {"shares.n": (n, ",d"), "shares.draws": (draws, "d")}


def summary(labels: Iterable[str]) -> dict[str, tuple[Any, str]]:
    """Return, of what is recorded, how many degradations are above real digits by no more than a margin, and their
    least entropy. The margin is `MARGIN`, or twice what the hot default set is above them, where that is more."""
    known = read_values()
    warm = [label for label in labels if label.endswith(WARM) and f"quality.{label}.fid" in known]
    real = known["quality.real.fid"]
    margin = max(MARGIN, 2 * (known["quality.default.fid"] - real))
    found = {"degradations": (len(warm), "d"), "margin": (margin, ".2f")}
    found["within"] = (sum(known[f"quality.{label}.fid"] <= real + margin for label in warm), "d")
    found["least_entropy"] = (min(known[f"quality.{label}.entropy"] for label in warm), ".3f")
    return found


def main(
    *, n: o.Scored = 10_000, tune_n: o.Scored = 1000, data: o.Data = "mnist", labels: o.Names = None,
    record: o.Record = False,
) -> None:  # fmt: skip
    """Print the table."""
    enter_project()
    torch.set_num_threads(1)
    judge = load_judge(data)
    shares = labels_in_shares(judge, n)
    study = "quality" if data == "mnist" else f"quality.{data}"
    recorder = Recorder(study, {"benchmark": "benchmarks/quality.py", "seed": 0, "n": n}, judge=judge)

    def keep(what: str, values: dict[str, tuple[Any, str]], *used: Any) -> None:
        if record:
            recorder.record({f"{what}{key}": value for key, value in values.items()}, *used)

    keep("", {"n": (n, ",d"), "tune_n": (tune_n, ",d")})
    shipped = [label for of, label in play.shipped() if of == data]
    every = [label for label in shipped if label in HOT or label.endswith(WARM)]
    models = {label: play.open_model(label, data=data) for label in labels or every}
    for label, model in models.items():
        settings = choose(model, judge, tune_n)
        scores = evaluate_model(model, n, labels=shares, judge=judge, **settings).scores
        print(f"{label:24s}", "  ".join(f"{what} {scores[what].value:.3f}" for what in RECORDED), flush=True)
        low, high = settings["guidance_interval"]
        used = {"tau": settings["tau"], "guidance": settings["guidance"], "low": low, "high": high}
        used |= {"eta": model.config.eta, "steps": settings["steps"], "epochs": model.epoch}
        used["evaluations"] = model.sampling.replace(**settings).evaluations(model.process)
        values = texts({what: scores[what].value for what in RECORDED}) | {k: (v, "g") for k, v in used.items()}
        if scores["fid"].floor:
            values["times_floor"] = (scores["fid"].value / scores["fid"].floor, ".1f")
        keep(f"{label}.", values, model)
    keep("real.", texts({what: scores[what].floor for what in RECORDED}))  # alike for all
    if not record or data != "mnist":
        return
    if not labels:
        keep("", shares_matter(judge))
    if "quality.default.fid" in read_values():
        used = [play.open_model(label) for label in every if label != "high"]
        start = load_model(next(model.config.start_from for model in used if model.config.start_from))
        keep("", summary(every) | {"start_epochs": (start.epoch, "d")}, *used, start)


if __name__ == "__main__":
    sys.exit(o.run(main))
