"""Conditional results: test digits, destroyed to the end, brought back by every sampler.

    python benchmarks/restoration.py [--n 2000] [--names row ...] [--sets default true] [--methods prior ...]
        [--seeds 1] [--record]
    python benchmarks/restoration.py --ablate [--n 500] [--names before both ...] [--record]

The earlier studies call it conditional generation: a digit of the test set is degraded to x_T, and restored from that
alone; the class is not told. By one step (direct), by both algorithms of cold diffusion, and warm:
first by the default sets as they draw, at temperature 1, and without training on the degradation, by the hot weights
that these begin from as the prior (prior); then by the default sets with classes inferred from what survives,
consistent with it, and as hot as they were trained (true); last, alike, by what is trained to restore: shipped sets, or
runs in contents/runs/, whose names end in `_restore`.
Each is compared with its own digit (squared error as PSNR, structural similarity; the share whose class the judge still
sees, beside the ceiling: what the destroyed digit tells of it) and all together with the test set (Frechet distance). A
draw from the exact posterior has twice the squared error of the direct restoration (error_ratio), several spread as far
as their mean errs (spread_skill, of 256 digits by 8 draws, once: 1), and degraded again they are the given picture
(consistency: 0). Other seeds change what is drawn, which is all but the cold ways. What was measured is kept in
contents/evaluation/.

The ablation, on rows, needs two runs that are not shipped, in contents/runs/: `row_restore_null`, trained as
configs/custom/row_restore.yaml says but with observed=0, and `row_restore_observed`, with label_dropout=0.3.
"""

import statistics
import sys
from collections import defaultdict
from functools import cache
from typing import Any, Literal

import torch
from repairs import NAMES, shipped_or_run
from torch import Tensor

from thaw.base.files import enter_project
from thaw.base.pixels import to_uint8
from thaw.base.seeding import derive, generator
from thaw.cli import options as o
from thaw.data import load
from thaw.model import Model
from thaw.prior import ByPrior, Prior
from thaw.report.recorder import Recorder
from thaw.sampling import SAMPLERS
from thaw.scoring import (
    CACHE,
    MEASURES,
    Judge,
    evaluate,
    load_judge,
    model_ceiling,
    restore_all,
    score_restoration,
)
from thaw.scoring.metrics import chosen
from thaw.scoring.restorations import SEEDS
from thaw.scoring.samples import samples_key
from thaw.scoring.scores import Score, kept_scores
from thaw.store import load_model
from thaw.store.weights import classes_path

METHODS: dict[str, dict[str, Any]] = {
    "direct": {"sampler": "direct"},
    "algorithm1": {"sampler": "algorithm1"},
    "algorithm2": {"sampler": "algorithm2"},
    "warm": {"sampler": "warm", "tau": 1.0},
    "prior": {"tau": 1.0},
}
Methods = o.word("which of them", kind=list[Literal[tuple(METHODS)]], consume_multiple=True)
TRUE = {"infer": True, "consistent": True}
ARMS: dict[str, tuple[str, dict[str, Any]]] = {  # weights, and how they restore
    "before": ("row_default", {}),
    "null": ("row_restore_null", {}),
    "observed": ("row_restore_observed", {}),
    "both": ("row_restore", {}),
    "inferred": ("row_restore", {"infer": True}),
    "consistent": ("row_restore", {"consistent": True}),
    "all": ("row_restore", TRUE),
    "untrained": ("row_default", TRUE),
    "hotter": ("row_default", TRUE | {"tau": 2.0}),
}
SETS = ("default", "true", "restore")
DIRECT: dict[tuple[Any, ...], Tensor] = {}
PART = 256  # digits whose draws by several seeds are compared
RECORDED = ("psnr", "ssim", "fid", "agreement", "accuracy", "error_ratio", "spread_skill", "consistency")


def given(model: Model, n: int, seed: int = 0) -> tuple[Tensor, Tensor | None]:
    """Return n test digits destroyed to T, (n, 1, 28, 28), and the z behind them."""
    x0, degradation = load("mnist", "test").subset(n, 0).pixels(), model.process.degradation
    z = degradation.draw_z(n, generator(seed, "restoration benchmark"))
    return degradation(x0, torch.full((n,), degradation.steps), z), z


def measure(model: Model, judge: Judge, n: int, seed: int, settings: dict[str, Any]) -> dict[str, Score]:
    """Restore n test digits from step T, and compare them with the digits and with the test set."""
    test, T = load("mnist", "test").subset(n, 0), model.process.steps
    x0, (x_T, z) = test.pixels(), given(model, n, seed)
    noise = derive(seed, "restorations") if seed else 0
    restored = restore_all(model, x_T, T, z=z, seed=noise, **settings)
    told = {"z": z, "true": test.labels, "judge": judge, "ceiling": model_ceiling(model), "seed": noise}
    told |= {"part": PART, "seeds": 1 if seed else SEEDS}
    if settings.get("tau") and z is None and model.process.tau[0] == 0:  # alike for all seeds
        way = {what: settings[what] for what in TRUE if what in settings}
        if (key := (model.config.label, n, *way)) not in DIRECT:
            DIRECT[key] = restore_all(model, x_T, T, sampler="direct", **way)
        told["direct"] = DIRECT[key]
    scores = score_restoration(model, restored, x_T, x0, T, **told, **settings)
    return scores | evaluate(to_uint8(restored), judge, test.labels)


def scores_of(model: Model, judge: Judge, n: int, seeds: int, settings: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """Return the recorded measures as reports tell them, each the mean over the seeds, and what is possible."""
    rows, each, floors = chosen(lambda row: row.restores or row.quick), defaultdict(list), {}
    random = settings.get("tau") or model.process.degradation.draw_z(1, generator(0, "")) is not None
    for seed in range(seeds if random else 1):
        key = {"restored": "mnist", "judge": judge.digest, "part": PART} | samples_key(model, n, seed, None, settings)
        if settings.get("infer"):
            key |= {"posterior": float(model.posterior(given(model, PART)[0]).square().sum())}
        if isinstance(model, ByPrior):  # whose weights know nothing of what it undoes
            key |= {"against": [model.config.label, model.process.steps, len(model.prior.images), model.prior.t]}
        found = kept_scores(CACHE, key, rows, lambda s=seed: measure(model, judge, n, s, settings))
        for what in (what for what in RECORDED if what in found):
            each[what].append(found[what].value)
            floors[what] = found[what].floor
    told = {what: MEASURES[what].reported(statistics.mean(values)) for what, values in each.items()}
    told["ceiling"] = MEASURES["agreement"].reported(floors["agreement"])
    told["floor"] = (floors["fid"], MEASURES["fid"].form)
    return told


@cache
def prior_of(start: str) -> Prior:
    """Return the weights that the default sets begin from, with their draws, which serve all degradations."""
    return Prior(load_model(start))


def main(
    *, n: o.Count = 2000, names: o.Names = NAMES, sets: o.Names = SETS, seeds: o.Count = 1,
    methods: Methods = None, ablate: bool = False, record: o.Record = False,
) -> None:  # fmt: skip
    """Print the table."""
    enter_project()
    torch.set_num_threads(1)
    judge = load_judge("mnist")
    recorder = Recorder("restoration", {"benchmark": "benchmarks/restoration.py", "seed": 0}, judge=judge)
    methods = methods or list(METHODS)
    few = [how for how in METHODS if how in methods and how != "prior"]
    work: list[tuple[str, str, str, list[str], dict[str, Any]]] = []
    if ablate:
        arms = ARMS if names == NAMES else {arm: ARMS[arm] for arm in names}
        work = [("ablation.", arm, label, few, way) for arm, (label, way) in arms.items()]
    for name in () if ablate else names:
        if "default" in sets:
            each = [way for way in (few, ["prior"] if "prior" in methods else []) if way]
            work += [("", name, f"{name}_default", way, {}) for way in each]
        work += [("true.", name, f"{name}_default", few, TRUE)] if "true" in sets else []
        work += [("trained.", name, f"{name}_restore", few, TRUE)] if "restore" in sets else []
    for group, name, label, ways, more in work:
        trained, shipped, run = shipped_or_run(label)
        values: dict[str, tuple[Any, str]] = {}
        prior = prior_of(trained.config.start_from) if ways == ["prior"] else None
        used = [prior.model] if prior else shipped
        used += [classes_path("mnist")] if "infer" in more else []
        for how in ways:
            model = prior.against(trained.process.degradation, trained.config) if prior else trained
            steps = {} if how in ("direct", "prior") else {"steps": trained.config.sample_steps}
            held = how == "warm" and group in ("true.", "trained.")
            hottest = {"tau": SAMPLERS[how].restores_at(*trained.process.tau)} if held else {}
            way = {what: value for what, value in more.items() if how == "warm" or what != "tau"}
            told = scores_of(model, judge, n, seeds, METHODS[how] | steps | hottest | way)
            print(f"{group}{name:14s} {how:10s}", "  ".join(f"{k} {v:.3f}" for k, (v, _) in told.items()), flush=True)
            for of in (f"{name}.prior.",) if prior else (group, f"{group}{name}."):  # of fewer digits: it takes long
                values |= {f"{of}floor": told["floor"], f"{of}n": (n, ",d"), f"{of}seeds": (seeds, "d")}
            values |= {
                f"{group}ensemble": (SEEDS, "d"),
                f"{group}part": (PART, "d"),
                f"{group}epochs": (trained.epoch, "d"),
                f"{group}{name}.{how}.floor": told.pop("floor"),
            } | ({f"{name}.prior.draws": (len(prior.images), ",d")} if prior else {})
            values |= {f"{group}{name}.{how}.{what}": value for what, value in told.items()}
        if record:
            recorder.record(values, *used, **run)


if __name__ == "__main__":
    sys.exit(o.run(main))
