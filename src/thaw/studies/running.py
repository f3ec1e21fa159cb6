"""Doing a plan: the stages that are not done yet, side by side, each as soon as what it needs is there."""

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thaw.base.errors import ThawError
from thaw.base.files import make_folder
from thaw.degradations import registered
from thaw.store.runs import run_lock
from thaw.studies.paper import spend, write_paper
from thaw.studies.plan import Plan
from thaw.studies.stages import Stage, all_stages, perform

OFTEN = 20.0  # seconds between lines that tell that work goes on


@dataclass
class Study:
    """A plan and what has come of it.

    Attributes:
        plan: what is done.
        say: told each line of progress.
        pace: how many times longer stages took than they were expected to, so far.
    """

    plan: Plan
    say: Callable[[str], None] = print
    pace: float = 1.0

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
        make_folder(self.plan.path)
        with run_lock(self.plan.path):
            started = time.monotonic()
            if self.plan.workers > 1 and (self.plan.source or not _of_a_cell(self.plan)):
                self._side_by_side(started)
            else:  # what was registered in a notebook's cell is known in this process alone
                self._one_by_one(started)
            self.say(f"{_clock(started)}  the paper")
            return write_paper(self.plan)

    def _time_left(self, running: dict[str, float], workers: int) -> str:
        """Return about how long the rest takes, in words, by what was measured of this machine."""
        now = time.monotonic()
        rest = {stage.name: stage.seconds for stage in self.left()}
        gone = {name: min(now - begun, 0.95 * rest.get(name, 0.0)) for name, begun in running.items()}
        alone = [rest[name] - gone[name] for name in running if name in rest]
        seconds = self.pace * max([(sum(rest.values()) - sum(gone.values())) / workers, *alone]) + 15
        return f"about {max(1, round(seconds / 60))} min left"

    def _one_by_one(self, started: float) -> None:
        """Run the stages in this process, telling now and then that work goes on."""
        for stage in self.left():
            self.say(f"{_clock(started)}  {stage.about}; {self._time_left({}, 1)}")
            began, done = time.monotonic(), threading.Event()

            def tell(stage: Stage = stage, began: float = began, done: threading.Event = done) -> None:
                while not done.wait(OFTEN):
                    self.say(f"{_clock(started)}  ... {stage.about}; {self._time_left({stage.name: began}, 1)}")

            watcher = threading.Thread(target=tell, daemon=True)
            watcher.start()
            try:
                stage.run(self.plan)
            finally:
                done.set()
                watcher.join()
            spend(self.plan, time.monotonic() - began)

    def _side_by_side(self, started: float) -> None:
        """Run the stages in processes of their own, whose end a kill of this one is too."""
        workers, told = self.plan.workers, time.monotonic()
        context = multiprocessing.get_context("spawn")
        with _pool(workers, context) as pool:
            waiting, running, begun = {stage.name: stage for stage in self.left()}, {}, {}
            noted, finished = time.monotonic(), []
            while waiting or running:
                ready = [s for s in waiting.values() if not set(s.needs) & (waiting.keys() | set(running.values()))]
                for stage in ready[: workers - len(running)]:
                    del waiting[stage.name]
                    running[pool.submit(perform, self.plan, stage.name)] = stage.name
                    begun[stage.name] = time.monotonic()
                    self.say(f"{_clock(started)}  {stage.about}")
                done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
                if done:
                    spend(self.plan, time.monotonic() - noted)
                    noted = time.monotonic()
                for future in done:
                    name = running.pop(future)
                    _check(future, self.stages[name])
                    took = time.monotonic() - begun.pop(name)
                    finished.append((took, self.stages[name].seconds))
                    self.pace = sum(took for took, _ in finished) / sum(meant for _, meant in finished)
                    self.say(f"{_clock(started)}  {self.stages[name].about}: done in {took:.0f} s; "
                             f"{self._time_left(begun, workers)}")  # fmt: skip
                    told = time.monotonic()
                if time.monotonic() - told > OFTEN:
                    what = " and ".join(self.stages[name].about for name in running.values())
                    self.say(f"{_clock(started)}  ... {what}; {self._time_left(begun, workers)}")
                    told = time.monotonic()


def _of_a_cell(plan: Plan) -> bool:
    """Tell whether the degradation is known in this process alone."""
    return not registered()[plan.name].__module__.startswith("thaw.")


def _clock(started: float) -> str:
    """Return the time since the study began, 3:07."""
    seconds = int(time.monotonic() - started)
    return f"{seconds // 60:3d}:{seconds % 60:02d}"


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
def _pool(workers: int, context: Any) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of processes that end with this one, and at once where the block fails."""
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
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
