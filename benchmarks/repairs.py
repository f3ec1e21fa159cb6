"""What keeps the variance: the error budget of every degradation, and its repairs on trained weights.

    python benchmarks/repairs.py [--n 1000] [--names mask row ...] [--record]

First, without any network (`thaw budget`): what 14 steps at temperature 1 lose, in parts, what each repair alone and
all together leave of it, and what corrective noise does (fresh noise as strong as what a step is expected to forget).
Then, for runs in contents/runs/ (workflow/studies/full.yaml trains them), the distance to the *training* images: of the
set `five` (begun from the hot weights, softened, trained to temperature 2) as sampled before the repairs, with more
steps, warmer, and with both; beside it the set `plain`, as many epochs without any of this. What was drawn and measured
is kept in contents/evaluation/.
"""

import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor

from thaw import degradations, play
from thaw.base.files import enter_project
from thaw.base.pixels import to_uint8
from thaw.base.seeding import generator
from thaw.cli import options as o
from thaw.data import load
from thaw.model import Model
from thaw.process import Process
from thaw.report.recorder import Recorder
from thaw.report.results import read_values
from thaw.sampling import Restore, Sampling, Step, final, reverse
from thaw.scoring import MEASURES, evaluate_images, evaluate_model, labels_in_shares, load_judge
from thaw.scoring.budget import Loss, Oracle, error_budget
from thaw.store import RUNS, load_model

NAMES = ("row", "col", "blur", "eraser", "zoom_nearest", "zoom_bilinear", "pixelate", "fade", "mask", "snow", "morph")
BEFORE = Sampling(eta=1.0, steps=14)
SEED = 1  # as benchmarks/quality.py chooses settings by: what both draw is drawn once
ALONE: dict[str, dict[str, Any]] = {  # what is changed -> settings of Oracle.loss beside those of the sampler
    "more_steps": {"steps": 28},
    "softened": {"steps": 28, "soften": 4},
    "warmer": {"tau": 2.0},
    "sqrt": {"schedule": "sqrt"},
    "bridge": {"schedule": "bridge"},
    "corrective": {},
    "heun": {"order": 2},
    "all": {"steps": 28, "soften": 4, "tau": 2.0},
}
OURS = ("soften", "schedule")  # not settings of the sampler
GUIDED = {"sampler": "warm", "guidance": 1.25, "guidance_interval": (0.2, 0.9)}
WEIGHTS: dict[str, dict[str, Any]] = {
    "before": {"steps": 14, "tau": 1.0},
    "more_steps": {"steps": 28, "tau": 1.0},
    "warmer": {"steps": 14, "tau": 2.0},
    "all": {"steps": 28, "tau": 2.0},
}
CORRECTED = ("mask", "row")  # sampled once more with corrective noise, from the residuals of the network itself
RECORDED = ("fid", "precision", "recall", "accuracy")


def forgotten(
    process: Process, restore: Restore, x0: Tensor, tau: float, z: Tensor | None, draws: torch.Generator
) -> Callable[[int, int], float]:
    """Return (t, s) -> the variance a pixel of (D_s - D_t)(x0 - x0_hat): what a step reveals, and nobody knows."""

    def variance(t: int, s: int) -> float:
        here, there = (torch.full((len(x0),), step) for step in (t, s))
        x_t = process(x0, here, torch.full((len(x0),), float(tau)), torch.randn(x0.shape, generator=draws), z)
        x0_hat, degrade = restore(x_t, here), process.degradation
        revealed = degrade(x0, there, z) - degrade(x0, here, z) - degrade(x0_hat, there, z) + degrade(x0_hat, here, z)
        return float(revealed.square().mean())

    return variance


class Corrected(Oracle):
    """The sampler with corrective noise: each step draws, on top of its own, as much as it is expected to forget.

    E ||(D_s - D_t)(x0 - x0_hat)||^2 a pixel.
    """

    def walk(
        self, process: Process, restore: Restore, x0: Tensor, x_T: Tensor, sampling: Sampling, z: Tensor | None,
        draws: torch.Generator,
    ) -> Iterator[Step]:  # fmt: skip
        noise = forgotten(process, restore, x0, sampling.tau, z, draws)
        return reverse(process, restore, x_T, **sampling.walking(), z=z, generator=draws, corrective=noise)


def losses(name: str) -> dict[str, tuple[Any, str]]:
    """Return the budget of a degradation, and what each repair leaves of it: shares of the variance, in percent."""
    images = load("mnist", "train").subset(5000, 0).pixels()
    oracle, noisier = (kind(degradations.build(name, (1, 28, 28)), images) for kind in (Oracle, Corrected))
    budget = error_budget(oracle, BEFORE)
    parts = {"steps": budget.steps, "jumps": budget.jumps, "temperature": budget.temperature}
    found: dict[str, tuple[Any, str]] = {what: (100 * share, ".1f") for what, share in parts.items()}

    def keep(what: str, loss: Loss) -> None:
        found[f"{what}.lost"], found[f"{what}.kept"] = (100 * loss.distance, ".1f"), (100 * loss.kept, ".0f")

    keep("before", budget.total)
    for what, settings in ALONE.items():
        ours = {key: value for key, value in settings.items() if key in OURS}
        one = noisier if what == "corrective" else oracle
        keep(what, one.loss(BEFORE.replace(**{k: v for k, v in settings.items() if k not in OURS}), **ours))
    return found


def corrected(model: Model, labels: Tensor, settings: dict[str, Any], batch: int = 250) -> Tensor:
    """Draw with corrective noise: every step adds what the network's residuals on training images say it forgets."""
    sampling, images = model.sampling.replace(**settings), load("mnist", "train").subset(256, 0)
    draws = generator(0, "corrected")

    z = model.process.degradation.draw_z(len(images), draws)
    restore = model.restorer(images.labels, sampling)
    noise = cache(forgotten(model.process, restore, images.pixels(), sampling.tau, z, draws))
    model.network.eval()
    drawn = []
    for y in labels.split(batch):
        start = model.start(y, draws)
        x_T, more = model.begin(start, sampling.tau), {"z": start.z, "generator": draws, "corrective": noise}
        drawn.append(final(reverse(model.process, model.restorer(y, sampling), x_T, **sampling.walking(), **more)))
    return to_uint8(torch.cat(drawn))


def order() -> dict[str, tuple[Any, str]]:
    """Return how alike what is recorded without and with a network orders the degradations: lost and distance, kept and
    recall, before any repair; all are alike in training, and in how they are sampled."""
    known = read_values()
    every = [name for name in NAMES if f"repairs.{name}.before.fid" in known]
    found: dict[str, tuple[Any, str]] = {"ordered": (len(every), "d")}
    for what, told, measured in (("order", "lost", "fid"), ("order_recall", "kept", "recall")):
        pairs = [
            (known[f"repairs.oracle.{name}.before.{told}"], known[f"repairs.{name}.before.{measured}"])
            for name in every
        ]
        rank = spearmanr(pairs)
        print(f"{told} and {measured}: rank correlation {rank.statistic:.2f} (p = {rank.pvalue:.2g})")
        found |= {what: (float(rank.statistic), ".2f"), f"{what}_p": (float(rank.pvalue), ".2g")}
    return found


def at_hand(label: str) -> bool:
    """Return whether `shipped_or_run` finds an MNIST model of a label."""
    return ("mnist", label) in play.shipped() or (RUNS / label).exists()


def shipped_or_run(label: str) -> tuple[Model, list[Model], dict[str, str]]:
    """Return the MNIST model of a label, and what its numbers rest on: shipped weights, or a run in contents/runs/."""
    if ("mnist", label) not in play.shipped():
        return load_model(RUNS / label), [], {"run": label}
    model = play.open_model(label)
    return model, [model], {}


def main(*, n: o.Scored = 1000, names: o.Names = NAMES, record: o.Record = False) -> None:
    """Print the tables."""
    enter_project()
    torch.set_num_threads(1)
    judge = load_judge("mnist")
    recorder = Recorder("repairs", {"benchmark": "benchmarks/repairs.py", "seed": SEED, "n": n}, judge=judge)

    def keep(values: dict[str, tuple[Any, str]], *used: Any, **more: str) -> None:
        if record:
            recorder.record(values, *used, **more)

    keep({"steps_before": (WEIGHTS["before"]["steps"], "d"), "steps_after": (WEIGHTS["all"]["steps"], "d")})
    for name in names:
        found = losses(name)
        print(f"{name:14s}", "  ".join(f"{what} {value:.1f}" for what, (value, _) in found.items()), flush=True)
        keep({f"oracle.{name}.{what}": value for what, value in found.items()})
    shares = labels_in_shares(judge, n)
    for name in names:
        runs = {f"{name}_plain": {"old": WEIGHTS["before"]}, f"{name}_five": WEIGHTS}
        for label, ways in runs.items():
            if not at_hand(label):
                continue
            model, used, run = shipped_or_run(label)
            if name in CORRECTED and ways is WEIGHTS:
                images = corrected(model, shares, GUIDED | WEIGHTS["before"])
                scores = evaluate_images(images, shares, judge=judge, reference="train").scores
                print(f"{name:14s} corrective   {scores['fid'].value:.3f}", flush=True)
                keep({f"{name}.corrective.fid": MEASURES["fid"].reported(scores["fid"].value)}, *used, **run)
            for what, settings in ways.items():
                if settings["tau"] > model.process.tau[1]:
                    continue
                scores = evaluate_model(
                    model, n, labels=shares, seed=SEED, judge=judge, reference="train", **GUIDED, **settings
                ).scores
                print(f"{name:14s} {what:12s}", "  ".join(f"{k} {scores[k].value:.3f}" for k in RECORDED), flush=True)
                values = {f"{name}.{what}.{k}": MEASURES[k].reported(scores[k].value) for k in RECORDED}
                values |= {"n": (n, ",d"), "floor": (scores["fid"].floor, ".2f")}
                values |= {"epochs": (model.epoch, "d")} if ways is WEIGHTS else {}
                keep(values, *used, **run)
    if record:
        keep(order())


if __name__ == "__main__":
    sys.exit(o.run(main))
