"""How much a study does within a time: epochs, pictures, temperatures, by what this machine was measured to take."""

import statistics
import time
import timeit
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import torch

from thaw.base import generator
from thaw.data import ImageSet
from thaw.experiment import Config, build_model, build_network, build_process
from thaw.process import Process
from thaw.terminal import Terminal

SEEDS = 3  # trainings, each with its own samples: what the spread is of
GRID = (0.0, 0.5, 1.0, 1.5, 2.0)  # temperatures
WHOLE = 0.85  # share of the time that is planned: the rest is for what takes longer than was measured
WHOLE_SET, PASSES = 60_000, 200  # images that SIZES are of: of fewer, more epochs, at most so many for each
FIXED = 300.0  # seconds of one core for what does not depend on the size: budget, ceiling, hot prior, paper


class Size(NamedTuple):
    """How much is done: passes over a share of the training images, samples a score, temperatures."""

    epochs: int
    share: float
    n: int
    taus: tuple[float, ...]


EQUAL_N = 500  # samples that the eleven are scored by, after 2 and 5 epochs, at up to three temperatures
# From what a few minutes are enough for to what takes hours.
SIZES = (
    Size(1, 0.25, 256, (0.0, 1.0, 2.0)),
    Size(1, 0.5, 256, (0.0, 1.0, 2.0)),
    Size(1, 1.0, 256, GRID),
    Size(2, 1.0, 256, GRID),
    Size(2, 1.0, 500, GRID),
    Size(5, 1.0, 500, GRID),
    Size(5, 1.0, 1000, GRID),
    Size(10, 1.0, 1000, GRID),
    Size(20, 1.0, 2000, GRID),
    Size(40, 1.0, 5000, GRID),
)


def process_of(config: Config, images: ImageSet) -> Process:
    """Return the process of a configuration; that of pairs knows their degraded pictures."""
    process = build_process(config, images.shape)
    if config.paired:
        process.degradation.load_state({"pictures": images.degraded})
    return process


def predict(config: Config, used: float, size: Size, seconds: tuple[float, float, float]) -> dict[str, float]:
    """Return how many seconds of one core a training, its curve and its restorations take; see `Plan.seconds`."""
    step, each, held = seconds
    steps = config.sample_steps or 28
    low, high = config.guidance_interval
    scored = (len(size.taus) + 1) * size.n + 3 * EQUAL_N * (config.data == "mnist" and size.n != EQUAL_N)
    few, draws = min(size.n, 500), 7 * 125
    restored = steps * (held * (3 * few + draws) + (0 if config.paired else each * (few + draws)))
    return {
        "train": step * size.epochs * used / config.batch_size + 10,
        "curve": 0.0 if config.paired else scored * (each * steps * (1 + high - low) + 0.005) + 4,
        "restored": restored + 10,
    }


def measure_speed(config: Config, images: ImageSet) -> tuple[float, float, float]:
    """Return what `Plan.seconds` are, all with the degradation's work."""
    torch.set_num_threads(config.threads)
    process, draws = process_of(config, images), generator(0, "speed")
    network = build_network(config, images.shape, images.classes)
    chosen = torch.arange(min(config.batch_size, len(images)))
    x0, y = images.pixels(chosen), images.labels[chosen]

    def step() -> None:
        process.loss(network, x0, y, process.draw(len(x0), draws)).backward()

    start = Terminal.point(process.degradation.coordinates(x0[:1])[0])
    model = build_model(config, process, network.eval(), start, images.classes)

    def draw() -> None:
        for _ in islice(model.trajectory(model.labels(125), guidance=1.0, tau=1.0), 4):
            pass

    few = min(4, process.steps)
    z = process.degradation.draw_z(len(x0), draws)
    x_T = process.degradation(x0, torch.full((len(x0),), process.steps), z)

    def hold() -> None:
        how = {"tau": process.tau[0], "steps": few, "consistent": not config.paired}
        model.restore(x_T, process.steps, z=z, **how)

    network.train()
    learnt = _median(step)
    network.eval()
    return 1.15 * learnt, _median(draw) / (3 * 125), _median(hold) / (few * len(x0))  # the optimiser takes some 15 %


def _median(work: Callable[[], None]) -> float:
    """Return the median of the processor's time that a piece of work takes, in seconds, the first time left out.

    What else the machine does in these moments says nothing of the next half hour.
    """
    return statistics.median(timeit.repeat(work, number=1, repeat=6, timer=time.process_time)[1:])


def sizes_for(images: int) -> tuple[Size, ...]:
    """Return `SIZES`, with more epochs, and all images in each, where there are few."""
    more = min(PASSES, WHOLE_SET // images)
    few = tuple(one._replace(epochs=round(more * one.share * one.epochs), share=1.0) for one in SIZES)
    return few if more > 1 else SIZES


def fitting(config: Config, images: int, minutes: float, workers: int, seconds: tuple[float, float]) -> Size:
    """Return the largest size that fits into the minutes; the smallest where none does."""
    time_left = WHOLE * 60 * minutes * workers - FIXED
    images = min(images, config.limit or images)
    sizes = sizes_for(images)
    fits = [
        size for size in sizes
        if SEEDS * sum(predict(config, size.share * images, size, seconds).values()) <= time_left
    ]  # fmt: skip
    return fits[-1] if fits else sizes[0]
