"""One trial of the recipe search: train a network for a budget of CPU seconds, then score it.

    python benchmarks/recipe/trial.py NAME SEED      (settings in trials.yaml; writes logs/NAME_SEED.json)

The loop is a compact one of its own, because most of what it can do is not worth keeping in the package.
The budget is counted in CPU seconds of the training thread, so that a busy machine does not change the
verdict; loading, scoring and the first look at the data are outside it, compilation is inside.
"""

import copy
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from parts import Denoiser, make_network, make_optimiser
from torch import Tensor, nn

from thaw import data
from thaw.base.files import write_json
from thaw.base.machine import machine
from thaw.base.pixels import to_uint8
from thaw.base.seeding import derive, generator
from thaw.cli import options as o
from thaw.experiment.build import build_model, build_process
from thaw.experiment.config import make_config
from thaw.networks import count_multiply_adds, count_parameters
from thaw.process import Draws, Process
from thaw.scoring import load_judge, score_model
from thaw.store import tensors
from thaw.terminal import fit_terminal

HERE = Path(__file__).parent
LOGS, MEASURED, WEIGHTS = HERE / "logs", HERE / "measured", Path("contents/recipe")


def load_trials() -> dict[str, dict[str, Any]]:
    """Return the trials by name, each with every setting filled in from `base` and from what it builds on."""
    content = yaml.safe_load((HERE / "trials.yaml").read_text())
    trials: dict[str, dict[str, Any]] = {}
    for name, own in content["trials"].items():
        trials[name] = {**trials.get(own.get("of", ""), content["base"]), "seeds": [0], **own}
    return trials


def draw_steps(n: int, steps: int, how: str, draws: torch.Generator) -> Tensor:
    """Draw t in 1..T: `uniform`, `stratified` (one in each n-th), or `logit_normal(mean, std)`."""
    if how.startswith("logit_normal"):
        mean, std = (float(part) for part in how.removeprefix("logit_normal(").removesuffix(")").split(","))
        u = (mean + std * torch.randn(n, generator=draws)).sigmoid()
    else:
        u = torch.rand(n, generator=draws)
        if how == "stratified":
            u = (torch.randperm(n, generator=draws) + u) / n
    return (u * steps).ceil().clamp(1, steps).long()


def rate_at(progress: float, shape: str, warmup: float) -> float:
    """Return the learning rate, as a share of its peak, at a share of the budget."""
    rise = min(1.0, progress / warmup) if warmup else 1.0
    rest = max(0.0, (progress - warmup) / (1 - warmup))
    if shape == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, rest)))
    if shape == "linear":
        return rise * max(0.0, 1 - rest)
    if shape == "one_cycle":  # a quarter of the budget up, then a half cosine down
        up = min(1.0, progress / 0.25)
        return up if progress < 0.25 else 0.5 * (1 + math.cos(math.pi * (progress - 0.25) / 0.75))
    return rise


class Average:
    """A moving average of weights: `power` (over about the last share of the run) or a fixed decay."""

    def __init__(self, network: nn.Module, kind: float) -> None:
        self.network, self.kind, self.updates = copy.deepcopy(network), kind, 0
        self.mine = [p.detach() for p in self.network.parameters()]

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the network: kind < 0.5 is the relative width of a power-law average (Karras 2024)."""
        self.updates += 1
        if self.kind < 0.5:
            gamma = exponent(self.kind)
            keep = (1 - 1 / (self.updates + 1)) ** (gamma + 1)
        else:
            keep = min(self.kind, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.mine, [p.detach() for p in network.parameters()], 1 - keep)


def exponent(width: float) -> float:
    """Return gamma of the power-law average of relative width (std of the weights' age over the run)."""
    low, high = 0.0, 1e4
    for _ in range(80):
        gamma = (low + high) / 2
        if math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))) > width:
            low = gamma
        else:
            high = gamma
    return gamma


def train(settings: dict[str, Any], seed: int, images: data.ImageSet) -> tuple[dict[float, nn.Module], dict[str, Any]]:
    """Train for the budget; return the averaged networks by kind, and what there is to log."""
    process = trial_process(settings, images.shape)
    torch.manual_seed(derive(seed, "weights"))
    network = make_network(settings, images.shape, images.classes)
    facts = {"parameters": count_parameters(network), "multiply_adds": count_multiply_adds(network, images.shape)}
    denoiser = Denoiser(network, process, settings["prediction"], settings["data_std"])
    if settings["channels_last"]:
        denoiser.to(memory_format=torch.channels_last)
    averages = [Average(denoiser, kind) for kind in settings["ema"]]
    optimisers = make_optimiser(denoiser, settings)
    run = torch.compile(denoiser) if settings["compile"] else denoiser
    draws, size, budget = generator(seed, "trial"), settings["batch"], 60.0 * settings["minutes"]
    order, place, seen, steps, losses = torch.randperm(len(images), generator=draws), 0, 0, 0, []
    torch.manual_seed(derive(seed, "dropout"))
    wall, begun = time.perf_counter(), time.process_time()
    while (spent := time.process_time() - begun) < budget:
        progress = spent / budget
        if settings["batch_growth"] and progress > 0.5:
            size = settings["batch"] * settings["batch_growth"]
        if place + size > len(images):
            order, place = torch.randperm(len(images), generator=draws), 0
        chosen, place = order[place : place + size], place + size
        x0 = images.pixels(chosen)
        if settings["shift"]:  # by a pixel, in a share of the images
            rolled = x0.roll((int(torch.randint(-1, 2, (), generator=draws)),
                              int(torch.randint(-1, 2, (), generator=draws))), dims=(2, 3))  # fmt: skip
            x0 = torch.where(torch.rand(size, 1, 1, 1, generator=draws) < settings["shift"], rolled, x0)
        batch = process.draw(size, draws)
        t = draw_steps(size, process.steps, settings["draw_t"], draws)
        batch = Draws(t, batch.tau, batch.noise, batch.z)
        dropped = torch.rand(size, generator=draws) < settings["label_dropout"]
        y = torch.where(dropped, images.classes, images.labels[chosen])
        x_t = process(x0, batch.t, batch.tau, batch.noise, batch.z)
        error = (run(x_t, process.time(t), batch.tau, y) - x0).square().mean(dim=(1, 2, 3))
        loss = (error * denoiser.weight(t, batch.tau, settings["weight"])).mean()
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        if settings["clip"]:
            nn.utils.clip_grad_norm_(network.parameters(), settings["clip"])
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * rate_at(progress, settings["decay"], settings["warmup"])
            optimiser.step()
        for average in averages:
            average.update(denoiser)
        losses.append(loss.detach())
        seen, steps = seen + size, steps + 1
    facts |= {"cpu_seconds": time.process_time() - begun, "wall_seconds": time.perf_counter() - wall}
    tail = torch.stack(losses[-max(1, steps // 20) :]).mean()
    facts |= {"steps": steps, "images": seen, "loss": float(tail), "images_per_second": seen / facts["cpu_seconds"]}
    return {average.kind: average.network.eval() for average in averages}, facts


def process_config(settings: dict[str, Any]) -> Any:
    """Return the package's configuration of the trial's process; the denoiser itself predicts x0."""
    values = {k: settings[k] for k in ("schedule", "degradation", "options", "steps", "tau") if k in settings}
    return make_config(
        {"prediction": "x0", **values, "study": "ddpm" if values["degradation"] == "scale" else "custom"}
    )


def trial_process(settings: dict[str, Any], shape: tuple[int, int, int]) -> Process:
    """Build the trial's process; `noise` scales its noise against images in [-1, 1]."""
    process = build_process(process_config(settings), shape)
    process.sigma *= settings["noise"]
    return process


def main(name: str, seed: o.Seed, /) -> None:
    """Run one trial and write its log."""
    settings = load_trials()[name]
    torch.set_num_threads(settings["threads"])
    images, judge = data.load("mnist", "train"), load_judge("mnist")
    networks, facts = train(settings, seed, images)
    config = process_config(settings)
    process = trial_process(settings, images.shape)
    terminal = fit_terminal(process.degradation, images.batches(), images.labels, config.terminal_components)
    scores = []
    began = time.perf_counter()
    for kind, network in networks.items():
        model = build_model(config, process, network, terminal, images.classes)
        for sampling in settings["score"]:
            found = score_model(model, judge, settings["n"], reference=settings["reference"], seed=1, **sampling)
            scores.append({"ema": kind, **sampling, **{k: v.value for k, v in found.items()}})
    best = min(scores, key=lambda entry: entry["fid"])
    if settings["also_n"]:  # for a table beside networks that are too slow for more
        kind, sampling = best["ema"], {k: best[k] for k in settings["score"][0]}
        model = build_model(config, process, networks[kind], terminal, images.classes)
        found = score_model(model, judge, settings["also_n"], reference=settings["reference"], seed=1, **sampling)
        facts["also"] = {"ema": kind, **sampling, **{k: v.value for k, v in found.items()}}
    WEIGHTS.mkdir(parents=True, exist_ok=True)
    stem = f"{name}_{seed}"
    state = {k: v.half() for k, v in networks[best["ema"]].network.state_dict().items()}
    tensors.save_tensors(WEIGHTS / f"{stem}.pt", state)
    y = model.labels(80)
    best_model = build_model(config, process, networks[best["ema"]], terminal, images.classes)
    sampling = {k: best[k] for k in settings["score"][0]}
    from thaw.report.figures import save_grid

    save_grid(WEIGHTS / f"{stem}.png", to_uint8(best_model.sample(y, seed=0, **sampling)), columns=10)
    facts |= {"score_seconds": time.perf_counter() - began, "scores": scores, "best": best}
    facts |= {"torch": torch.__version__, "machine": machine()}
    LOGS.mkdir(exist_ok=True)
    write_json(LOGS / f"{stem}.json", {"name": name, "seed": seed, "settings": settings, **facts})
    print(
        f"{stem:36s} {facts['images_per_second']:5.0f} img/s {facts['images']:7d} images  loss {facts['loss']:.4f}  "
        + "  ".join(f"{e['fid']:.2f}/{100 * e.get('accuracy', 0):.0f}%" for e in scores)
    )


if __name__ == "__main__":
    sys.exit(o.run(main))
