"""Run directories: checkpoints that are complete or not there, the newest that can be read, one process at a time."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from thaw.base import ThawError, check_target, make_folder, replacing, sha256, user_path
from thaw.experiment import Config, make_config
from thaw.store.tensors import load_tensors, write_tensors

RUNS = Path("contents/runs")
STATES = ("model", "ema", "optimiser", "rng")
FILES = (*(f"{name}.pt" for name in STATES), "cfg.yaml", "ctx.yaml", "perf.yaml")
WRITTEN = ("metrics.jsonl", "terminal.pt", "coder.pt", "scores", "tracker.json", "samples", "plots")
WRITTEN += ("pairs.pt", "01_ddpm.ipynb", "02_custom_degradation.ipynb", "03_latent_flow.ipynb", "06_few_steps.ipynb")
SUMS = "SHA256SUMS"  # as `sha256sum --check` reads it; torch itself would not notice a flipped bit


class Checkpoint(NamedTuple):
    """What a checkpoint directory holds."""

    path: Path
    config: Config
    states: dict[str, dict[str, Any]]  # name in STATES -> tensors and plain values
    context: dict[str, Any]  # where training stood


def link_latest(link: Path, target: Path) -> None:
    """Point a relative symbolic link at `target`, atomically."""
    with replacing(link, over="link") as temporary:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.path.relpath(target, link.parent))


def checkpoint_name(epoch: int, step: int = 0) -> str:
    """Return the name of a checkpoint: `epoch_0020`, or `epoch_0020_step_000117` so many steps into the next epoch."""
    return f"epoch_{epoch:04d}" + (f"_step_{step:06d}" if step else "")


def position_of(path: Path) -> tuple[int, int]:
    """Return (complete epochs, further steps) of a checkpoint directory, by its name."""
    numbers = re.fullmatch(r"epoch_(\d+)(?:_step_(\d+))?", path.name)
    return int(numbers[1]), int(numbers[2] or 0)


def epoch_of(path: Path) -> int:
    """Return the epoch that a checkpoint directory `epoch_NNNN` stands at."""
    return position_of(path)[0]


def list_checkpoints(run: Path, partial: bool = False) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first; with `partial`, those within an epoch too."""
    name = r"epoch_\d+(_step_\d+)?" if partial else r"epoch_\d+"
    found = [p for p in run.glob("epoch_[0-9]*") if p.is_dir() and re.fullmatch(name, p.name)]
    return sorted(found, key=position_of)


def save_checkpoint(
    path: Path, config: Config, states: dict[str, dict[str, Any]], context: dict[str, Any],
    performance: dict[str, Any],
) -> Path:  # fmt: skip
    """Write a checkpoint directory with all states; it appears only when complete. `.latest` links follow.

    Raises:
        ThawError: if the disk is full or cannot be written; older checkpoints are left as they are.
    """
    with replacing(path, over="folder") as temporary:
        temporary.mkdir()
        for name in STATES:
            write_tensors(states[name], temporary / f"{name}.pt")
        for name, values in (("cfg", config.model_dump(mode="json")), ("ctx", context), ("perf", performance)):
            (temporary / f"{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        sums = [f"{sha256(temporary / name)}  {name}\n" for name in FILES]
        (temporary / SUMS).write_text("".join(sums))
    link_latest(path.parent / ".latest", path)
    link_latest(path.parent.parent / ".latest", path.parent)
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint directory.

    Raises:
        ThawError: naming the file that is missing, damaged, or not what was written.
    """
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise ThawError(f"{path} is not a complete checkpoint: {', '.join(missing)} is missing")
    config = stored_config(read_yaml(path / "cfg.yaml"), path / "cfg.yaml")
    context = read_yaml(path / "ctx.yaml")
    states = {name: load_tensors(path / f"{name}.pt") for name in STATES}
    if (path / SUMS).is_file():  # checkpoints of earlier versions have none
        listed = set((path / SUMS).read_text(errors="replace").splitlines())
        for name in FILES:
            if f"{sha256(path / name)}  {name}" not in listed:
                raise ThawError(f"{path / name} is not what was written: it differs from its checksum in {SUMS}")
    return Checkpoint(path, config, states, context)


def stored_config(values: dict[str, Any], where: str | Path) -> Config:
    """Validate the configuration in a checkpoint or in weights; one of earlier versions may say `threads: auto`."""
    if isinstance(values, dict) and values.get("threads") == "auto":
        values = values | {"threads": 1}
    return make_config(values, str(where))


def load_newest(run: Path) -> tuple[Checkpoint | None, list[Path]]:
    """Read the newest checkpoint of a run that can be read, and say which newer ones cannot.

    Returns:
        The checkpoint, None for a run that has none, and the paths of the newer, damaged ones.

    Raises:
        ThawError: if there are checkpoints and none can be read.
    """
    damaged: dict[Path, ThawError] = {}
    for path in reversed(list_checkpoints(run, partial=True)):
        try:
            found = load_checkpoint(path)
        except ThawError as error:
            damaged[path] = error
            continue
        for newer, error in damaged.items():
            print(f"{newer.name} of {run} cannot be read ({error}); taking {path.name}, the one before.", flush=True)
        return found, list(damaged)
    if damaged:
        path, error = next(iter(damaged.items()))
        raise ThawError(f"{error}; no other checkpoint in {run} can be read: restore {path.name}, or remove the run")
    return None, []


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of a checkpoint; a `ThawError` if it is damaged."""
    try:
        values = yaml.safe_load(path.read_text())  # as it was written
    except (yaml.YAMLError, UnicodeDecodeError):
        values = None
    if not isinstance(values, dict):
        raise ThawError(f"{path} is damaged")
    return values


def checkpoint_digest(path: Path) -> str:
    """Return the SHA-256 of the parts of a checkpoint that its samples depend on."""
    files = [path / "ema.pt", path / "cfg.yaml", path.parent / "terminal.pt", path.parent / "coder.pt"]
    parts = "".join(sha256(part) for part in files if part.name != "coder.pt" or part.is_file())
    return hashlib.sha256(parts.encode()).hexdigest()


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint: renamed away first, so that a half-removed one is never mistaken for complete."""
    doomed = path.with_name(f".{path.name}.removed")
    os.replace(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint to `damaged_<name>`, where training does not see it any more."""
    aside = path.with_name(f"damaged_{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    return path.replace(aside)


def check_run(path: str | Path, inputs: Iterable[str | Path | None] = ()) -> Path:
    """Return a run directory that training may fill: new, a run's, or at least without what it would replace.

    Raises:
        ThawError: see `thaw.base.files.check_target`; for a file, say, or a folder within the images to train on.
    """
    run = user_path(path)
    ours = next(iter(list_checkpoints(run, partial=True)), run / ".lock")
    return check_target(path, folder="filled", inputs=inputs, also=[run / name for name in WRITTEN], sign=ours)


@contextlib.contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """Hold a run directory for this process: created, writable, and cleared of what a killed process left half-done.

    The lock is the system's: it ends with the process, however that ends.

    Raises:
        ThawError: if the folder cannot be written, or another process trains in it.
    """
    make_folder(check_run(run))
    with open(run / ".lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            who = lock.read().strip() or "unknown"
            raise ThawError(
                f"another process ({who}) is training in {run}; wait for it to end, or choose another run directory"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
        _clear(run)
        yield


def _clear(run: Path) -> None:
    """Remove the temporary files and folders of a process that was killed while it wrote."""
    patterns = (".epoch_*", ".terminal.*", ".coder.*", ".metrics.*", ".scores.*", ".tracker.*", "..latest.*")
    patterns += (".pairs.*", "samples/.epoch_*")
    for leftover in [path for pattern in patterns for path in run.glob(pattern)]:
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
