"""Quality against evaluations, for every sampler and guidance weight; writes measured/sampling_LABEL.json.

    python benchmarks/recipe/sampling.py MODEL [--n 1000] [--split train]

MODEL is the name of shipped weights, a file or a run directory. Scored against the training split, because
the default settings are chosen here; the chosen ones are then scored against the test split elsewhere.
"""

import json
import sys
import time
from pathlib import Path

import torch
from trial import MEASURED

from thaw.base.files import write_json
from thaw.cli import options as o
from thaw.report.recorder import weights_of
from thaw.scoring import load_judge, score_model
from thaw.store.weights import load_model, release_path

SAMPLERS = {
    "ddim": {"sampler": "ddim"},
    "heun": {"sampler": "ddim", "order": 2},
    "eta 0.5": {"sampler": "warm", "eta": 0.5},
    "ddpm": {"sampler": "ddpm"},
}
EVALUATIONS = (5, 10, 20, 30, 50, 100)
GUIDANCE = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0)


def steps_for(evaluations: int, guidance: float, order: int) -> int | None:
    """Return how many steps cost so many network evaluations; None where less than one step fits."""
    each = 1 if guidance == 1 else 2
    count = evaluations // each if order == 1 else (evaluations // each + 1) // 2
    return count if count >= 1 else None


def main(model: o.ModelName, /, *, n: o.Scored = 1000, split: o.OneOf = "train", at: o.Count = 30) -> None:
    """Score every combination that has no entry yet, and write the log after each."""
    torch.set_num_threads(1)
    path = Path(model)
    model = load_model(path if path.exists() else release_path(model))
    judge, out = load_judge(model.config.data), MEASURED / f"sampling_{model.config.label}.json"
    about = {"model": model.config.label, "epoch": model.epoch, "n": n, "split": split}
    about["weights"] = weights_of(model, judge)
    before = json.loads(out.read_text()) if out.is_file() else {}
    entries = before["entries"] if all(before.get(key) == value for key, value in about.items()) else []

    def score(name: str, evaluations: int, guidance: float) -> float:
        settings = {**SAMPLERS[name], "guidance": guidance}
        settings["steps"] = steps_for(evaluations, guidance, settings.get("order", 1))
        if settings["steps"] is None:
            return float("inf")
        known = [e for e in entries if (e["sampler"], e["evaluations"], e["guidance"]) == (name, evaluations, guidance)]
        if known:
            return known[0]["fid"]
        began = time.perf_counter()
        found = score_model(model, judge, n, reference=split, seed=1, **settings)
        values = {k: v.value for k, v in found.items()}
        entries.append({**settings, **values, "sampler": name, "evaluations": evaluations,
                        "seconds": time.perf_counter() - began})  # fmt: skip
        write_json(out, {**about, "entries": entries})
        print(f"{name:8s} {evaluations:3d} w={guidance:g}  {values['fid']:.2f}  {values['accuracy']:.1%}", flush=True)
        return values["fid"]

    best = {}
    for name in SAMPLERS:
        best[name] = min(GUIDANCE, key=lambda weight, name=name: score(name, at, weight))
    for name in SAMPLERS:
        for evaluations in EVALUATIONS:
            if evaluations != at:
                score(name, evaluations, best[name])


if __name__ == "__main__":
    sys.exit(o.run(main))
