"""Conditional results: test digits, destroyed to the end, brought back by every sampler.

    python benchmarks/restoration.py [--n 512] [--names row col ...] [--record]

The earlier studies call it conditional generation: a digit of the test set is degraded to x_T, and restored from that
alone; the class is not told. By one step (direct), by both algorithms of cold diffusion, and warm at temperature 1.
Each is compared with its own digit (squared error as PSNR, structural similarity; the share whose class the judge still
sees) and all together with the test set (Frechet distance). What was measured is kept in contents/evaluation/.
"""

import sys
from typing import Any

import torch

from thaw.base.files import enter_project
from thaw.base.pixels import to_uint8
from thaw.base.seeding import generator
from thaw.cli import options as o
from thaw.data import load
from thaw.model import Model
from thaw.play import open_model
from thaw.report.recorder import Recorder
from thaw.scoring import CACHE, MEASURES, Judge, Score, evaluate, load_judge, restoration
from thaw.scoring.metrics import chosen
from thaw.scoring.samples import samples_key
from thaw.scoring.scores import kept_scores

NAMES = ("row", "col", "blur", "eraser", "zoom_nearest", "zoom_bilinear", "pixelate", "fade", "mask", "snow", "morph")
METHODS: dict[str, dict[str, Any]] = {
    "direct": {"sampler": "direct"},
    "algorithm1": {"sampler": "algorithm1"},
    "algorithm2": {"sampler": "algorithm2"},
    "warm": {"sampler": "warm", "tau": 1.0},
}
RECORDED = ("psnr", "ssim", "fid", "accuracy")


def measure(model: Model, judge: Judge, n: int, settings: dict[str, Any]) -> dict[str, Score]:
    """Restore n test digits from step T, and compare them with the digits and with the test set."""
    test = load("mnist", "test").subset(n, 0)
    x0, degradation = test.pixels(), model.process.degradation
    z = degradation.draw_z(n, generator(0, "restoration benchmark"))
    x_T = degradation(x0, torch.full((n,), degradation.steps), z)
    parts = range(0, n, 128)
    back = [
        model.restore(x_T[i : i + 128], degradation.steps, z=None if z is None else z[i : i + 128], seed=i, **settings)
        for i in parts
    ]
    images = to_uint8(torch.cat(back))
    return restoration(images, to_uint8(x0)) | evaluate(images, judge, test.labels)


def main(*, n: o.Count = 512, names: o.Names = NAMES, record: o.Record = False) -> None:
    """Print the table."""
    enter_project()
    torch.set_num_threads(1)
    judge, rows = load_judge("mnist"), chosen(lambda row: row.restores or row.quick)
    recorder = Recorder("restoration", {"benchmark": "benchmarks/restoration.py", "seed": 0}, judge=judge)
    for name in names:
        model = open_model(f"{name}_default")
        values: dict[str, tuple[Any, str]] = {}
        for how, settings in METHODS.items():
            steps = {} if how == "direct" else {"steps": model.config.sample_steps}
            settings = settings | steps
            key = {"restored": "mnist", "judge": judge.digest} | samples_key(model, n, 0, None, settings)
            found = kept_scores(CACHE, key, rows, lambda m=model, s=settings: measure(m, judge, n, s))
            told = {what: MEASURES[what].reported(found[what].value) for what in RECORDED}
            told["floor"] = (found["fid"].floor, MEASURES["fid"].form)
            print(f"{name:14s} {how:10s}", "  ".join(f"{k} {v:.3f}" for k, (v, _) in told.items()), flush=True)
            values |= {"floor": told.pop("floor"), "n": (n, ",d")}
            values |= {f"{name}.{how}.{what}": value for what, value in told.items()}
        if record:
            recorder.record(values, model)


if __name__ == "__main__":
    sys.exit(o.run(main))
