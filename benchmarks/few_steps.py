"""One to four evaluations: fast weights beside their teachers, and the ways to train them at one budget.

    python benchmarks/few_steps.py [--n 2000] [--seeds 3] [--names fast row_fast ...] [--trials] [--record]

Distance to the test images, recall and accuracy of digits whose classes are in the shares of the training images, the
mean of several seeds: of fast weights with one, two and four evaluations, and of their teachers as they are sampled.
Over one seed: teachers without fresh noise, and with as few evaluations; fast weights with fresh noise; cold where
they know it. Then the time of 64 digits by one evaluation, beside one call of the network in turn with it.

With --trials, in place of the rest, the ways to train a flow map of the hot weights for a small, equal budget of
network evaluations (forwards and backwards count three, forwards one). What was drawn and measured is kept in
contents/evaluation/.
"""

import copy
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from thaw import play
from thaw.base.files import enter_project
from thaw.base.machine import timed
from thaw.cli import options as o
from thaw.experiment.variants import fast
from thaw.flow_map import CORNER, FlowMap, Jumps, Paths, distance
from thaw.model import Model
from thaw.report import figures
from thaw.report.recorder import Recorder
from thaw.scoring import MEASURES, evaluate_model, labels_in_shares, load_judge
from thaw.store.runs import RUNS
from thaw.store.weights import load_model, release_path
from thaw.training.loop import train

FEW = (1, 2, 4)
SEEDED = ("1", "2", "4", "teacher")  # over several seeds; the others over one
RECORDED = ("fid", "recall", "precision", "accuracy")
TRIAL = {"limit": 7_500, "save_every": 1000, "sample_every": 0}
EPOCHS = 3  # of the way that costs three evaluations a step


def pixels(self: FlowMap, network: nn.Module, x0: Paths, y: Tensor, draws: Jumps) -> Tensor:
    """Take the mean over all pixels of all jumps: short jumps, which err little, count little."""
    error = self.reach(network, x0, x0.at(draws.leaves), y, *draws) - x0.at(draws.reaches)
    return ((error.square() + CORNER**2).sqrt() - CORNER).mean()


def squared(self: FlowMap, network: nn.Module, x0: Paths, y: Tensor, draws: Jumps) -> Tensor:
    """Take the mean squared error."""
    return (self.reach(network, x0, x0.at(draws.leaves), y, *draws) - x0.at(draws.reaches)).square().mean()


def split(self: FlowMap, network: nn.Module, x0: Paths, y: Tensor, draws: Jumps) -> Tensor:
    """Let a jump come to what two of the network's own come to, the shortest to the teacher's step (SplitMeanFlow)."""
    (leaves, reaches), middle = draws, (draws.leaves + draws.reaches) // 2
    with torch.no_grad():
        half = self.reach(network, x0, x0.at(leaves), y, leaves, middle)
        end = self.reach(network, x0, half, y, middle, reaches)
    shortest = (reaches - leaves == 1)[:, None, None, None]
    goal = torch.where(shortest, x0.at(reaches), end)
    return distance(self.reach(network, x0, x0.at(leaves), y, leaves, reaches) - goal)


def consistency(self: FlowMap, network: nn.Module, x0: Paths, y: Tensor, draws: Jumps) -> Tensor:
    """Let every jump go to 0, and come to what the network's own does from the teacher's next state (as ECT)."""
    leaves, after, last = draws.leaves, draws.leaves + 1, torch.full_like(draws.leaves, len(self.grid) - 1)
    with torch.no_grad():
        end = self.reach(network, x0, x0.at(after), y, after.clamp(max=len(self.grid) - 2), last)
    goal = torch.where((after == last)[:, None, None, None], x0.at(last), end)
    return distance(self.reach(network, x0, x0.at(leaves), y, leaves, last) - goal)


def pairs(self: FlowMap, network: nn.Module, x0: Paths, y: Tensor, draws: Jumps) -> Tensor:
    """Let every jump go all the way from the start: distillation of pairs (x_T, x_0)."""
    first, last = torch.zeros_like(draws.leaves), torch.full_like(draws.reaches, -1)
    return distance(self.reach(network, x0, x0.at(first), y, first, last) - x0.at(last))


def progressive(planned: int) -> Callable[..., Tensor]:
    """Let jumps of a quarter come to the teacher's states, then of a half to two quarters, then one to two halves.

    What is learnt in a third of the `planned` steps is the next third's teacher (Salimans & Ho 2022).
    """
    done, before = 0, None

    def loss(self: FlowMap, network: nn.Module, x0: Paths, y: Tensor, draws: Jumps) -> Tensor:
        nonlocal done, before
        stage = min(2, 3 * done // planned)
        if stage > min(2, 3 * (done - 1) // planned) and stage:
            before = copy.deepcopy(network).eval()
        done += 1
        length = (len(self.grid) - 1) * 2**stage // 4
        leaves = draws.leaves // length * length
        middle, reaches = leaves + length // 2, leaves + length
        goal = x0.at(reaches)
        if stage:
            with torch.no_grad():
                goal = self.reach(before, x0, x0.at(leaves), y, leaves, middle)
                goal = self.reach(before, x0, goal, y, middle, reaches)
        return distance(self.reach(network, x0, x0.at(leaves), y, leaves, reaches) - goal)

    return loss


GENTLE = 1e-3  # learning rate where the targets are the network's own: at that of the others they run away
WAYS: dict[str, tuple[Any, int, dict[str, float]]] = {  # how it is trained -> loss, evaluations a step, settings
    "trajectories": (FlowMap.loss, 3, {}),
    "pixels": (pixels, 3, {}),
    "squared": (squared, 3, {}),
    "pairs": (pairs, 3, {}),
    "progressive": (progressive(2 * TRIAL["limit"] // 128), 5, {}),
    "split": (split, 5, {"lr": GENTLE}),
    "consistency": (consistency, 4, {"lr": GENTLE}),
}


def compare_ways(names: list[str] | None, n: int, recorder: Recorder, record: bool) -> None:
    """Train a flow map of the hot weights in every way, at one budget, and score what comes of it."""
    path = release_path("default")
    teacher = load_model(path)
    shares = labels_in_shares(recorder.judge, n)
    for way in names or WAYS:
        loss, cost, settings = WAYS[way]
        epochs = round(3 * EPOCHS / cost)
        config = fast(teacher.config, str(path), **TRIAL, **settings, epochs=epochs, set=f"fast_{way}")
        with patch.object(FlowMap, "loss", loss):
            run = RUNS / f"few_steps_{way}"
            for epoch in train(config, run, progress=False):
                print(way, epoch, flush=True)
        model = load_model(run)
        for steps in FEW:
            scores = evaluate_model(model, n, labels=shares, judge=recorder.judge, name=way, steps=steps).scores
            values = {what: scores[what].value for what in RECORDED}
            print(f"{way:14s} {steps} evaluations", "  ".join(f"{k} {v:.3f}" for k, v in values.items()), flush=True)
            found = {f"trial.{way}.{steps}.{k}": MEASURES[k].reported(v) for k, v in values.items()}
            found |= {f"trial.{way}.epochs": (epochs, "d"), "trial.count": (TRIAL["limit"], ",d")}
            found |= {"trial.teacher_epochs": (teacher.epoch, "d")}
            if record:
                recorder.record(found, teacher)


def compare(label: str, n: int, seeds: int, recorder: Recorder) -> tuple[dict[str, tuple[Any, str]], list[Model]]:
    """Score fast weights and their teacher; return the numbers, and both models."""
    student = play.open_model(label)
    teacher = load_model(student.config.start_from)
    shares = labels_in_shares(recorder.judge, n)
    own = {"steps": teacher.sampling.steps}
    ways: dict[str, tuple[Model, dict[str, Any]]] = {f"{steps}": (student, {"steps": steps}) for steps in FEW}
    ways |= {"eta": (student, {"steps": 4, "eta": 1.0}), "teacher": (teacher, own)}
    ways |= {"teacher_still": (teacher, own | {"eta": 0.0})}
    ways |= {f"teacher_{steps}": (teacher, {"steps": steps, "eta": 0.0}) for steps in (1, 2, 4)}
    if student.process.tau[0] == 0:
        cold = {"sampler": "algorithm2", "tau": 0.0}
        ways |= {"cold": (student, cold | {"steps": 4}), "teacher_cold": (teacher, cold | own)}
    found: dict[str, tuple[Any, str]] = {"epochs": (student.epoch, "d"), "trajectories": (student.config.limit, ",d")}
    found["guidance"] = (student.sampling.guidance, "g")
    found["minutes"] = (student.info["train_seconds"] / 60, ".0f")
    for way, (model, settings) in ways.items():
        every: dict[str, list[float]] = {what: [] for what in RECORDED}
        for seed in range(seeds if way in SEEDED else 1):
            scores = evaluate_model(model, n, labels=shares, judge=recorder.judge, seed=seed, **settings).scores
            for what in RECORDED:
                every[what].append(scores[what].value)
        for what, values in every.items():
            found[f"{way}.{what}"] = MEASURES[what].reported(statistics.mean(values))
        found[f"{way}.fid_spread"] = (statistics.pstdev(every["fid"]), ".2f")
        found[f"{way}.evaluations"] = (model.sampling.replace(**settings).evaluations(model.process), "d")
        found["floor"] = (scores["fid"].floor, ".2f")
        told = "  ".join(f"{what} {statistics.mean(values):.3f}" for what, values in every.items())
        print(f"{label:10s} {way:14s} {found[f'{way}.evaluations'][0]:3d} evaluations  {told}", flush=True)
    return found, [student, teacher]


@torch.no_grad()
def seconds(student: Model, teacher: Model, repeats: int = 15) -> dict[str, tuple[Any, str]]:
    """Return the seconds of 64 digits by one evaluation, in turn with one call, 20 by four, and 64 by the teacher."""
    y = student.labels(64)
    x = student.begin(student.start(y, torch.Generator().manual_seed(0)), student.sampling.tau)
    t, tau = torch.full((64,), student.process.steps), torch.full((64,), student.sampling.tau)
    calls = {
        "network": lambda: teacher.network(x, teacher.process.time(t), tau, y),
        "one": lambda: student.sample(y, steps=1),
        "sketch": lambda: student.sample(y[:20]),  # what a panel draws while a slider moves
        "teacher": lambda: teacher.sample(y),
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for index in range(repeats + 1):
        for name, call in calls.items():
            if name != "teacher" or index < 3:
                started = time.perf_counter()
                call()
                taken[name].append(time.perf_counter() - started)
    median = {name: statistics.median(values[1:]) for name, values in taken.items()}
    ratio = statistics.median(one / call for one, call in zip(taken["one"][1:], taken["network"][1:], strict=True))
    print(f"64 digits: network {median['network']:.3f} s, one evaluation {median['one']:.3f} s ({ratio:.2f} times), "
          f"teacher {median['teacher']:.2f} s; 20 in {student.sampling.steps}: {median['sketch']:.3f} s")  # fmt: skip
    found = {f"seconds.{name}": (value, ".2f" if name == "teacher" else ".3f") for name, value in median.items()}
    return found | {"seconds.ratio": (ratio, ".2f")}


def draw(found: dict[str, dict[str, tuple[Any, str]]], recorder: Recorder, *models: Model) -> None:
    """Draw distance and recall against evaluations, teachers and fast weights, a pair of curves each."""
    for what, label, log in (("fid", "Fréchet distance", True), ("recall", "recall", False)):
        series = {}
        for name, values in found.items():
            teacher = "hot" if name == "fast" else name.removesuffix("_fast")
            for title, ways in (
                (f"{teacher}, fast", [f"{steps}" for steps in FEW]),
                (f"{teacher}, teacher", [f"teacher_{steps}" for steps in FEW] + ["teacher_still"]),
            ):
                points = sorted((values[f"{way}.evaluations"][0], values[f"{way}.{what}"][0]) for way in ways)
                series[title] = tuple(zip(*points, strict=True))
        floor = (next(iter(found.values()))["floor"][0], "real images") if what == "fid" else None
        options = {"log": log, "log_x": True, "pairs": True, "beside": True, "floor": floor}
        recorder.show_figure(what, figures.curves(series, "evaluations", label, **options), *models)


def main(
    *, n: o.Scored = 2000, seeds: o.Repeats = 3, names: o.Names = None, trials: o.Trials = False,
    record: o.Record = False,
) -> None:  # fmt: skip
    """Print the tables."""
    enter_project()
    torch.set_num_threads(1)
    judge = load_judge("mnist")
    made_by = {"benchmark": "benchmarks/few_steps.py", "seed": 0, "n": n, "seeds": seeds}
    recorder = Recorder("few_steps", made_by, judge=judge)
    if trials:
        compare_ways(names, n, recorder, record)
        return
    shipped = [one.label for one in play.catalogue() if one.teacher and one.data == "mnist"]
    found, models = {}, []
    for label in names or shipped:
        found[label], used = compare(label, n, seeds, recorder)
        models += used
        times = seconds(*used) if label == "fast" else {}
        if record:
            recorder.record({f"{label}.{what}": value for what, value in found[label].items()}, *used)
            if times:
                recorder.record({f"{label}.{what}": value for what, value in times.items()}, *used, **timed())
    if record:
        recorder.record({"n": (n, ",d"), "seeds": (seeds, "d")})
        draw(found, recorder, *models)


if __name__ == "__main__":
    sys.exit(o.run(main))
