"""Ten minutes on two CPU cores: a hot and a warm model from nothing, side by side, then their digits and scores.

    python benchmarks/speedrun.py [--minutes 10] [--seed 0] [--data mnist] [-n 2000] [--out contents/speedrun] [--smoke]
                                  [--set KEY=VALUE ...]      (or: make speedrun)

A run that was interrupted goes on.
"""

import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from timing import matrix_peak

from thaw.base.errors import ThawError
from thaw.base.files import check_target, make_folder, write_json
from thaw.base.machine import machine, tell_apart
from thaw.base.pixels import to_uint8
from thaw.base.settings import settings_of
from thaw.base.text import number
from thaw.cli import options as o
from thaw.data import resolve
from thaw.data.grids import save_grid
from thaw.experiment.build import sampled_as
from thaw.experiment.config import Config, load_config, override
from thaw.experiment.variants import smoke_size
from thaw.networks import count_multiply_adds, count_parameters
from thaw.scoring import judge_path, load_judge, score_model
from thaw.store.runs import check_run
from thaw.store.weights import load_model
from thaw.training.loop import train

CONFIGS = ("configs/ddpm/speedrun.yaml", "configs/custom/row_speedrun.yaml")


def train_and_score(config: Config, out: Path, n: int = 2000, position: int = 0) -> dict[str, Any]:
    """Train one model (or go on with it), draw 64 digits, score `n` others, and write what it took.

    Args:
        config: with `minutes` set.
        out: the run goes to `<out>/<run name>/`, the grid and the record beside it.
        n: images scored against the test split.
        position: line of the progress bar.

    Returns:
        The record, as written to `<out>/<run name>.json`.
    """
    torch.set_num_threads(config.threads)
    peak = matrix_peak(clock=time.perf_counter)  # as the images a second below are: on the wall
    run = out / config.run_name
    for _ in train(config, run, position=position):
        pass
    model = load_model(run)
    model = sampled_as(model, config)  # they may have changed since the run began
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    adds = count_multiply_adds(model.network, model.process.shape)
    rate = last["images"] / last["seconds"]
    record: dict[str, Any] = {
        "model": config.label,
        "minutes": last["seconds"] / 60,
        "images": last["images"],
        "images_per_second": rate,
        "parameters": count_parameters(model.network),
        "multiply_adds": adds,
        "share_of_peak": 3 * adds * rate / peak,  # forward, and twice as much backward
        "seed": config.seed,
        "machine": machine(),
    }
    y = model.labels(64)
    started = time.perf_counter()
    images = to_uint8(model.sample(y, seed=config.seed))
    record["sampling_seconds"] = time.perf_counter() - started
    save_grid(out / f"{config.run_name}.png", images, columns=8)
    if n and judge_path(config.data_name).is_file():
        scores = score_model(model, load_judge(config.data_name), n, seed=config.seed)
        record |= {name: score.record() for name, score in scores.items()}
    write_json(out / f"{config.run_name}.json", record)
    return record


def _work(config: Config, out: Path, n: int, position: int) -> None:
    try:
        train_and_score(config, out, n, position)
    except (ThawError, KeyboardInterrupt) as error:
        raise SystemExit(f"{config.label}: {error or 'stopped; the same command goes on'}") from None


def speedrun(out: str | Path, *, n: int = 2000, smoke: bool = False, **overrides: Any) -> list[dict[str, Any]]:
    """Train both models of `CONFIGS`, one thread each, side by side where there are two cores.

    Args:
        out: folder of runs, grids and records; a run that was interrupted is continued.
        n: images scored against the test split.
        smoke: tiny settings.
        overrides: settings in place of the files', e.g. `minutes=2`, `seed=1`, `data="fashion"`.

    Returns:
        One record a model; see `train_and_score`.

    Raises:
        ThawError: for unknown settings, or when one of the trainings fails.
    """
    out = check_target(out, folder="filled")
    configs = [load_config(path, **overrides) for path in CONFIGS]
    data = resolve(configs[0].data)
    configs = [override(config, {"data": data}) for config in configs]
    if smoke:
        configs, n = [smoke_size(config) for config in configs], 256
    for config in configs:
        run = check_run(out / config.run_name)
        for ending in (".png", ".json"):
            check_target(run.with_name(f"{run.name}{ending}"), ending)
    make_folder(out)
    context = multiprocessing.get_context("spawn")
    side_by_side = (os.cpu_count() or 1) > 1
    workers = [
        context.Process(target=_work, args=(config, out, n, side_by_side * index))
        for index, config in enumerate(configs)
    ]
    for worker in workers:
        worker.start()
        if not side_by_side:
            worker.join()
    for worker in workers:
        worker.join()
    failed = [config.label for config, worker in zip(configs, workers, strict=True) if worker.exitcode]
    if failed:
        raise ThawError(f"training {' and '.join(failed)} did not finish; what was trained is kept in {out}")
    return [json.loads((out / f"{config.run_name}.json").read_text()) for config in configs]


def table(records: list[dict[str, Any]]) -> str:
    """Return the records as text, a line each."""
    marks, told = tell_apart({index: r.get("machine", "") for index, r in enumerate(records)})
    lines = ["model            minutes  images  img/s  of peak     FID (real)  accuracy  entropy  s / 64 digits"]
    for index, r in enumerate(records):
        line = f"{r['model']:16s} {r['minutes']:7.1f} {r['images']:7,d} {r['images_per_second']:6.0f} "
        line += f"{r['share_of_peak']:8.0%}"
        if "fid" in r:
            line += f" {r['fid']['value']:7.2f} ({number(r['fid']['floor'])}) {r['accuracy']['value']:9.1%}"
            line += f" {r['entropy']['value']:8.3f}"
        lines.append(line + f" {r['sampling_seconds']:14.1f} {marks[index]}".rstrip())
    return "\n".join([*lines, *([told] if told else [])])


def main(
    *, minutes: o.Minutes = None, seed: o.Seed = None, data: o.Data = None, set: o.Settings = (), n: o.Samples = 2000,
    out: o.Out = "contents/speedrun", smoke: o.Smoke = False,
) -> None:  # fmt: skip
    """Train, draw and score both, and print the table."""
    folder = check_target(out, folder="filled")
    settings = {
        key: value for key, value in (("minutes", minutes), ("seed", seed), ("data", data)) if value is not None
    }
    records = speedrun(folder, n=n, smoke=smoke, **settings | settings_of(set))
    print(f"\n{table(records)}\n")
    for path in sorted(folder.glob("*.png")):
        print(path)


if __name__ == "__main__":
    sys.exit(o.run(main))
