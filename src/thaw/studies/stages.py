"""The stages of a study: each a function of the plan to plain values, kept in `results/` once it is whole."""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thaw.base import ThawError, generator, make_folder, remember, sha256, timed, to_pixels, to_uint8
from thaw.data import strip
from thaw.model import Model
from thaw.report import figures
from thaw.sampling import time_steps
from thaw.scoring import (
    Judge,
    draw_samples,
    evaluate_model,
    labels_in_shares,
    measure_ceiling,
    nearest,
    real_splits,
)
from thaw.scoring.budget import Oracle, error_budget
from thaw.store import load_model, pretrained
from thaw.studies.plan import Plan
from thaw.studies.restoring import COLD, PRIOR, degraded, kept, restorations, restored_by, untrained
from thaw.studies.sizing import SEEDS
from thaw.terminal import fit_terminal

FORWARD = ("forward_cold.png", "forward_warm.png")
DRAWN = ("samples_cold.png", "samples_warm.png", "walk.png", "restored.png", "failures.png")
SCORED = ("fid", "precision", "recall", "coverage", "accuracy", "entropy", "copies")
EQUAL = "equal_budget.json"  # beside the released weights: the eleven degradations, trained and scored alike


@dataclass(frozen=True)
class Stage:
    """One stage."""

    name: str  # of its file in `results/`
    about: str  # what it does, in words
    work: Callable[[Plan], Any]  # plan -> plain values
    needs: tuple[str, ...] = ()  # names of the stages whose results it reads
    reads: tuple[str, ...] = ()  # the parts of `Plan.size` that it depends on
    seconds: float = 20.0  # what it is expected to take
    draws: tuple[str, ...] = ()  # names of its figures

    def result(self, plan: Plan) -> Any:
        """Return what it found before for the same plan; None if that is not there."""
        if not all((plan.path / "figures" / name).is_file() for name in self.draws):
            return None
        try:
            return remember(plan.path / "results", self.key(plan), _absent, name=self.name)
        except LookupError:
            return None

    def run(self, plan: Plan) -> Any:
        """Return what it finds, or found before for the same plan."""
        found = self.result(plan)
        if found is None:
            (plan.path / "results" / f"{self.name}.json").unlink(missing_ok=True)  # a figure of it may be missing
            found = remember(plan.path / "results", self.key(plan), lambda: self.work(plan), name=self.name)
        return found

    def key(self, plan: Plan) -> dict[str, Any]:
        """Return all that its result depends on."""
        beside = {"equal": equal_digest(plan)} if self.name.startswith("curve") else {}
        return {"stage": self.name} | plan.key(*self.reads) | beside


def _absent() -> Any:
    raise LookupError


def train_judge(plan: Plan) -> dict[str, Any]:
    """Train the feature network of a folder of images, which is shipped with none."""
    from thaw.scoring.judge import save_judge
    from thaw.scoring.judge_training import train_features

    train, test = plan.load("train"), plan.load("test")
    told = {"reading": plan.config().reading, "fingerprints": {s.split: s.fingerprint for s in (train, test)}}
    passes = 1 if plan.smoke else max(8, min(60, 200_000 // len(train)))  # a small folder needs more of them
    found = replace(train_features(train, test, epochs=passes, progress=False), **told)
    save_judge(found, make_folder(plan.path / "judge"), replace=True)
    return {"accuracy": found.accuracy, "epochs": passes}


def origin(plan: Plan, **more: Any) -> dict[str, Any]:
    """Return where a figure or number of a study comes from."""
    made_by = {"script": f"thaw study {Path(plan.source).name or plan.name}", "degradation": plan.name}
    return made_by | {"code": plan.code[:12], "data": plan.config().data_name, "smoke": plan.smoke} | more


def picture(plan: Plan) -> dict[str, Any]:
    """Draw the degradation from 0 to T, cold and warm, and count what survives."""
    test = plan.load("test")
    chosen = torch.arange(0, len(test), max(1, len(test) // 3))[:3]
    x0 = test.pixels(chosen)
    train = plan.load("train")
    process, draws = plan.process(train), generator(0, "study picture")
    z, noise = process.degradation.draw_z(len(x0), draws), torch.randn(x0.shape, generator=draws)
    z = to_pixels(test.degraded[chosen]) if plan.config().paired else z
    steps = time_steps(process.steps, min(9, process.steps))[::-1]
    for what, tau in (("cold", 0.0), ("warm", 1.0)):
        here = [process(x0, torch.full((len(x0),), t), torch.full((len(x0),), tau), noise, z) for t in steps]
        _grid(plan, f"forward_{what}.png", strip(here, len(steps)), len(steps))
    few, inner = train.subset(min(len(train), 2000), 0), plan.inner(train)
    rank = fit_terminal(process.degradation, few.pixels(), few.labels, components=1).rank
    return {"T": inner.steps, "softened": process.steps // inner.steps, "rank": rank, "tests": len(test)}


def _grid(plan: Plan, name: str, images: Tensor, columns: int, **more: Any) -> None:
    figures.save_grid(plan.path / "figures" / name, images, columns, origin(plan, **more), scale=4)


def budget(plan: Plan) -> dict[str, Any]:
    """Measure what the sampler loses with a perfect network, and what would lose less."""
    train = plan.load("train")
    few = train.subset(min(len(train), 4000), 0)
    images, inner = few.pixels(), plan.inner(train)
    process_steps = plan.process(train).steps
    oracle = Oracle(inner, images, n=60 if plan.smoke else 600)
    if not oracle.affine and not plan.smoke:  # then each step compares all trajectories with all images
        oracle = Oracle(inner, images, n=200)
    terminal = fit_terminal(inner, images, few.labels, components=2)
    config = plan.config()
    bare = config.sampling(inner.steps).replace(tau=1.0)
    found = error_budget(oracle, bare, config.schedule, 1, terminal)
    ours = oracle.loss(config.sampling(process_steps).replace(tau=1.0), config.schedule, config.soften)
    warmest = oracle.loss(config.sampling(process_steps).replace(tau=2.0), config.schedule, config.soften)
    values = {k: v for k, v in dataclasses.asdict(found).items() if k != "tried"}
    return values | {"ours": dataclasses.asdict(ours), "warmest": dataclasses.asdict(warmest), "affine": oracle.affine,
                     "bare_steps": bare.steps or inner.steps}  # fmt: skip


def ceiling(plan: Plan) -> dict[str, Any]:
    """Measure what the degraded picture tells of the class; say why where that cannot be."""
    train, test = plan.load("train"), plan.load("test")
    if plan.classes < 2:
        return {"left_out": "its pictures have no classes"}
    if plan.smoke:
        train, test = train.subset(min(300, len(train)), 0), test.subset(min(100, len(test)), 0)
    try:
        return dataclasses.asdict(measure_ceiling(plan.inner(train), train, test))
    except ThawError as error:
        return {"left_out": str(error)}


def train(plan: Plan, seed: int) -> dict[str, Any]:
    """Train one network; a training that was stopped goes on."""
    from thaw.training.loop import train as epochs

    config = plan.config(seed)
    minutes = max(1.0, 3 * plan.predicted()["train"] / 60)  # a far busier machine ends it; then seeds differ in length
    *_, last = epochs(config.model_copy(update={"minutes": minutes}), plan.run(seed), progress=False)
    trained, seconds = last.record.get("images", 0), last.record["seconds"]
    return {"epochs": last.epoch, "images": trained, "loss": last.record["loss"], "seconds": seconds, **timed(),
            "rank": last.model.terminal.rank, "parameters": sum(p.numel() for p in last.model.network.parameters()),
            "evaluations": last.model.sampling.evaluations(last.model.process)}  # fmt: skip


def point_of(tau: float, kind: str = "tau") -> str:
    """Return what the scores at a temperature are called: tau_1_50."""
    return f"{kind}_{tau:.2f}".replace(".", "_")


def _scores(plan: Plan, model: Model, judge: Judge, seed: int, n: int, **settings: Any) -> dict[str, Any]:
    labels = labels_in_shares(judge, n)
    more = {"labels": labels, "judge": judge, "seed": seed, "cache": plan.path / "scores", "reference": "train"}
    return kept(evaluate_model(model, n, **more, **settings).scores, SCORED)


def curve(plan: Plan, seed: int) -> dict[str, Any]:
    """Score the samples of one network at each temperature, by the cold algorithms, and as the eleven are."""
    model, judge = load_model(plan.run(seed)), plan.judge()
    n = plan.size.n
    found = {point_of(tau): _scores(plan, model, judge, seed, n, tau=tau) for tau in plan.size.taus}
    found |= {name: _scores(plan, model, judge, seed, n, **COLD[name]) for name in ("algorithm1", "direct")}
    found["algorithm2"] = found[point_of(0.0)]  # at tau = 0 the warm row is this one
    if (equal := equal_budget(plan)) and equal["n"] != n:
        for tau in sorted({float(row["tau"]) for row in equal["rows"]}):
            found[point_of(tau, "equal")] = _scores(plan, model, judge, seed, equal["n"], tau=tau)
    return found


def equal_digest(plan: Plan) -> str | None:
    """Return what the scores of the eleven are known by again; None where a study has none beside it."""
    path = pretrained() / EQUAL
    return None if plan.smoke or plan.settings["data"] != "mnist" or not path.is_file() else sha256(path)


def equal_budget(plan: Plan) -> dict[str, Any] | None:
    """Return the scores of the eleven degradations, trained and sampled alike, where they are of these images."""
    if equal_digest(plan) is None:
        return None
    found = json.loads((pretrained() / EQUAL).read_text())
    return found if found.get("judge") == plan.judge().digest else None


def gallery(plan: Plan) -> dict[str, Any]:
    """Draw what the first network restores; unless of pairs, samples, trajectories, nearest neighbours and failures."""
    model, judge, seen = load_model(plan.run(0)), plan.judge(), {"weights": str(plan.run(0).name), "seed": 0}
    x0, x_T, z, _ = degraded(plan, model.process.degradation, 10)
    ways = [(0, "direct"), (0, "algorithm1"), (0, "algorithm2"), (0, "warm"), (1, "warm"), (2, "warm")]
    rows = [model.restore(x_T, model.process.steps, z=z, seed=k, **restored_by(model, name)) for k, name in ways]
    _grid(plan, "restored.png", to_uint8(torch.cat([x0, x_T, *rows]).clamp(-1, 1)), len(x0), **seen)
    if plan.config().paired:
        return {}
    curves = [plan.found(f"curve_{seed}") for seed in range(SEEDS)]
    tau = min(plan.size.taus, key=lambda tau: sum(one[point_of(tau)]["fid"][0] for one in curves))  # of the nearest
    columns = model.columns()
    y = model.labels(columns * max(1, 50 // columns))
    for what, settings in (("cold", COLD["algorithm2"]), ("warm", {"tau": tau})):
        _grid(plan, f"samples_{what}.png", to_uint8(model.sample(y, seed=0, **settings)), columns, **seen)
    walk = [step.x_t for step in model.trajectory(model.labels(4), seed=1, tau=tau)]
    _grid(plan, "walk.png", strip(walk, 10), min(10, len(walk)), **seen)
    # Of the samples behind the curve: the nearest to a training image, and those least like what they were to be.
    labels = labels_in_shares(judge, plan.size.n)
    drawn = draw_samples(model, plan.size.n, labels=labels, seed=0, cache=plan.path / "scores", tau=tau)
    found: dict[str, Any] = {"tau": tau}
    if splits := real_splits(judge):
        distance, index = nearest(drawn, splits["train"].images)
        close = distance.argsort()[:10]
        _grid(plan, "neighbours.png", torch.cat([drawn[close], splits["train"].images[index[close]]]), 10, **seen)
        found["nearest"] = float(distance.min())
    p = judge.logits(judge.features(drawn)).softmax(dim=1)
    chosen = p.gather(1, labels[:, None])[:, 0].argsort()[:10]
    _grid(plan, "failures.png", drawn[chosen], 10, **seen)
    seen_as = p[chosen].argmax(dim=1)
    return found | {"asked": labels[chosen].tolist(), "seen": seen_as.tolist(),
                    "failed": float((p.argmax(dim=1) != labels).float().mean())}  # fmt: skip


def all_stages(plan: Plan) -> dict[str, Stage]:
    """Return the stages of a plan in the order in which they begin where nothing else decides."""
    takes, sized, paired = plan.predicted(), ("epochs", "share", "n"), plan.config().paired
    judges, priors = [], []
    if plan.config().of_a_folder and plan.classes > 1:
        judges = [Stage("judge", "a feature network for the images", train_judge, seconds=60)]
    judged = tuple(stage.name for stage in judges)
    if plan.settings.get("start_from"):
        needs, seconds = ("ceiling", *judged), 0.12 * SEEDS * PRIOR + 20
        priors = [Stage("untrained", "restorations without training", untrained, needs, ("n",), seconds)]

    def each(name: str, about: str, work: Callable[..., Any], needs: tuple[str, ...], reads: tuple[str, ...]) -> list:
        """Return a stage for each seed, which needs its training."""
        return [
            Stage(f"{name}_{k}", f"{about}, seed {k}", partial(work, seed=k),
                  (*needs, *([f"train_{k}"] if name != "train" else [])), reads, takes[name]) for k in range(SEEDS)
        ]  # fmt: skip

    first, *others = each("train", "training", train, (), ("epochs", "share"))
    curves = each("curve", "temperatures", curve, judged, (*sized, "taus"))
    before, drawn = ([*judges, first], ("restored.png",)) if paired else (curves, DRAWN)
    stages = [
        *judges, first,
        Stage("picture", "the degradation as a picture", picture, seconds=5, draws=FORWARD),
        *([] if paired else [Stage("budget", "what the sampler loses", budget, seconds=40)]),
        Stage("ceiling", "what the degraded picture tells", ceiling, seconds=30),
        *priors, *others, *([] if paired else curves),
        *each("restored", "restorations", restorations, ("ceiling", *judged), sized),
        Stage("gallery", "what is drawn", gallery, tuple(one.name for one in before), (*sized, "taus"), draws=drawn),
    ]  # fmt: skip
    return {stage.name: stage for stage in stages}


def perform(plan: Plan, name: str) -> str:
    """Run a stage in a process of its own; returns its name. What it finds lies in its file."""
    torch.set_num_threads(1)
    plan.register()
    all_stages(plan)[name].run(plan)
    return name


def results(plan: Plan) -> dict[str, Any]:
    """Return what all stages found, by name; None where one was not run yet."""
    return {name: stage.result(plan) for name, stage in all_stages(plan).items()}
