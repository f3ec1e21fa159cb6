"""Does another training help? Degradations trained longer, warmer, and cold ones otherwise, beside what is shipped.

    python benchmarks/longer.py [--n 1000] [--names row ...] [--sets long cold_long ...] [--record]

Of the sets `long` and `cold_long` (four times as long as `default` and `default_cold`), `cold_whole` (`default_cold`,
not softened) and `warmer` (to twice the temperature, four times as long), shipped or runs in contents/runs/
(workflow/studies/full.yaml trains them), as far as they are there: each draws n digits as the shipped set does, the
cold ones by both cold algorithms, the warmer ones by their own settings, classes in the shares of the training images,
scored against the test set. What was drawn and measured is kept in contents/evaluation/.
"""

import statistics
import sys
from dataclasses import asdict
from typing import Any, Literal

import torch
from repairs import NAMES, at_hand, shipped_or_run

from thaw import play
from thaw.base.files import enter_project
from thaw.cli import options as o
from thaw.model import Model
from thaw.report.recorder import Recorder
from thaw.scoring import MEASURES, evaluate_model, labels_in_shares, load_judge

RECORDED = ("fid", "recall", "accuracy")
SEED = 1  # as in notebook 05, so that what both draw is drawn once
COLD: dict[str, dict[str, Any]] = {f"{how}.": {"sampler": how} for how in ("algorithm1", "algorithm2")}
SETS: dict[str, tuple[str, str, dict[str, dict[str, Any]]]] = {  # set -> group of numbers, beside what, ways to sample
    "long": ("longer", "default", {"": {}}),
    "warmer": ("warmer", "default", {"": {}}),
    "cold_long": ("longer_cold", "default_cold", COLD),
    "cold_whole": ("whole", "default_cold", COLD),
}
OWN = ("warmer",)  # sets that are sampled as they say themselves
Sets = o.word("which of them", kind=list[Literal[tuple(SETS)]], consume_multiple=True)


def compare(
    name: str, pair: dict[str, Model], ways: dict[str, dict[str, Any]], told: dict[str, Any], own: bool
) -> tuple[dict[str, tuple[Any, str]], dict[str, float]]:  # fmt: skip
    """Score two models of a degradation, what is shipped first, and the other sampled likewise or as is its `own`;
    return the numbers, and by how much the distance changes, way by way."""
    (shipped, _), values, changes = pair.values(), {}, {}
    for way, settings in ways.items():
        fid = []
        for what, model in pair.items():
            sampling = asdict((model if own else shipped).sampling) | settings
            sampling["steps"] = min(sampling["steps"], model.process.steps)  # whole steps are fewer
            scores = evaluate_model(model, seed=SEED, **told, **sampling).scores
            each = "  ".join(f"{k} {scores[k].value:.3f}" for k in RECORDED)
            print(f"{name:14s} {way}{what:8s} {each}", flush=True)
            values |= {f"{name}.{way}{what}.{k}": MEASURES[k].reported(scores[k].value) for k in RECORDED}
            values[f"{name}.{what}.epochs"] = (model.epoch, "d")
            fid.append(scores["fid"].value)
        changes[way] = fid[1] - fid[0]
    return values, changes


def main(*, n: o.Scored = 1000, names: o.Names = NAMES, sets: Sets = None, record: o.Record = False) -> None:
    """Print the tables."""
    enter_project()
    torch.set_num_threads(1)
    judge = load_judge("mnist")
    told = {"n": n, "labels": labels_in_shares(judge, n), "judge": judge}
    for label in sets or SETS:
        group, beside, ways = SETS[label]
        recorder = Recorder(group, {"benchmark": "benchmarks/longer.py", "seed": SEED, "n": n}, judge=judge)
        changes: list[dict[str, float]] = []
        rests, runs = [], []
        for name in names:
            if not at_hand(f"{name}_{label}"):
                print(f"{name:14s} {label:12s} is not trained")
                continue
            shipped = play.open_model(f"{name}_{beside}")
            other, used, run = shipped_or_run(f"{name}_{label}")
            pair = {"default": shipped, label.removeprefix("cold_"): other}
            values, change = compare(name, pair, ways, told, label in OWN)
            changes.append(change)
            rests += [shipped, *used]
            runs += run.values()
            if record:
                recorder.record({"n": (n, ",d")} | values, shipped, *used, **run)
        if len(changes) < 2:
            continue
        values = {}
        for way in ways:
            by = [change[way] for change in changes]
            mean, spread = statistics.mean(by), statistics.stdev(by)
            print(f"{label} {way} mean change of the distance {mean:+.3f}, spread {spread:.3f}", flush=True)
            values |= {f"{way}change": (mean, ".3f"), f"{way}spread": (spread, ".3f"), f"{way}of": (len(by), "d")}
            values[f"{way}better"] = (sum(change < 0 for change in by), "d")
        if record and names == NAMES:
            recorder.record(values, *rests, **({"run": " ".join(runs)} if runs else {}))


if __name__ == "__main__":
    sys.exit(o.run(main))
