"""What lets a run end at any moment and go on as if it had not: its state on disk, Ctrl-C put off till it is safe."""

import json
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from thaw.autoencoder import Coder
from thaw.base.errors import ThawError
from thaw.base.files import write_text
from thaw.base.machine import machines_of
from thaw.data import ImageSet, what_changed
from thaw.experiment.config import Config, differences
from thaw.store import runs
from thaw.store.tensors import load_tensors, save_tensors
from thaw.store.weights import coder_state, load_model
from thaw.terminal import Terminal, fit_terminal
from thaw.training.parallel import check_same

if TYPE_CHECKING:
    from thaw.training.trainer import Trainer


class Interrupts:
    """Within the block, the first Ctrl-C (or SIGTERM) only sets `asked`; a second one acts at once.

    Only the main thread hears signals; in any other one nothing changes. The block may be entered again.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if self.asked is None and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def _note(self, number: int, _: object) -> None:
        self.asked = number
        self.__exit__()

    def act(self) -> None:
        """Do what the signal asked for, if one came: KeyboardInterrupt, or exit code 143."""
        if self.asked == signal.SIGINT:
            raise KeyboardInterrupt
        if self.asked is not None:
            sys.exit(128 + self.asked)


def save(trainer: "Trainer", step: int = 0) -> Path:
    """Write a checkpoint: of complete epochs, or `step` steps into the next one.  Older ones are dropped.

    Kept are every `save_every`th epoch and, in case the newest is damaged one day, the one before it
    until the run is done. In a run of several processes the first one writes.
    """
    path, done = trainer.run / runs.checkpoint_name(trainer.epoch, step), trainer.done
    if not trainer.accelerator.is_main_process or path.is_dir():  # the latter where it has just been loaded
        return path
    rng: dict[str, Any] = {"torch": torch.get_rng_state(), "averaged": trainer.ema.n_averaged}
    if step:
        rng |= {"noise": trainer.noise.get_state(), "loss": trainer.loss}
        if trainer.loss.is_cuda:
            rng["cuda"] = [torch.cuda.get_rng_state(trainer.loss.device)]
    states = {
        "model": trainer.bare.state_dict(),
        "ema": trainer.ema.module.state_dict(),
        "optimiser": trainer.optimiser.state_dict(),
        "rng": rng,
    }
    context = {"epoch": trainer.epoch, "step": step, "images": trainer.seen, "seconds": trainer.seconds}
    context |= {"running": trainer.running, "number": trainer.number, "points": trainer.points}
    context |= {"shape": list(trainer.images.shape), "classes": trainer.images.classes, "records": trainer.records}
    context["data"] = trainer.images.fingerprint
    performance = {"images_per_second": trainer.records[-1].get("images_per_second"), "seconds": trainer.seconds}
    performance |= {"device": str(trainer.accelerator.device), "threads": torch.get_num_threads()}
    performance |= {"machine": machines_of(trainer.records)}
    runs.save_checkpoint(path, trainer.config, states, context, performance)
    write_metrics(trainer)
    _drop_older(trainer, path, done)
    return path


def _drop_older(trainer: "Trainer", newest: Path, done: bool) -> None:
    older = [p for p in runs.list_checkpoints(trainer.run, partial=True) if p != newest]
    spare = [] if done else older[-1:]
    for path in older:
        epoch, step = runs.position_of(path)
        if path not in spare and (step or epoch % trainer.config.save_every):
            runs.remove_checkpoint(path)


def write_metrics(trainer: "Trainer") -> None:
    """Write metrics.jsonl, one line an epoch."""
    write_text(trainer.run / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in trainer.records))


def resume(trainer: "Trainer") -> bool:
    """Load the newest checkpoint of the run that can be read, if there is any; say so where newer ones cannot.

    Raises:
        ThawError: if the run is another experiment's, its data set has changed, none of its checkpoints can be
            read, or the processes see different ones.
    """
    found, damaged = runs.load_newest(trainer.run)
    position = (found.context["epoch"], found.context.get("step", 0)) if found else (-1, 0)
    check_same(trainer.accelerator, position, trainer.run)  # all have read it: now the first one may tidy up
    if found is None:
        return False
    known = found.context.get("data")  # what earlier versions wrote has none
    differing = differences(found.config, trainer.config, {"data_path"} if known else set())
    if differing:
        raise ThawError(
            f"{trainer.run} holds a run with other settings ({differing}); choose another run directory or remove it"
        )
    changed = what_changed(known or {"classes": found.context["classes"]}, trainer.images)
    if changed:
        where = trainer.config.data_path or trainer.config.data
        raise ThawError(
            f"{where} is not what {trainer.run} was trained on: {changed}; bring the images back, or choose another "
            "run directory"
        )
    if trainer.accelerator.is_main_process:
        for path in damaged:
            runs.set_aside(path)
        runs.link_latest(trainer.run / ".latest", found.path)
    states, context = found.states, found.context
    trainer.bare.load_state_dict(states["model"])
    trainer.ema.module.load_state_dict(states["ema"])
    trainer.optimiser.load_state_dict(states["optimiser"])
    trainer.ema.n_averaged.copy_(states["rng"]["averaged"])
    torch.set_rng_state(states["rng"]["torch"])
    trainer.epoch, trainer.seconds, trainer.records = context["epoch"], context["seconds"], context["records"]
    trainer.seen, trainer.index, trainer.points = context["images"], context.get("step", 0), context.get("points", [])
    if trainer.config.threads == "auto":
        torch.set_num_threads(runs.read_yaml(found.path / "perf.yaml")["threads"])  # as it was measured
    if trainer.index:
        trainer.running, trainer.number = context["running"], context["number"]
        trainer.noise.set_state(states["rng"]["noise"])
        trainer.loss.copy_(states["rng"]["loss"])
        if trainer.loss.is_cuda and "cuda" in states["rng"]:
            torch.cuda.set_rng_state(states["rng"]["cuda"][0], trainer.loss.device)
    done = trainer.done and not trainer.index  # within an epoch, the last complete one is what the run has come to
    if trainer.accelerator.is_main_process:  # the process may have died between the checkpoint and what follows it
        write_metrics(trainer)
        _drop_older(trainer, found.path, done)
    return True


def last_complete(trainer: "Trainer") -> Path:
    """Return the checkpoint of the last complete epoch of a run that is done, whose average the trainer then holds.

    The newest may stand within the next epoch, where `epochs` or `minutes` were lowered after an interrupt.
    """
    path = trainer.run / runs.checkpoint_name(trainer.epoch)
    if not trainer.index:
        return path
    if not path.is_dir():  # dropped by an earlier version
        return trainer.run / runs.checkpoint_name(trainer.epoch, trainer.index)
    trainer.ema.module.load_state_dict(runs.load_checkpoint(path).states["ema"])
    return path


def begin_with(network: nn.Module, config: Config, images: ImageSet) -> None:
    """Give a run's network the weights of the model that `start_from` names.

    Raises:
        ThawError: if there is no such model, its network is another one, or its output means something else.
    """
    model = load_model(config.start_from)
    theirs = model.config.network_settings() | {"shape": model.process.shape, "classes": model.classes}
    ours = config.network_settings() | {"shape": images.shape, "classes": images.classes}
    for name, value in ours.items():
        if theirs.get(name) != value:
            raise ThawError(
                f"a run cannot start from {config.start_from}: {name} is {theirs.get(name)!r} there and {value!r} "
                "here; make it alike, or leave start_from out"
            )
    network.load_state_dict(model.network.state_dict())


def run_terminal(trainer: "Trainer") -> Terminal:
    """Return the terminal of the run, fitted and stored when it starts; a damaged file is fitted again."""
    path = trainer.run / "terminal.pt"
    if path.is_file() and runs.list_checkpoints(trainer.run):  # else it may be another experiment's
        try:
            return Terminal.from_state(load_tensors(path))
        except ThawError as error:
            print(f"{error}; fitting the terminal again.", flush=True)
    config = trainer.config
    images, components = trainer.images, config.terminal_components
    terminal = fit_terminal(trainer.process.degradation, images.batches(), images.labels, components, config.seed)
    if trainer.accelerator.is_main_process:
        save_tensors(path, terminal.state())
    return terminal


def run_coder(trainer: "Trainer") -> Coder | None:
    """Return the autoencoder behind a run on latents, stored in the run when it starts; None for images.

    Raises:
        ThawError: if the run was started in the latent of another one.
    """
    coder = getattr(trainer.images, "coder", None)
    if coder is None:
        return None
    path, before = trainer.run / "coder.pt", None
    if path.is_file() and runs.list_checkpoints(trainer.run):
        try:
            before = load_tensors(path).get("digest")
        except ThawError as error:
            print(f"{error}; storing the autoencoder again.", flush=True)
    if before not in (None, coder.digest):
        raise ThawError(
            f"{trainer.run} was started in the latent of an autoencoder with the hash {before[:12]}, and "
            f"{trainer.config.autoencoder} has {coder.digest[:12]}; choose another run directory or remove it"
        )
    if before is None and trainer.accelerator.is_main_process:
        save_tensors(path, coder_state(coder))
    return coder.to(trainer.accelerator.device)
