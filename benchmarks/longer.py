"""Does another training help? Degradations trained longer, and cold ones with whole steps, beside what is shipped.

    python benchmarks/longer.py [--n 1000] [--names row ...] [--sets long cold_whole] [--record]

Of the sets `long` (four times as long as `default`) and `cold_whole` (as `default_cold`, not softened, and a quarter
as long), shipped or runs in contents/runs/ (workflow/studies/full.yaml trains them), as far as they are there: each
draws n digits as the shipped set does, the cold ones by both cold algorithms, classes in the shares of the training
images, scored against the test set. What was drawn and measured is kept in contents/evaluation/.
"""

import statistics
import sys
from dataclasses import asdict
from typing import Any, Literal

import torch
from repairs import NAMES, shipped_or_run

from thaw import play
from thaw.base.files import enter_project
from thaw.cli import options as o
from thaw.report.recorder import Recorder
from thaw.scoring import MEASURES, evaluate_model, labels_in_shares, load_judge
from thaw.store import RUNS

RECORDED = ("fid", "recall", "accuracy")
SEED = 1  # as in notebook 05, so that what both draw is drawn once
SETS: dict[str, tuple[str, str, dict[str, dict[str, Any]]]] = {  # set -> group of numbers, beside what, ways to sample
    "long": ("longer", "default", {"": {}}),
    "cold_whole": ("whole", "default_cold", {f"{how}.": {"sampler": how} for how in ("algorithm1", "algorithm2")}),
}
Sets = o.word("which of them", kind=list[Literal[tuple(SETS)]], consume_multiple=True)


def main(*, n: o.Scored = 1000, names: o.Names = NAMES, sets: Sets = None, record: o.Record = False) -> None:
    """Print the tables."""
    enter_project()
    torch.set_num_threads(1)
    judge = load_judge("mnist")
    shares = labels_in_shares(judge, n)
    for label in sets or SETS:
        group, beside, ways = SETS[label]
        recorder = Recorder(group, {"benchmark": "benchmarks/longer.py", "seed": SEED, "n": n}, judge=judge)
        changes: dict[str, list[float]] = {way: [] for way in ways}
        rests, runs = [], []
        for name in names:
            if ("mnist", f"{name}_{label}") not in play.shipped() and not (RUNS / f"{name}_{label}").exists():
                print(f"{name:14s} {label:12s} is not trained")
                continue
            shipped = play.open_model(f"{name}_{beside}")
            other, used, run = shipped_or_run(f"{name}_{label}")
            values: dict[str, tuple[object, str]] = {"n": (n, ",d")}
            for way, settings in ways.items():
                fid = []
                for what, model in (("default", shipped), (label.removeprefix("cold_"), other)):
                    told = asdict(shipped.sampling) | settings
                    told["steps"] = min(told["steps"], model.process.steps)  # whole steps are fewer
                    scores = evaluate_model(model, n, labels=shares, seed=SEED, judge=judge, **told).scores
                    each = "  ".join(f"{k} {scores[k].value:.3f}" for k in RECORDED)
                    print(f"{name:14s} {way}{what:8s} {each}", flush=True)
                    values |= {f"{name}.{way}{what}.{k}": MEASURES[k].reported(scores[k].value) for k in RECORDED}
                    values[f"{name}.{what}.epochs"] = (model.epoch, "d")
                    fid.append(scores["fid"].value)
                changes[way].append(fid[1] - fid[0])
            rests += [shipped, *used]
            runs += run.values()
            if record:
                recorder.record(values, shipped, *used, **run)
        values = {}
        for way, by in changes.items():
            if len(by) > 1:
                mean, spread = statistics.mean(by), statistics.stdev(by)
                print(f"{label} {way} mean change of the distance {mean:+.3f}, spread {spread:.3f}", flush=True)
                values |= {f"{way}change": (mean, ".3f"), f"{way}spread": (spread, ".3f"), f"{way}of": (len(by), "d")}
                values[f"{way}better"] = (sum(change < 0 for change in by), "d")
        if record and values and names == NAMES:
            recorder.record(values, *rests, **({"run": " ".join(runs)} if runs else {}))


if __name__ == "__main__":
    sys.exit(o.run(main))
