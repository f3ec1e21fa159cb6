"""How many threads torch computes with: a number, or whichever of one and all is faster on this machine now."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from accelerate.utils import broadcast_object_list

from thaw.base.seeding import generator
from thaw.experiment.build import build_network
from thaw.training.optimisers import build_optimiser
from thaw.training.parallel import parts
from thaw.training.timing import interleaved

if TYPE_CHECKING:
    from thaw.training.trainer import Trainer

REPEATS, LIMIT = 5, 20.0  # timed steps for each number of threads; seconds after which no further ones are begun


def use_threads(threads: int | str) -> None:
    """Compute with so many threads; with one until `auto` has been measured."""
    torch.set_num_threads(1 if threads == "auto" else threads)


def available() -> int:
    """Return the cores that this process may use, divided among the processes that train together on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def step_seconds(
    step: Callable[[], object], candidates: Sequence[int], clock: Callable[[], float] = time.perf_counter
) -> dict[int, float]:
    """Return the median seconds of a step for each number of threads, tried in turn so that other load hits all alike.

    The first step of each does not count; `clock` returns seconds.
    """
    before = torch.get_num_threads()

    def with_threads(threads: int) -> None:
        torch.set_num_threads(threads)
        step()

    calls = {threads: partial(with_threads, threads) for threads in candidates}
    times = interleaved(calls, REPEATS, clock, LIMIT)
    torch.set_num_threads(before)
    return {threads: statistics.median(taken) for threads, taken in times.items()}


def trial_step(trainer: "Trainer") -> Callable[[], object]:
    """Return a training step of the trainer's size on another network, which changes nothing of the trainer."""
    config, images, process = trainer.config, trainer.images, trainer.process
    device = trainer.accelerator.device
    size = min(config.batch_size, len(images))
    n = len(range(size)[parts(trainer.accelerator, config, size)[0]])
    network = build_network(config, images.shape, images.classes).to(device).train()
    optimiser = build_optimiser(network, config.optimiser, config.lr, config.weight_decay, device)
    x0, y, noise = images.pixels(slice(n)).to(device), images.labels[:n].to(device), generator(0, "threads")

    def step() -> float:
        draws = process.draw(n, noise).to(device)
        with trainer.accelerator.autocast():
            loss = process.loss(network, x0, y, draws)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step


def choose_threads(trainer: "Trainer") -> int:
    """Measure a training step with one thread and with all that are there, and use the faster from now on.

    The processes that train together measure at the same time, and all take what the first one finds.
    """
    with torch.random.fork_rng(devices=[]):
        seconds = step_seconds(trial_step(trainer), sorted({1, available()}))
    chosen = broadcast_object_list([min(seconds, key=seconds.get)])[0]
    torch.set_num_threads(chosen)
    if trainer.accelerator.is_main_process:
        taken = ", ".join(f"{1000 * value:.0f} ms with {threads}" for threads, value in seconds.items())
        print(f"threads: {chosen} (a training step takes {taken})", flush=True)
    return chosen
