"""Samples of earlier systems, drawn by their own code from their own published weights, and ours beside them.

    python benchmarks/peers.py --samples FOLDER [--names ...] [--n 1000] [--record]

FOLDER holds peers.json and the samples: see docs/evaluation.md, which also says how anyone draws some. Every set is
scored by the full protocol at its own n; beside its distance stands that of as many real images of each class, counted
by the labels asked for, else by what our judge sees. Ours are `n` digits in the shares of the training classes, the hot
default set also as many as any other system has. A degradation of ours is sampled by that one of the settings of
benchmarks/repairs.py which, as recorded there, is nearest to the training images. What was drawn and measured is kept
in contents/evaluation/. Seconds of ours are CPU seconds of one thread, measured here; theirs are what peers.json tells,
with its machine if it names one.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from repairs import GUIDED, WEIGHTS
from timing import median_seconds
from torch import Tensor

from thaw import play
from thaw.base.errors import ThawError
from thaw.base.files import enter_project, needed, user_path
from thaw.base.machine import timed
from thaw.base.text import number
from thaw.cli import options as o
from thaw.model import Model
from thaw.networks import count_parameters
from thaw.report.recorder import Recorder
from thaw.report.results import read_values
from thaw.scoring import (
    MEASURES,
    Evaluation,
    draw_samples,
    evaluate_images,
    evaluate_model,
    labels_in_shares,
    load_judge,
)
from thaw.scoring.evaluation import read_judged

RECORDED = ("fid", "precision", "recall", "coverage", "entropy", "accuracy", "copies")
HOT, LATENT = "default", "flow"  # as they are shipped
DEGRADED = ("row", "col", "eraser", "mask", "zoom_nearest", "zoom_bilinear")
SHOWN = 16  # digits a system in the figures
Samples = o.word("folder of peers.json and the samples that it lists")


class Peer(BaseModel):
    """One set of samples, as peers.json tells it; what else it tells is for readers."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    project: str
    file: str
    epochs: int | None
    parameters: int
    evaluations: int
    seconds_per_64: float
    n: int
    commit: str = ""
    weights: str = ""
    machine: str = ""


def read_peers(folder: Path) -> list[Peer]:
    """Return the sets of samples in a folder.

    Raises:
        ThawError: if peers.json is missing, is no list of such records, or names a set twice.
    """
    path = needed(folder / "peers.json", "name its folder with --samples")
    try:
        peers = TypeAdapter(list[Peer]).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ThawError(f"{path}: {place}: {first['msg']}; see docs/evaluation.md") from None
    twice = {peer.name for peer in peers if [other.name for other in peers].count(peer.name) > 1}
    if twice:
        raise ThawError(f"{path} names {', '.join(sorted(twice))} twice; give each set a name of its own")
    return peers


def reported(values: dict[str, float | None]) -> dict[str, tuple[Any, str]]:
    """Return measures as they are recorded; one that there is no evidence for is a dash."""
    return {name: MEASURES[name].reported(values[name]) if name in values else (None, "") for name in RECORDED}


def measured(evaluation: Evaluation) -> dict[str, tuple[Any, str]]:
    """Return the scores of a set as they are recorded."""
    scores = evaluation.scores
    found: dict[str, tuple[Any, str]] = {"n": (scores["fid"].n, ",d"), "floor": (scores["fid"].floor, ".2f")}
    found |= reported({name: score.value for name, score in scores.items()})
    rarest = min(score.value for name, score in scores.items() if name.startswith("share_"))
    return found | {"rarest": (100 * rarest, ".1f")}  # percent of the digits; a tenth where all classes are equal


def told(values: dict[str, tuple[Any, str]]) -> str:
    """Return values as one line."""
    return "  ".join(f"{name} {number(*value)}" for name, value in values.items())


def best_settings(name: str) -> dict[str, Any]:
    """Return those settings of benchmarks/repairs.py that bring a degradation nearest to the training images.

    As they are recorded in Plots/numbers.json; none, so the configuration's own, where nothing is.
    """
    numbers = read_values()
    found = {way: numbers[key] for way in WEIGHTS if (key := f"repairs.{name}.{way}.fid") in numbers}
    return GUIDED | WEIGHTS[min(found, key=found.__getitem__)] if found else {}


def cost(model: Model, settings: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    """Return what a model costs: epochs, parameters (of its autoencoder too), evaluations a digit."""
    parameters = count_parameters(model.network) + (count_parameters(model.coder.network) if model.coder else 0)
    evaluations = model.sampling.replace(**settings).evaluations(model.process)
    return {"epochs": (model.epoch, "d"), "parameters": (parameters, ",d"), "evaluations": (evaluations, ",d")}


def main(
    *,
    samples: Samples = None,
    names: o.Names = None,
    n: o.Scored = 1000,
    repeats: o.Repeats = 5,
    record: o.Record = False,
) -> None:
    """Print a line a system."""
    if samples is None:
        raise ThawError("name the folder of the samples with --samples")
    folder = user_path(samples).resolve()
    peers = [peer for peer in read_peers(folder) if names is None or peer.name in names]
    enter_project()
    torch.set_num_threads(1)
    judge = load_judge("mnist")
    recorder = Recorder("peers", {"benchmark": "benchmarks/peers.py", "seed": 0, "n": n}, judge=judge)

    def keep(
        name: str, values: dict[str, tuple[Any, str]], seconds: float, by: dict[str, str], *used: Model, **drawn: str
    ) -> None:
        print(f"{name:28s} {told(values)}  {seconds:.2f} s / 64", flush=True)
        if record:
            recorder.record({f"{name}.{key}": value for key, value in values.items()}, *used, **drawn)
            recorder.record({f"{name}.seconds_64": (seconds, ".1f" if seconds >= 1 else ".2f")}, *used, **by, **drawn)

    rows: list[Tensor] = []
    for peer in peers:
        images, labels = read_judged(folder / peer.file, judge)
        if len(images) != peer.n:
            raise ThawError(f"{peer.file} holds {len(images)} images, peers.json says {peer.n} of {peer.name}; mend it")
        evaluation = evaluate_images(images, labels, name=peer.name, judge=judge)
        about = {"epochs": (peer.epochs, "d"), "parameters": (peer.parameters, ",d")}
        about["evaluations"] = (peer.evaluations, ",d")
        drawn = {"drawn_by": peer.project, "drawn_at": peer.commit, "drawn_from": peer.weights}
        keep(peer.name, about | measured(evaluation), peer.seconds_per_64, {"machine": peer.machine}, **drawn)
        rows.append(images[:SHOWN])
    theirs, rows, used = rows, [], []
    shipped = {label for of, label in play.shipped() if of == judge.data}
    ours = [HOT, *(f"{name}_default" for name in DEGRADED), LATENT]
    for label in [label for label in ours if label in shipped and (names is None or label in names)]:
        model = play.open_model(label)
        settings = best_settings(label.removesuffix("_default"))
        seconds = median_seconds(lambda m=model, s=settings: m.sample(m.labels(64), **s), repeats)
        chosen = {name: (settings[name], "g") for name in ("tau", "steps") if name in settings}
        for count in sorted({n, *(peer.n for peer in peers if label == HOT)}):
            common = {"labels": labels_in_shares(judge, count), **settings}
            evaluation = evaluate_model(model, count, judge=judge, **common)
            name = label if count == n else f"{label}_{count}"
            keep(name, cost(model, settings) | chosen | measured(evaluation), seconds, timed(), model)
            if count == n:
                scores = evaluation.scores
                rows.append(draw_samples(model, count, **common)[:: -(-count // SHOWN)])
        used.append(model)
    if record and names is None:
        real = reported({name: score.floor for name, score in scores.items()})
        recorder.record({f"real.{name}": value for name, value in real.items()})
        for what, drawn in (("theirs", theirs), ("ours", rows)):
            recorder.show_grid(what, torch.cat(drawn), SHOWN, *used, scale=2)


if __name__ == "__main__":
    sys.exit(o.run(main))
