"""What real images get beside the scores that are recorded, measured again without drawing the models' images again.

    python benchmarks/floors.py [--record]

A floor depends on the feature network and on how many images of each class were scored, not on the model. After a
change of how floors are measured, this brings those in Plots/numbers.json and pretrained/MANIFEST.json up to date:
those of notebooks, benchmarks and exports whose images were drawn with their classes in turn, those of
notebook 04, and those of benchmarks/quality.py, whose classes are in the shares of the training images. Only models
that know no classes are drawn from again, because what the judge sees in their images is not recorded.
"""

import sys
from typing import Any

import torch
from torch import Tensor

from thaw.base.files import enter_project
from thaw.cli import options as o
from thaw.data import DATA_SETS, load
from thaw.report import results
from thaw.report.recorder import weights_of
from thaw.scoring import (
    MEASURES,
    Judge,
    draw_samples,
    evaluate,
    evaluate_images,
    judge_path,
    labels_in_shares,
    load_judge,
)
from thaw.scoring.floors import Classes, alike
from thaw.scoring.protocol import quick_floors
from thaw.scoring.real import order_of
from thaw.store import PRETRAINED, load_model, read_manifest
from thaw.store.released import add_to_manifest

SHORT = {"floor": "fid", "fid_floor": "fid", "entropy_floor": "entropy"}  # last part of a key -> measure
TUNED = ".guidance_"  # scores that a setting was chosen by: against the training images
# By their own scripts, or in the shares of the training classes.
ELSEWHERE = ("restoration.", "recipe.", "repairs.", "peers.", "losses.", "blur.", "few.", "temperature.")


def counted(judge: Judge, labels: Tensor) -> Classes:
    """Return labels (n,) as the classes of scored images."""
    return Classes(torch.bincount(labels, minlength=judge.classes))


def in_turn(judge: Judge, n: int) -> Tensor:
    """Return n labels, all classes in turn.  (n,) int64"""
    return torch.arange(n) % judge.classes


def recorded(numbers: dict[str, dict[str, Any]], judges: dict[str, Judge]) -> dict[str, tuple[str, Judge, float]]:
    """Return key -> (measure, judge, floor now) of the floors in numbers.json of images drawn in turn."""
    found = {}
    for key, entry in numbers.items():
        prefix, _, last = key.rpartition(".")
        if last in SHORT and not key.startswith(ELSEWHERE):
            judge = judges[entry["origin"].get("features", judges["mnist"].digest)]
            classes = counted(judge, in_turn(judge, numbers[f"{prefix}.n"]["value"]))
            floors = quick_floors(judge, classes, "train" if TUNED in key else "test")
            found[key] = SHORT[last], judge, floors[SHORT[last]]
    return found


def beside(judge: Judge, labels: Tensor) -> dict[str, float]:
    """Return the floors of the protocol for images of classes (n,), by scoring real training images of them."""
    real = load(judge.data, "train", download=False)
    real = real.take(order_of(len(real), "train"))
    drawn = alike(real.labels, counted(judge, labels).counts)[0]
    scores = evaluate_images(real.images[drawn], real.labels[drawn], judge=judge).scores
    return {name: score.floor for name, score in scores.items() if score.floor is not None and name in MEASURES}


def main(*, record: o.Record = False) -> None:
    """Print what changes."""
    enter_project()
    torch.set_num_threads(1)
    numbers, manifest = results.read_numbers(), read_manifest()
    judges = {name: load_judge(name) for name in DATA_SETS if judge_path(name).is_file()}
    judges |= {judge.digest: judge for judge in judges.values()}
    mnist = judges["mnist"]

    def keep(key: str, value: tuple[float, str], judge: Judge, **origin: Any) -> None:
        before = numbers.get(key, {}).get("text", "-")
        print(f"{key:50s} {before:>8s} -> {results.number(*value)}", flush=True)
        if record:
            made = {
                "benchmark": "benchmarks/floors.py",
                "features": judge.digest,
                "weights": weights_of(judge),
            } | origin
            results.record({key: value}, made)

    for key, (measure, judge, floor) in recorded(numbers, judges).items():
        keep(key, MEASURES[measure].reported(floor), judge)
    for measure, floor in beside(mnist, in_turn(mnist, numbers["evaluation.n"]["value"])).items():
        keep(f"evaluation.real.{measure}", (floor, MEASURES[measure].form), mnist)
    real = beside(mnist, labels_in_shares(mnist, numbers["quality.n"]["value"]))
    for key, entry in numbers.items():
        _, label, measure = (key.split(".") + ["", ""])[:3]
        if key.startswith("quality.real."):
            keep(key, MEASURES[measure].reported(real[measure]), mnist)
        elif key.startswith("quality.") and measure == "times_floor":
            distance, weights = numbers[f"quality.{label}.fid"]["value"], entry["origin"]["weights"]
            keep(key, (distance / real["fid"], ".1f"), mnist, weights=weights)
    for name, entry in manifest.items():
        scored = {what: entry[what] for what in ("fid", "entropy", "accuracy") if isinstance(entry.get(what), dict)}
        if scored:
            judge = judges[entry["fid"]["features"]]
            n, seed, reference = (entry["fid"][what] for what in ("n", "seed", "reference"))
            if "accuracy" in scored:
                floors = quick_floors(judge, counted(judge, in_turn(judge, n)), reference)
            else:
                model = load_model(PRETRAINED / name)
                found = evaluate(draw_samples(model, n, seed=seed), judge, reference=reference, seed=seed)
                floors = {what: score.floor for what, score in found.items()}
                print(f"{name}: {found['fid'].value} now, {entry['fid']['value']} recorded")
            new = {what: score | {"floor": floors[what]} for what, score in scored.items()}
            print(f"{name:50s} {entry['fid']['floor']:8.2f} -> {floors['fid']:.2f}")
            if record:
                add_to_manifest(PRETRAINED, name, entry | new)


if __name__ == "__main__":
    sys.exit(o.run(main))
