"""Times of calls: medians of interleaved repeats, and the matrix-multiply peak that they are compared with.

The clock is CPU seconds of this process by default: on one thread they are what the call takes on a core of its own,
and other processes change them little. Several calls are timed in turn, so that what does change (a busy neighbour's
caches and clock) changes all alike.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from thaw import data
from thaw.experiment.config import Config, override
from thaw.store.inputs import load_data
from thaw.training.optimisers import OptimiserStep
from thaw.training.parallel import build_accelerator
from thaw.training.trainer import Trainer

Clock = Callable[[], float]
Name = TypeVar("Name")


def interleaved(
    calls: Mapping[Name, Callable[[], object]], repeats: int, clock: Clock = time.process_time
) -> dict[Name, list[float]]:
    """Time calls in turn, round after round, after one round that does not count.

    Args:
        calls: name -> what to call.
        repeats: rounds that count.
        clock: `time.process_time` for CPU seconds of all threads, `time.perf_counter` for seconds on the wall.

    Returns:
        Name -> seconds, one number a round.
    """
    times: dict[Name, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            started = clock()
            call()
            times[name].append(clock() - started)
    return {name: found[1:] for name, found in times.items()}


def median_seconds(call: Callable[[], object], repeats: int = 9, clock: Clock = time.process_time) -> float:
    """Return the median time of a call; see `interleaved`."""
    return statistics.median(interleaved({"call": call}, repeats, clock)["call"])


def median_ratio(times: dict[Name, list[float]], of: Name, to: Name) -> float:
    """Return how many times longer `of` took than `to`: the median over the rounds of `interleaved`."""
    return statistics.median(a / b for a, b in zip(times[of], times[to], strict=True))


def matrix_product(size: int = 1024) -> tuple[Callable[[], object], int]:
    """Return a call that multiplies two float32 matrices, and its multiply-adds."""
    a = torch.randn(size, size)
    return lambda: a @ a, size**3


def matrix_peak(repeats: int = 9, clock: Clock = time.process_time) -> float:
    """Return the multiply-adds a second of float32 matrix products on this CPU, with the current threads.

    `clock` must be that of the time whose share of the peak is asked for.
    """
    call, work = matrix_product()
    return work / median_seconds(call, repeats, clock)


def training_step(config: Config) -> tuple[Callable[[], OptimiserStep], Trainer]:
    """Return a call that takes the next training step of a configuration, and the trainer that takes it.

    All that `thaw.train` does for a batch is in it: drawing indices, steps and noise, forward, backward, clipping, the
    optimiser and the moving average. Nothing is written, and it never ends.
    """
    config = override(config, {"data": data.resolve(config.data), "save_minutes": 1e9, "minutes": None})
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, load_data(config), Path(folder), build_accelerator(config))

    def steps() -> Iterator[OptimiserStep]:
        while True:
            yield from trainer.steps()
            trainer.end_epoch()

    return partial(next, steps()), trainer
