"""What each configuration is, what its shipped weights reach, what all cost: numbers for the report without training.

    python benchmarks/sets.py [--record]

Sizes come from building the networks, settings from the files in configs/, times from pretrained/MANIFEST.json.
"""

import platform
import sys
from pathlib import Path
from typing import Any

import torch

from thaw.base.files import enter_project
from thaw.base.machine import processor
from thaw.cli import options as o
from thaw.experiment.build import build_network, build_process
from thaw.experiment.config import Config, load_config
from thaw.networks import count_multiply_adds, count_parameters
from thaw.report import results
from thaw.report.recorder import weights_of
from thaw.scoring import MEASURES, load_judge
from thaw.store import read_manifest

SHAPE, CLASSES = (1, 28, 28), 10
SETS = sorted([*Path("configs/ddpm").glob("*.yaml"), *Path("configs/custom").glob("*.yaml")])


def describe(config: Config) -> dict[str, tuple[Any, str]]:
    """Return size and settings of a configuration, as numbers to record."""
    network, process = build_network(config, SHAPE, CLASSES), build_process(config, SHAPE)
    values = {"steps": (process.steps, "d"), "lr": (config.lr, "g"), "widths": ("-".join(map(str, config.widths)), "")}
    values |= {
        "activation": (config.activation, ""),
        "optimiser": (config.optimiser, ""),
        "epochs": (config.epochs, "d"),
    }
    values |= {"sample_steps": (config.sample_steps or process.steps, "d"), "schedule": (config.schedule, "")}
    values |= {"parameters": (count_parameters(network), ",d"), "predicts": (config.prediction, "")}
    return values | {"multiply_adds": (count_multiply_adds(network, SHAPE) / 1e6, ".1f")}


def shipped(config: Config, manifest: dict[str, dict[str, Any]]) -> tuple[dict[str, tuple[Any, str]], dict[str, str]]:
    """Return what is known of the newest shipped weights of a configuration, dashes for none, and their fingerprint."""
    every = [one for one in manifest.items() if one[0] == config.release_name(one[1].get("epoch", -1))]
    if not every:
        return dict.fromkeys(("trained", "minutes", "n", "fid", "accuracy"), ("--", "")), {}
    name, entry = max(every, key=lambda one: one[1]["epoch"])
    values = {"trained": (entry["epoch"], "d"), "minutes": (entry["train_seconds"] / 60, ".0f")}
    for what in ("fid", "accuracy"):
        values[what] = MEASURES[what].reported(entry[what]["value"]) if what in entry else ("--", "")
    values["n"] = (entry["fid"]["n"], ",d") if "fid" in entry else ("--", "")
    return values, {name: entry["sha256"]}


def cost() -> tuple[dict[str, tuple[Any, str]], dict[str, str]]:
    """Return what training the shipped models took, on processors and on a GPU, and their fingerprints."""
    last: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, entry in read_manifest().items():
        if entry.get("train_seconds") and entry["epoch"] >= last.get(entry["run"], ("", {"epoch": 0}))[1]["epoch"]:
            last[entry["run"]] = name, entry
    by_device: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for _, entry in last.values():
        by_device[entry["train_device"] != "cpu"].append(entry)
    values: dict[str, tuple[Any, str]] = {}
    for where, trained in zip(("", "gpu_"), by_device.values(), strict=True):
        seconds = [entry["train_seconds"] for entry in trained]
        values[f"{where}models"] = (len(seconds), "d")
        values[f"{where}hours"] = (sum(seconds) / 3600, ".1f")
        values[f"{where}longest"] = (max(seconds, default=0) / 60, ".0f")
    gpus = {entry["machine"].split(", ")[1] for entry in by_device[True]}  # as `thaw.base.machine.machine` names it
    values["gpu"] = (" and ".join(sorted(gpus)) or "none", "")
    return values, {name: entry["sha256"] for name, entry in last.values()}


def versions() -> dict[str, tuple[str, str]]:
    """Return what the numbers were computed on."""
    return {
        "cpu": (processor(), ""),
        "torch": (torch.__version__.partition("+")[0], ""),
        "python": (platform.python_version(), ""),
    }


def main(*, record: o.Record = False) -> None:
    """Print the table."""
    enter_project()
    origin, manifest = {"benchmark": "benchmarks/sets.py"}, read_manifest()
    for path in SETS:
        config = load_config(str(path))
        reached, weights = shipped(config, manifest)
        values = describe(config) | reached
        print(f"{str(path):45s}", "  ".join(format(*value) for value in values.values()))
        if record:
            key = f"sets.{path.parent.name}.{path.stem}"
            made = origin | {"config": str(path), "weights": weights}
            results.record({f"{key}.{what}": value for what, value in values.items()}, made)
    (spent, weights), on = cost(), versions()
    print(*(f"{what} {format(*value)}" for what, value in (spent | on).items()), sep="\n")
    if record:
        results.record({f"cost.{what}": value for what, value in spent.items()}, origin | {"weights": weights})
        results.record({f"cost.{what}": value for what, value in on.items()}, origin | {"data": "none"})
        judge = load_judge("mnist")
        results.record({"protocol.least": (2 * judge.num, "d")}, origin | {"weights": weights_of(judge)})


if __name__ == "__main__":
    sys.exit(o.run(main))
