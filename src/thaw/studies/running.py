"""Doing a plan: the stages that are not done yet, side by side, each as soon as what it needs is there."""

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thaw.base import ThawError, make_folder
from thaw.degradations import registered
from thaw.report.notebooks import now_and_then
from thaw.store import run_lock
from thaw.studies.paper import spend, write_paper
from thaw.studies.plan import Plan
from thaw.studies.stages import Stage, all_stages, perform

OFTEN = 20.0  # seconds between lines that tell that work goes on


@dataclass
class Study:
    """A plan and what has come of it."""

    plan: Plan  # what is done
    say: Callable[[str], None] = print  # told each line of progress
    pace: float = 1.0  # how many times longer stages took than they were expected to, so far

    @property
    def stages(self) -> dict[str, Stage]:
        """Stages by name, in order."""
        return all_stages(self.plan)

    def left(self) -> list[Stage]:
        """Return the stages that are not done yet."""
        return [stage for stage in self.stages.values() if stage.result(self.plan) is None]

    def do(self, name: str) -> Any:
        """Run one stage here, unless it was done before, and return what it found."""
        for needed in self.stages[name].needs:
            self.do(needed)
        return self.stages[name].run(self.plan)

    def run(self) -> list[Path]:
        """Run what is left and write the paper; return the files that a reader wants first.

        It may be killed at any moment: run again, it goes on. What a stage had found is not found again, and a training
        goes on within its epoch.

        Raises:
            ThawError: if another process works in the same folder, or a stage fails.
        """
        plan = self.plan
        make_folder(plan.path)
        # What was registered in a notebook's cell is known in this process alone.
        of_a_cell = not plan.source and not registered()[plan.config().degradation].__module__.startswith("thaw.")
        workers = 1 if of_a_cell else plan.workers
        with run_lock(plan.path):
            with _Here() if workers == 1 else _pool(workers) as pool:
                self._stages(pool, workers)
            self.say("The paper ...")
            return write_paper(plan)

    def _time_left(self, running: dict[str, float], workers: int) -> str:
        """Return about how long the rest takes, in words, by what was measured of this machine."""
        now = time.monotonic()
        rest = {stage.name: stage.seconds for stage in self.left()}
        gone = {name: min(now - begun, 0.95 * rest.get(name, 0.0)) for name, begun in running.items()}
        alone = [rest[name] - gone[name] for name in running if name in rest]
        seconds = self.pace * max([(sum(rest.values()) - sum(gone.values())) / workers, *alone]) + 15
        return f"about {max(1, round(seconds / 60))} min left"

    def _stages(self, pool: Executor, workers: int) -> None:
        """Run the stages that are left, as many at once as there are workers, and tell how it goes on."""
        started = noted = time.monotonic()
        stages, waiting = self.stages, {stage.name: stage for stage in self.left()}
        running: dict[Future, str] = {}
        begun: dict[str, float] = {}
        finished: list[tuple[float, float]] = []

        def tell(what: str) -> None:
            seconds = int(time.monotonic() - started)
            self.say(f"{seconds // 60:3d}:{seconds % 60:02d}  {what}; {self._time_left(dict(begun), workers)}")

        with now_and_then(lambda: tell(f"... {' and '.join(stages[name].about for name in [*begun])}"), OFTEN):
            while waiting or running:
                ready = [s for s in waiting.values() if not set(s.needs) & (waiting.keys() | begun.keys())]
                for stage in ready[: workers - len(running)]:
                    begun[stage.name] = time.monotonic()
                    tell(stage.about)
                    del waiting[stage.name]
                    running[pool.submit(perform, self.plan, stage.name)] = stage.name
                done, _ = wait(running, timeout=5.0, return_when=FIRST_COMPLETED)
                now = time.monotonic()
                spend(self.plan, now - noted)
                noted = now
                for future in done:
                    stage = stages[running.pop(future)]
                    took = now - begun.pop(stage.name)
                    _check(future, stage)
                    finished.append((took, stage.seconds))
                    self.pace = sum(took for took, _ in finished) / sum(meant for _, meant in finished)
                    tell(f"{stage.about}: done in {took:.0f} s")


class _Here(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _check(future: Future, stage: Stage) -> None:
    """Raise a `ThawError` if a stage failed."""
    try:
        future.result()
    except ThawError as error:
        raise ThawError(f"{stage.about}: {error}") from None
    except BrokenProcessPool:
        raise ThawError(f"{stage.about}: its process ended (out of memory?); the same command goes on") from None
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise ThawError(f"{stage.about} failed: {told}") from error


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes that end with this one, and at once where the block fails."""
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()  # a training writes what it has
        raise


def _begin() -> None:
    """Let this process end when its parent does, however that ends."""
    os.environ["THAW_HEADLESS"] = "1"

    def follow() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
