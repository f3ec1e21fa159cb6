"""Conditional results: test digits, destroyed to the end, brought back by every sampler.

    python benchmarks/restoration.py [--n 512] [--names row col ...] [--methods prior ...] [--record]

The earlier studies call it conditional generation: a digit of the test set is degraded to x_T, and restored from that
alone; the class is not told. By one step (direct), by both algorithms of cold diffusion, and warm at temperature 1;
and without training on the degradation, by the hot default set as the prior (prior).
Each is compared with its own digit (squared error as PSNR, structural similarity; the share whose class the judge still
sees, beside the ceiling: what the destroyed digit tells of it) and all together with the test set (Frechet distance). A
draw from the exact posterior has twice the squared error of the direct restoration (error_ratio), several spread as far
as their mean errs (spread_skill, of 256 digits by 8 seeds: 1), and degraded again they are the given picture
(consistency: 0). What was measured is kept in contents/evaluation/.
"""

import sys
from functools import cache
from typing import Any, Literal

import torch

from thaw.base.files import enter_project
from thaw.base.pixels import to_uint8
from thaw.base.seeding import generator
from thaw.cli import options as o
from thaw.data import load
from thaw.model import Model
from thaw.play import open_model
from thaw.prior import Prior
from thaw.report.recorder import Recorder
from thaw.scoring import (
    CACHE,
    MEASURES,
    Judge,
    Score,
    evaluate,
    load_judge,
    model_ceiling,
    restore_all,
    score_restoration,
)
from thaw.scoring.metrics import chosen
from thaw.scoring.samples import samples_key
from thaw.scoring.scores import kept_scores

NAMES = ("row", "col", "blur", "eraser", "zoom_nearest", "zoom_bilinear", "pixelate", "fade", "mask", "snow", "morph")
METHODS: dict[str, dict[str, Any]] = {
    "direct": {"sampler": "direct"},
    "algorithm1": {"sampler": "algorithm1"},
    "algorithm2": {"sampler": "algorithm2"},
    "warm": {"sampler": "warm", "tau": 1.0},
    "prior": {"tau": 1.0},
}
Methods = o.word("which of them", kind=tuple[Literal[tuple(METHODS)], ...])
RECORDED = ("psnr", "ssim", "fid", "accuracy", "error_ratio", "spread_skill", "consistency")


def measure(model: Model, judge: Judge, n: int, settings: dict[str, Any]) -> dict[str, Score]:
    """Restore n test digits from step T, and compare them with the digits and with the test set."""
    test = load("mnist", "test").subset(n, 0)
    x0, degradation = test.pixels(), model.process.degradation
    T, z = degradation.steps, degradation.draw_z(n, generator(0, "restoration benchmark"))
    x_T = degradation(x0, torch.full((n,), T), z)
    restored = restore_all(model, x_T, T, z=z, **settings)
    told = {"z": z, "true": test.labels, "judge": judge, "ceiling": model_ceiling(model)}
    scores = score_restoration(model, restored, x_T, x0, T, **told, **settings)
    return scores | evaluate(to_uint8(restored), judge, test.labels)


@cache
def hot_prior() -> Prior:
    """Return the hot default set with its draws, which serve all degradations."""
    return Prior(open_model("default"))


def main(*, n: o.Count = 512, names: o.Names = NAMES, methods: Methods = METHODS, record: o.Record = False) -> None:
    """Print the table."""
    enter_project()
    torch.set_num_threads(1)
    judge, rows = load_judge("mnist"), chosen(lambda row: row.restores or row.quick)
    recorder = Recorder("restoration", {"benchmark": "benchmarks/restoration.py", "seed": 0}, judge=judge)
    for name in names:
        model = open_model(f"{name}_default")
        values: dict[str, tuple[Any, str]] = {}
        used = [model, *([hot_prior().model] if "prior" in methods else [])]
        for how in methods:
            steps = {} if how in ("direct", "prior") else {"steps": model.config.sample_steps}
            settings = METHODS[how] | steps
            model = hot_prior().against(used[0].process.degradation, used[0].config) if how == "prior" else used[0]
            key = {"restored": "mnist", "judge": judge.digest} | samples_key(model, n, 0, None, settings)
            found = kept_scores(CACHE, key, rows, lambda m=model, s=settings: measure(m, judge, n, s))
            told = {what: MEASURES[what].reported(found[what].value) for what in RECORDED if what in found}
            told["ceiling"] = MEASURES["agreement"].reported(found["agreement"].floor)
            told["floor"] = (found["fid"].floor, MEASURES["fid"].form)
            print(f"{name:14s} {how:10s}", "  ".join(f"{k} {v:.3f}" for k, (v, _) in told.items()), flush=True)
            values |= {"floor": told.pop("floor"), "n": (n, ",d")}
            values |= {f"{name}.{how}.{what}": value for what, value in told.items()}
        if record:
            recorder.record(values, *used)


if __name__ == "__main__":
    sys.exit(o.run(main))
