"""What lets a run end at any moment and go on as if it had not: its state on disk, written, found and kept tidy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from thaw.autoencoder import Coder
from thaw.base import ThawError, machines_of, write_text
from thaw.data import ImageSet, what_changed
from thaw.degradations import Degradation
from thaw.experiment import Config, differences
from thaw.store import coder_state, load_model, load_tensors, runs, save_tensors
from thaw.terminal import Terminal, fit_terminal
from thaw.training.parallel import check_same


def save(path: Path, config: Config, state: dict[str, Any], device: torch.device, done: bool) -> None:
    """Write a checkpoint of `Trainer.state_dict()`, and tidy the run up after it."""
    states = {name: state[name] for name in runs.STATES}
    context = {name: value for name, value in state.items() if name not in states}
    records = state["records"]
    performance = {"images_per_second": records[-1].get("images_per_second"), "seconds": state["seconds"]}
    performance |= {"device": str(device), "threads": torch.get_num_threads(), "machine": machines_of(records)}
    runs.save_checkpoint(path, config, states, context, performance)
    tidy(path, records, config.save_every, done)


def tidy(path: Path, records: list[dict[str, Any]], save_every: int, done: bool) -> None:
    """Write metrics.jsonl, one line an epoch, and drop the checkpoints that are older than the one at `path`.

    Kept are every `save_every`th epoch and, in case the newest is damaged one day, the one before it until the run is
    done.
    """
    write_text(path.parent / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in records))
    older = [p for p in runs.list_checkpoints(path.parent, partial=True) if p != path]
    spare = [] if done else older[-1:]
    for other in older:
        epoch, step = runs.position_of(other)
        if other not in spare and (step or epoch % save_every):
            runs.remove_checkpoint(other)


def newest(run: Path, config: Config, images: ImageSet, accelerator: Accelerator) -> runs.Checkpoint | None:
    """Return the newest checkpoint of the run that can be read, if there is any; say so where newer ones cannot.

    Raises:
        ThawError: if the run is another experiment's, its data set has changed, none of its checkpoints can be
            read, or the processes see different ones.
    """
    found, damaged = runs.load_newest(run)
    position = (found.context["epoch"], found.context.get("step", 0)) if found else (-1, 0)
    check_same(accelerator, position, run)  # all have read it: now the first one may tidy up
    if found is None:
        return None
    known = found.context.get("data")  # what earlier versions wrote has none
    differing = differences(found.config, config, {"data_path"} if known else set())
    if differing:
        raise ThawError(
            f"{run} holds a run with other settings ({differing}); choose another run directory or remove it"
        )
    changed = what_changed(known or {"classes": found.context["classes"]}, images)
    if changed:
        source = config.start_from if config.flow_map else config.data_path or config.data
        told = f"{source} is not what {run} was trained on: {changed}"
        raise ThawError(f"{told}; bring it back as it was, or choose another run directory")
    if accelerator.is_main_process:
        for path in damaged:
            runs.set_aside(path)
        runs.link_latest(run / ".latest", found.path)
    return found


def load_initial_weights(network: nn.Module, config: Config, images: ImageSet) -> None:
    """Give a run's network the weights of the model that `start_from` names.

    Where that was trained at one temperature and this is for several, all begin as that one.

    Raises:
        ThawError: if there is no such model, its network is another one, or its output means something else.
    """
    model = load_model(config.start_from)
    theirs = model.config.network_settings() | {"shape": model.process.shape, "classes": model.classes}
    ours = config.network_settings() | {"shape": images.shape, "classes": images.classes}
    if config.observed and "observed" in theirs:
        ours["observed"] = theirs["observed"]  # what they lack begins with zeros, as if it were not there
    if config.flow_map:
        theirs["flow_map"] = config.flow_map  # what a flow map has more begins with zeros too
    for name, value in ours.items():
        if theirs.get(name) != value:
            raise ThawError(
                f"a run cannot start from {config.start_from}: {name} is {theirs.get(name)!r} there and {value!r} "
                "here; make it alike, or begin with random weights by start_from=null"
            )
    network.load_state_dict(network.state_dict() | model.network.state_dict())
    low, high = model.process.tau
    if low == high and config.tau != (low, high) and (condition := getattr(network, "condition", None)) is not None:
        condition.hold_temperature(low)


def _stored(path: Path, read: Callable[[dict[str, Any]], Any], otherwise: str) -> Any:
    """Return what a file of a run that was started holds; None where it is damaged, which is said, or not there."""
    if path.is_file() and runs.list_checkpoints(path.parent):  # else it may be another experiment's
        try:
            return read(load_tensors(path))
        except ThawError as error:
            print(f"{error}; {otherwise} again.", flush=True)
    return None


def run_terminal(
    run: Path, config: Config, images: ImageSet, degradation: Degradation, accelerator: Accelerator
) -> Terminal:
    """Return the terminal of the run, fitted and stored when it starts; a damaged file is fitted again."""
    path = run / "terminal.pt"
    if (teacher := getattr(images, "teacher", None)) is not None:
        degradation.load_state(teacher.process.degradation.state())
    if (known := _stored(path, Terminal.from_state, "fitting the terminal")) is not None:
        return known
    told = images.labels, config.terminal_components, config.seed, config.study != "latent"
    terminal = teacher.terminal if teacher else fit_terminal(degradation, images.batches(), *told)
    if accelerator.is_main_process:
        save_tensors(path, terminal.state())
    return terminal


def keep_pairs(run: Path, images: ImageSet, degradation: Degradation, accelerator: Accelerator) -> None:
    """Let a degradation draw from the degraded pictures of pairs, and store some in the run for its checkpoints."""
    degradation.load_state({"pictures": images.degraded})
    path = run / "pairs.pt"
    if accelerator.is_main_process and _stored(path, bool, "storing pairs") is None:  # else another run's would be lost
        save_tensors(path, degradation.state())


def run_coder(run: Path, config: Config, images: ImageSet, accelerator: Accelerator) -> Coder | None:
    """Return the autoencoder behind a run on latents, stored in the run when it starts; None for images.

    Raises:
        ThawError: if the run was started in the latent of another one.
    """
    coder = getattr(images, "coder", None)
    if coder is None:
        return None
    path = run / "coder.pt"
    before = _stored(path, lambda state: state.get("digest"), "storing the autoencoder")
    if before not in (None, coder.digest):
        raise ThawError(
            f"{run} was started in the latent of an autoencoder with the hash {before[:12]}, and "
            f"{config.autoencoder} has {coder.digest[:12]}; choose another run directory or remove it"
        )
    if before is None and accelerator.is_main_process:
        save_tensors(path, coder_state(coder))
    return coder.to(accelerator.device)
