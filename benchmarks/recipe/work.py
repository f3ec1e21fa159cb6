"""Run every trial that has no log yet, in the order of trials.yaml; start one worker a core.

python benchmarks/recipe/work.py [--until 'HH:MM']
"""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import yaml

from thaw.cli import options as o

HERE = Path(__file__).parent
CLAIMS = Path("contents/recipe/claims")


def claim(failed: set[str]) -> tuple[str, int, bool, IO[str]] | None:
    """Take the first trial and seed without a log that no living worker holds, with the lock on it."""
    from trial import LOGS, load_trials

    CLAIMS.mkdir(parents=True, exist_ok=True)
    for name, settings in load_trials().items():
        for seed in settings["seeds"] if name not in failed else []:
            stem = f"{name}_{seed}"
            if (LOGS / f"{stem}.json").exists():
                continue
            handle = (CLAIMS / stem).open("w")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
                continue
            if (LOGS / f"{stem}.json").exists():  # finished between the two looks
                handle.close()
                continue
            return name, seed, settings["malloc"], handle
    return None


Until = o.word("start none after this time of day, HH:MM")
Wait = o.flag("for trials to be added")


def main(*, until: Until = None, wait: Wait = False) -> None:
    """Run trials, each in a process of its own, until none is left."""
    failed: set[str] = set()
    while not (until and time.strftime("%H:%M") >= until):
        try:
            found = claim(failed)
        except yaml.YAMLError as error:  # being edited
            print(error)
            found = None
        if found is None:
            if not wait:
                break
            time.sleep(5)
            continue
        name, seed, malloc, lock = found
        environment = dict(os.environ)
        if malloc:
            environment |= {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31)}
        done = subprocess.run([sys.executable, str(HERE / "trial.py"), name, str(seed)], env=environment)
        if done.returncode:
            print(f"{name} failed", flush=True)
            failed.add(name)
        lock.close()


if __name__ == "__main__":
    sys.exit(o.run(main))
