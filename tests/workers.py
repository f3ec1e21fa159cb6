"""Trainings in processes of their own, which may be killed, or two that train one model."""

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import torch
from runs import configure

from thaw.training.loop import train
from thaw.training.trainer import Trainer

SMALL = {"epochs": 4, "limit": 96, "save_every": 3, "dropout": 0.1, "save_minutes": 0.0}  # a checkpoint every step
FILE_OPERATIONS = (
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.symlink",
    "fcntl.flock",
    "shutil.rmtree",
)


def work(path: Path, values: dict, seconds: float | None, operations: int | None, started, spent) -> None:
    """Train in a process of its own; it dies by SIGKILL after `seconds` of CPU time, or at a file operation."""
    torch.set_num_threads(1)
    began, inside = time.process_time(), False

    def watch() -> None:
        while time.process_time() - began < seconds:
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGKILL)

    def die(event: str, _: tuple) -> None:
        nonlocal operations
        if inside and event in FILE_OPERATIONS:
            operations -= 1
            if operations < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    if seconds is not None:
        threading.Thread(target=watch, daemon=True).start()
    if operations is not None:
        sys.addaudithook(die)
    started.set()
    training = train(configure(**values), path, progress=False)
    inside = True
    for _ in training:
        pass
    inside = False
    spent.value = time.process_time() - began


def start(processes, path: Path, seconds: float | None = None, operations: int | None = None, **values):
    """Start a training process and wait until it begins; it tells the CPU time that it `spent`."""
    started, spent = processes.Event(), processes.Value("d", 0.0)
    process = processes.Process(target=work, args=(path, SMALL | values, seconds, operations, started, spent))
    process.start()
    assert started.wait(300)
    process.spent = spent
    return process


WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.truncate", "shutil.rmtree")


def half(path: Path, out: Path, values: dict, rank: int, port: int, until: int | None) -> None:
    """Be one of two processes that train a model; leave its states, and what it wrote in the run, in `out`."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"}
    torch.set_num_threads(1)
    written, seen, save = [], {}, Trainer.save

    def note(event: str, arguments: tuple) -> None:
        changes = event in CHANGES or (event == "open" and (arguments[2] or 0) & WRITES)
        if changes and str(arguments[0]).startswith(str(path)):
            written.append(f"{event} {arguments[0]}")

    def spy(trainer: Trainer) -> Path:
        seen["trainer"] = trainer
        return save(trainer)

    sys.addaudithook(note)
    Trainer.save = spy
    for epoch in train(configure(**values), path, progress=False):
        if epoch.epoch == until:
            break
    if epoch.before:
        torch.save(epoch.model.network.state_dict() | {"written": written}, out / f"rank{rank}.pt")
        return
    trainer = seen["trainer"]
    parts = {"model": trainer.bare, "ema": trainer.ema, "optimiser": trainer.optimiser}
    content = {name: part.state_dict() for name, part in parts.items()}
    torch.save(content | {"written": written, "draws": trainer.noise.get_state()}, out / f"rank{rank}.pt")


def start_two(processes, path: Path, out: Path, until: int | None = None, **values) -> list:
    """Start two gloo processes on the CPU."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pair = [processes.Process(target=half, args=(path, out, values, rank, port, until)) for rank in range(2)]
    for process in pair:
        process.start()
    return pair


def train_two(processes, path: Path, out: Path, until: int | None = None, **values) -> list[dict]:
    """Train with two processes, and return what each one left."""
    out.mkdir(exist_ok=True)
    pair = start_two(processes, path, out, until, **values)
    for process in pair:
        process.join(300)
    assert [process.exitcode for process in pair] == [0, 0]
    return [torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
