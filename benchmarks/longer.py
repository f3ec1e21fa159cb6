"""Does more training help? Every degradation, trained four times as long as the set `default`.

    python benchmarks/longer.py [--n 1000] [--names row ...] [--record]

Of the set `long` (workflow/studies/full.yaml trains it), shipped or runs in contents/runs/, beside the shipped default
sets: each draws n digits as the default set does, classes in the shares of the training images, scored against the test
set. What was drawn and measured is kept in contents/evaluation/.
"""

import statistics
import sys
from dataclasses import asdict

import torch
from repairs import NAMES, shipped_or_run

from thaw import play
from thaw.base.files import enter_project
from thaw.cli import options as o
from thaw.report.recorder import Recorder
from thaw.scoring import MEASURES, evaluate_model, labels_in_shares, load_judge

RECORDED = ("fid", "recall", "accuracy")
SEED = 1  # as in notebook 05, so that what both draw is drawn once


def main(*, n: o.Scored = 1000, names: o.Names = NAMES, record: o.Record = False) -> None:
    """Print the table."""
    enter_project()
    torch.set_num_threads(1)
    judge = load_judge("mnist")
    shares = labels_in_shares(judge, n)
    recorder = Recorder("longer", {"benchmark": "benchmarks/longer.py", "seed": SEED, "n": n}, judge=judge)
    changes, rests, runs = [], [], []
    for name in names:
        default = play.open_model(f"{name}_default")
        long, used, run = shipped_or_run(f"{name}_long")
        values: dict[str, tuple[object, str]] = {"n": (n, ",d")}
        fid = []
        for what, model in (("default", default), ("long", long)):
            scores = evaluate_model(model, n, labels=shares, seed=SEED, judge=judge, **asdict(default.sampling)).scores
            print(f"{name:14s} {what:8s}", "  ".join(f"{k} {scores[k].value:.3f}" for k in RECORDED), flush=True)
            values |= {f"{name}.{what}.{k}": MEASURES[k].reported(scores[k].value) for k in RECORDED}
            values[f"{name}.{what}.epochs"] = (model.epoch, "d")
            fid.append(scores["fid"].value)
        changes.append(fid[1] - fid[0])
        rests += [default, *used]
        runs += run.values()
        if record:
            recorder.record(values, default, *used, **run)
    if len(changes) > 1:
        mean, spread = statistics.mean(changes), statistics.stdev(changes)
        print(f"mean change of the distance {mean:+.3f}, spread {spread:.3f}", flush=True)
        if record and names == NAMES:
            values = {"change": (mean, ".3f"), "spread": (spread, ".3f"), "of": (len(changes), "d")}
            values["better"] = (sum(change < 0 for change in changes), "d")
            recorder.record(values, *rests, **({"run": " ".join(runs)} if runs else {}))


if __name__ == "__main__":
    sys.exit(o.run(main))
