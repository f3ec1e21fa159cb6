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

from thaw.base.files import enter_project, remember
from thaw.base.pixels import to_uint8
from thaw.base.seeding import generator
from thaw.cli import options as o
from thaw.data import load
from thaw.model import Model
from thaw.play import open_model
from thaw.report.provenance import weights_of
from thaw.report.recorder import Recorder
from thaw.scoring.judge import Judge, load_judge
from thaw.scoring.metrics import evaluate, restoration
from thaw.scoring.real import CACHE

NAMES = ("row", "col", "blur", "eraser", "zoom_nearest", "zoom_bilinear", "pixelate", "fade", "mask", "snow", "morph")
METHODS: dict[str, dict[str, Any]] = {
    "direct": {"sampler": "direct"},
    "algorithm1": {"sampler": "algorithm1"},
    "algorithm2": {"sampler": "algorithm2"},
    "warm": {"sampler": "warm", "tau": 1.0},
}
FORMS = {"psnr": ".1f", "ssim": ".2f", "fid": ".2f", "accuracy": ".1f"}


def measure(model: Model, judge: Judge, n: int, settings: dict[str, Any]) -> dict[str, float]:
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
    scores = restoration(images, to_uint8(x0)) | evaluate(images, judge, test.labels)
    found = {name: scores[name].value for name in FORMS}
    return found | {"accuracy": 100 * found["accuracy"], "floor": scores["fid"].floor}


def main(*, n: o.Count = 512, names: o.Names = NAMES, record: o.Record = False) -> None:
    """Print the table."""
    enter_project()
    torch.set_num_threads(1)
    judge = load_judge("mnist")
    recorder = Recorder("restoration", {"benchmark": "benchmarks/restoration.py", "seed": 0}, judge=judge)
    for name in names:
        model = open_model(f"{name}_default")
        values: dict[str, tuple[Any, str]] = {}
        for how, settings in METHODS.items():
            steps = {} if how == "direct" else {"steps": model.config.sample_steps}
            key = {"restoration": 2, "n": n, **weights_of(judge, model), **settings, **steps}
            found = remember(CACHE, key, lambda m=model, s=settings | steps: measure(m, judge, n, s))
            print(
                f"{name:14s} {how:10s}", "  ".join(f"{what} {value:.3f}" for what, value in found.items()), flush=True
            )
            values |= {f"{name}.{how}.{what}": (found[what], form) for what, form in FORMS.items()}
            values |= {"n": (n, ",d"), "floor": (found["floor"], ".2f")}
        if record:
            recorder.record(values, model)


if __name__ == "__main__":
    sys.exit(o.run(main))
