"""How far trainings differ, and how far samplings do: sets that were trained by three seeds.

    python benchmarks/seeds.py [--n 2000] [--seeds 3] [--names row ...] [--record]

Shipped weights are those of seed 0; those of seeds 1 and 2 are the sets `seed1` and `seed2` of the study's file
(workflow/studies/full.yaml), shipped or runs in contents/runs/. Each draws n digits as the shipped ones do, classes in
the shares of the training images, by several seeds of the sampler. The spread of sampling is the standard deviation
over these, over all trainings; that of training the standard deviation of the trainings' means. What was drawn and
measured is kept in contents/evaluation/.
"""

import statistics
import sys
from dataclasses import asdict
from itertools import chain

import torch
from repairs import shipped_or_run

from thaw import play
from thaw.base.files import enter_project
from thaw.cli import options as o
from thaw.model import Model
from thaw.report.recorder import Recorder
from thaw.scoring import MEASURES, evaluate_model, labels_in_shares, load_judge

NAMES = ("hot", "row", "blur", "mask", "zoom_nearest")
RECORDED = ("fid", "recall", "accuracy")


def trainings(name: str) -> list[tuple[Model, list[Model], dict[str, str]]]:
    """Return the trainings of a set as `shipped_or_run` does, that of seed 0 first."""
    first = play.open_model("default" if name == "hot" else f"{name}_default")
    return [(first, [first], {}), *(shipped_or_run(f"{name}_seed{seed}") for seed in (1, 2))]


def main(*, n: o.Scored = 2000, seeds: o.Repeats = 3, names: o.Names = NAMES, record: o.Record = False) -> None:
    """Print the table."""
    enter_project()
    torch.set_num_threads(1)
    judge = load_judge("mnist")
    shares = labels_in_shares(judge, n)
    recorder = Recorder("seeds", {"benchmark": "benchmarks/seeds.py", "n": n}, judge=judge)
    for name in names:
        models, shipped, runs = zip(*trainings(name), strict=True)
        told = {"labels": shares, "judge": judge} | asdict(models[0].sampling)
        found = [[evaluate_model(model, n, seed=seed, **told).scores for seed in range(seeds)] for model in models]
        values = {"n": (n, ",d"), "trainings": (len(models), "d"), "samplings": (seeds, "d")}
        for what in RECORDED:
            each = [[scores[what].value for scores in of] for of in found]
            means = [statistics.mean(of) for of in each]
            sampling = statistics.mean(map(statistics.variance, each)) ** 0.5
            spread = {"mean": statistics.mean(means), "training": statistics.stdev(means), "sampling": sampling}
            print(f"{name:14s} {what:8s}", "  ".join(f"{k} {v:.3f}" for k, v in spread.items()), flush=True)
            for k, v in spread.items():  # of distances in thousandths: they spread by hundredths
                values[f"{name}.{what}.{k}"] = (v, ".3f") if what == "fid" else MEASURES[what].reported(v)
        if record:
            run = " ".join(one["run"] for one in runs if one)
            recorder.record(values, *chain(*shipped), **({"run": run} if run else {}))


if __name__ == "__main__":
    sys.exit(o.run(main))
