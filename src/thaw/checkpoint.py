"""Weights on disk: run directories, per-epoch checkpoints, released files, and loading them safely.

Nothing is ever unpickled: every file is read with `torch.load(..., weights_only=True)`, checked, and
only then used. Every file and folder is written under a temporary name and renamed when complete.
"""

import json
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from thaw.config import Config, make_config
from thaw.errors import ThawError
from thaw.files import locked, make_folder, replacing, sha256, write_json
from thaw.model import Model, build_network, build_process
from thaw.terminal import Terminal

PRETRAINED = Path("pretrained")
RUNS = Path("contents/runs")
FORMAT = "thaw-weights/1"
STATES = ("model", "ema", "optimiser", "rng")


def load_tensors(path: str | Path) -> dict[str, Any]:
    """Read a file of tensors and plain values.

    Raises:
        ThawError: for a missing, truncated or foreign file, or one that holds anything but tensors
            and plain values (its code is not run).
    """
    path = Path(path)
    if not path.is_file():
        raise ThawError(f"no file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ThawError(f"{path} holds more than tensors and plain values, or is no torch file; not loaded") from None
    except Exception as error:  # whatever damage or malice makes the reader stumble over
        raise ThawError(f"{path} is truncated or damaged ({type(error).__name__}); download or copy it again") from None
    if not isinstance(content, dict):
        raise ThawError(f"{path} is not a Thaw file: it holds a {type(content).__name__}, not named parts")
    return content


def save_tensors(path: str | Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values atomically."""
    with replacing(path) as temporary:
        _write(content, temporary)


def _write(content: dict[str, Any], path: Path) -> None:
    try:
        torch.save(content, path)
    except RuntimeError as error:  # torch's word for a full disk
        raise OSError(f"torch could not write all of it ({str(error).splitlines()[0]})") from error


# ---------------------------------------------------------------------------------- released weights


def save_release(
    folder: str | Path,
    model: Model,
    state: dict[str, Tensor],
    manifest: dict[str, Any] | None = None,
) -> Path:
    """Write weights (fp16) with configuration and terminal as one `.pth` file, and list it in MANIFEST.json.

    Args:
        folder: usually `pretrained/`.
        model: gives configuration, terminal, classes, epoch and info.
        state: the network's state dict (usually the EMA).
        manifest: further entries for the manifest (scores, training time).

    Returns:
        The path of the file.
    """
    path = Path(folder) / model.config.release_name(model.epoch)
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    content = {
        "format": FORMAT,
        "config": json.dumps(model.config.model_dump(mode="json")),
        "shape": list(model.process.shape),
        "classes": model.classes,
        "epoch": model.epoch,
        "network": half,
        "terminal": model.terminal.state(),
        "degradation": model.process.degradation.state(),
    }
    save_tensors(path, content)
    entry = {
        "sha256": sha256(path),
        "bytes": path.stat().st_size,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "epoch": model.epoch,
        "terminal_rank": model.terminal.rank,
        "config": model.config.model_dump(mode="json"),
    }
    add_to_manifest(folder, path.name, entry | (manifest or {}))
    return path


def read_manifest(folder: str | Path = PRETRAINED) -> dict[str, dict[str, Any]]:
    """Return MANIFEST.json of a folder of released weights: file name -> entry; empty if there is none."""
    path = Path(folder) / "MANIFEST.json"
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError:
        raise ThawError(f"{path} is not valid JSON; restore it with `git checkout {path}`") from None


def add_to_manifest(folder: str | Path, name: str, entry: dict[str, Any]) -> None:
    """Add or replace one entry of MANIFEST.json; entries are kept in order of their names."""
    path = Path(folder) / "MANIFEST.json"
    with locked(path):
        write_json(path, dict(sorted((read_manifest(folder) | {name: entry}).items())))


def release_path(label: str, epoch: int | None = None, data: str = "mnist", folder: str | Path = PRETRAINED) -> Path:
    """Return the path of released weights, e.g. `release_path("row_default_28", 20)`.

    Args:
        label: `default`, `row_default_28`, ...
        epoch: None for the newest that is shipped.
        data: name of the data set.
        folder: where the files are.

    Raises:
        ThawError: if no such weights, or not of this epoch, are shipped; the message lists what is.
    """
    shipped = {}
    for path in Path(folder).glob(f"*_{data}_*_{label}.pth"):
        match = re.fullmatch(rf"(ddpm|custom)_{re.escape(data)}_(\d+)_{re.escape(label)}", path.stem)
        if match:
            shipped[int(match[2])] = path
    if not shipped:
        labels = {
            re.sub(r"^(ddpm|custom)_([a-z]+)_\d+_", r"\2 ", p.stem) for p in Path(folder).glob("*_*_[0-9]*_*.pth")
        }
        raise ThawError(f"no weights {data} {label} in {folder}; there are: {', '.join(sorted(labels)) or 'none'}")
    if epoch is None:
        epoch = max(shipped)
    if epoch not in shipped:
        raise ThawError(
            f"epoch {epoch} of {label} was not shipped; choose one of {', '.join(map(str, sorted(shipped)))}"
        )
    return shipped[epoch]


def load_model(path: str | Path) -> Model:
    """Load released weights, or a run's checkpoint directory, as a `Model` on the CPU.

    A released file that stands in a MANIFEST.json must have the checksum written there.

    Raises:
        ThawError: for missing, damaged or foreign files, or weights that do not fit their configuration.
    """
    path = Path(path)
    if path.is_dir():
        return _load_checkpoint_model(path)
    content = load_tensors(path)
    listed = read_manifest(path.parent).get(path.name)
    digest = sha256(path)
    if listed and listed.get("sha256") != digest:
        raise ThawError(f"{path} does not match its checksum in MANIFEST.json; restore it with `git checkout {path}`")
    if content.get("format") != FORMAT:
        raise ThawError(f"{path} is not a Thaw weights file (format {content.get('format')!r}, expected {FORMAT!r})")
    try:
        config = make_config(json.loads(content["config"]), str(path))
        shape, classes, epoch = tuple(content["shape"]), int(content["classes"]), int(content["epoch"])
        state, terminal = content["network"], Terminal.from_state(content["terminal"])
    except ThawError as error:
        raise ThawError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ThawError(f"{path} lacks a part of a Thaw weights file, or it is of the wrong kind ({error})") from None
    info = {"file": path.name, "sha256": digest} | {k: v for k, v in (listed or {}).items() if k != "config"}
    model = assemble(config, shape, classes, state, terminal, epoch, info, str(path))
    model.process.degradation.load_state(content.get("degradation") or {})
    return model


def assemble(
    config: Config,
    shape: tuple[int, int, int],
    classes: int,
    state: dict[str, Tensor],
    terminal: Terminal,
    epoch: int,
    info: dict[str, Any],
    where: str,
) -> Model:
    """Build a `Model` around a state dict; a `ThawError` if the weights do not fit the configuration."""
    try:
        network = build_network(config, shape, classes)
        network.load_state_dict({key: value.float() for key, value in state.items()})
    except ThawError:
        raise
    except (RuntimeError, AttributeError, TypeError, ValueError, IndexError) as error:
        detail = str(error).strip().splitlines()[-1].strip()
        raise ThawError(f"the weights in {where} do not fit its configuration: {detail}") from None
    return Model(config, build_process(config, shape), network.eval(), terminal, classes, epoch, info)


# ---------------------------------------------------------------------------------- run directories


def link_latest(link: Path, target: Path) -> None:
    """Point a relative symbolic link at `target`, atomically."""
    with replacing(link) as temporary:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.path.relpath(target, link.parent))


def save_checkpoint(
    run: Path, epoch: int, config: Config, states: dict[str, dict[str, Any]], context: dict[str, Any],
    performance: dict[str, Any],
) -> Path:  # fmt: skip
    """Write `epoch_NNNN/` with all states; it appears only when complete. `.latest` links follow."""
    path = run / f"epoch_{epoch:04d}"
    with replacing(path) as temporary:
        temporary.mkdir()
        for name in STATES:
            _write(states[name], temporary / f"{name}.pt")
        for name, values in (("cfg", config.model_dump(mode="json")), ("ctx", context), ("perf", performance)):
            (temporary / f"{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    link_latest(run / ".latest", path)
    link_latest(run.parent / ".latest", run)
    return path


def list_checkpoints(run: Path) -> list[Path]:
    """Return the complete checkpoints of a run, oldest first."""
    found = [p for p in run.glob("epoch_[0-9]*") if p.is_dir() and re.fullmatch(r"epoch_\d+", p.name)]
    return sorted(found, key=epoch_of)


def epoch_of(path: Path) -> int:
    """Return the epoch that a checkpoint directory `epoch_NNNN` stands at."""
    return int(path.name.removeprefix("epoch_"))


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint: renamed away first, so that a half-removed one is never mistaken for complete."""
    doomed = path.with_name(f".{path.name}.removed")
    os.replace(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def load_checkpoint(path: Path) -> tuple[Config, dict[str, dict[str, Any]], dict[str, Any]]:
    """Read a checkpoint directory: (configuration, states, context)."""
    missing = [
        name
        for name in ("cfg.yaml", "ctx.yaml", "perf.yaml", *(f"{s}.pt" for s in STATES))
        if not (path / name).is_file()
    ]
    if missing:
        raise ThawError(f"{path} is not a complete checkpoint: {', '.join(missing)} is missing")
    config = make_config(_read_yaml(path / "cfg.yaml"), str(path / "cfg.yaml"))
    states = {name: load_tensors(path / f"{name}.pt") for name in STATES}
    return config, states, _read_yaml(path / "ctx.yaml")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        values = None
    if not isinstance(values, dict):
        raise ThawError(f"{path} is damaged; remove its folder to go on from the checkpoint before it")
    return values


def _load_checkpoint_model(path: Path) -> Model:
    if (path / ".latest").exists():
        path = (path / ".latest").resolve()
        path = (path / ".latest").resolve() if (path / ".latest").exists() else path
    config, states, context = load_checkpoint(path)
    terminal = Terminal.from_state(load_tensors(path.parent / "terminal.pt"))
    performance = _read_yaml(path / "perf.yaml")
    info = {"file": str(path), **performance}
    shape, classes = tuple(context["shape"]), context["classes"]
    return assemble(config, shape, classes, states["ema"], terminal, context["epoch"], info, str(path))


def prepare_run(run: Path) -> Path:
    """Create a run directory, writable, and clear what an interrupted write left behind."""
    make_folder(run)
    for leftover in [*run.glob(".epoch_*"), *run.glob(".terminal.*"), *run.glob(".metrics.*"), *run.glob("..latest.*")]:
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    return run
