"""Weights on disk: released files, and loading a `Model` from them or from a run directory, safely.

Nothing is ever unpickled: every file is read with `torch.load(..., weights_only=True)`, checked, and
only then used. Every file and folder is written under a temporary name and renamed when complete.
"""

import json
import re
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from torch import Tensor

from thaw.autoencoder import Coder
from thaw.base import ThawError, advice, by_git, check_target, stamp, user_path
from thaw.experiment import Config, build_model, build_network, build_process, differences
from thaw.model import Model
from thaw.networks import count_parameters
from thaw.store.released import load_released, pretrained, read_manifest, save_released
from thaw.store.runs import list_checkpoints, load_checkpoint, load_newest, read_yaml, stored_config
from thaw.store.tensors import load_tensors
from thaw.terminal import Classifier, Terminal

ENDING = ".pth"
FORMAT, CLASSES_FORMAT = "thaw-weights/1", "thaw-classes/1"
NAMED = r"(ddpm|custom|latent|autoencoder)_(?P<data>[a-z0-9]+)_(?P<epoch>\d+)_(?P<label>.+)"  # `Config.release_name`


def save_release(
    folder: str | Path,
    model: Model,
    state: dict[str, Tensor],
    manifest: dict[str, Any] | None = None,
    *,
    data: dict[str, Any] | None = None,
    replace: bool = False,
) -> Path:
    """Write weights (fp16) with configuration and terminal as one `.pth` file, and list it in MANIFEST.json.

    Args:
        folder: usually `pretrained/`.
        model: gives configuration, terminal, classes, epoch and info.
        state: the network's state dict (usually the EMA).
        manifest: further entries for the manifest (scores, training time).
        data: the fingerprint of the training images, see `thaw.data.ImageSet`.
        replace: whether the file may take the place of another experiment's.

    Returns:
        The path of the file.

    Raises:
        ThawError: as `check_release`, or if the file cannot be written.
    """
    path = check_release(Path(folder) / model.config.release_name(model.epoch), model.config, data, replace)
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    config = model.config.model_dump(mode="json")
    content = {"config": json.dumps(config), "shape": list(model.process.shape), "classes": model.classes}
    content |= {"epoch": model.epoch, "network": half, "terminal": model.terminal.state()}
    content["degradation"] = model.process.degradation.state()
    entry = {"parameters": sum(p.numel() for p in model.network.parameters()), "epoch": model.epoch}
    entry |= {"terminal_rank": model.terminal.rank, "config": config}
    if data:
        content["data"] = entry["data"] = data
    if (coder := model.coder) is not None:
        content["coder"] = coder_state(coder, half=True)
        entry |= {"autoencoder_parameters": count_parameters(coder.network), "autoencoder_sha256": coder.digest}
    return save_released(path, FORMAT, content, entry | (manifest or {}))


def check_release(path: Path, config: Config, data: dict[str, Any] | None = None, replace: bool = False) -> Path:
    """Return where weights are released, unless another experiment's lie there.

    Two experiments are one if all settings that training depends on are alike, and the images by their fingerprint;
    where one of them has none, by the folder's path. Longer training is the same experiment.

    Args:
        path: the file.
        config: of the run.
        data: the fingerprint of its images.
        replace: whether anything may be replaced.

    Raises:
        ThawError: naming what is there, or as `thaw.base.files.check_target`.
    """
    check_target(path, ".pth")
    if replace or not path.exists():
        return path
    try:
        content = load_released(path, FORMAT, "weights")[0]
        there, images = stored_config(json.loads(content["config"]), "the configuration"), content.get("data")
    except (ThawError, KeyError, TypeError, ValueError) as error:
        reason = f"a file that cannot be told to be ours: {error}"
    else:
        known = bool(data and images)
        reason = differences(there, config, {"data_path"} if known else ())
        if not reason and known and images != data:
            reason = f"other images in {there.data_path or there.data}"
        reason = reason and f"another experiment ({reason})"
    if reason:
        raise ThawError(f"{path} is of {reason}; choose another folder by --out, or replace it by --replace")
    return path


def release_path(label: str, epoch: int | None = None, data: str = "mnist", folder: str | Path | None = None) -> Path:
    """Return the path of released weights, e.g. `release_path("row_default_28", 25)`.

    Args:
        label: `default`, `row_default_28`, ..., with `_fashion` behind it for those of another data set, or the whole
            name of a file.
        epoch: None for the newest that is shipped.
        data: name of the data set.
        folder: where the files are; see `pretrained`.

    Raises:
        ThawError: if no such weights, or not of this epoch, are shipped; the message lists what is.
    """
    folder = pretrained(folder)
    found: dict[tuple[str, str], dict[int, Path]] = {}  # (data, label) -> epoch -> file
    for path in folder.glob(f"*{ENDING}"):
        if match := re.fullmatch(NAMED, path.stem):
            if epoch is None and label.removesuffix(ENDING) == path.stem:
                return path
            found.setdefault((match["data"], match["label"]), {})[int(match["epoch"])] = path
    without, _, of = label.rpartition("_")
    if (data, label) not in found and (of, without) in found:
        data, label = of, without
    shipped = found.get((data, label), {})
    if not shipped:
        there = ", ".join(sorted(map(" ".join, found))) or "none"
        raise ThawError(f"no weights {data} {label} in {folder}; {advice(folder, f'there are: {there}')}")
    epoch = max(shipped) if epoch is None else epoch
    if epoch not in shipped:
        known = ", ".join(map(str, sorted(shipped)))
        raise ThawError(f"epoch {epoch} of {label} was not shipped; choose one of {known}")
    return shipped[epoch]


def load_model(path: str | Path) -> Model:
    """Load released weights, a run's newest checkpoint, or one checkpoint directory, as a `Model` on the CPU.

    What is no path is the name of released weights, `row_default_28` or that of a file, in the folder `pretrained()`.
    A released file that stands in a MANIFEST.json must have the checksum written there.

    Raises:
        ThawError: for missing, damaged or foreign files, or weights that do not fit their configuration.
    """
    path = user_path(path)
    if path.is_dir():
        return _load_checkpoint_model(path)
    if not path.exists() and path.suffix in ("", ENDING):
        if path.name == str(path):
            try:
                path = release_path(path.name)
            except ThawError as error:
                if not path.suffix:
                    raise ThawError(f"no run directory or file {path}, and {error}") from None
        elif not path.suffix:
            raise ThawError(f"no run directory or file {path}; {advice(path, 'check its name')}")
    content, digest, listed = load_released(path, FORMAT, "weights")
    try:
        config = stored_config(json.loads(content["config"]), path)
        shape, classes, epoch = tuple(map(int, content["shape"])), int(content["classes"]), int(content["epoch"])
        if len(shape) != 3 or min(shape) < 1 or min(classes, epoch) < 0:
            raise ValueError(f"shape {shape}, {classes} classes, epoch {epoch}")
        state, terminal = content["network"], Terminal.from_state(content["terminal"])
    except ThawError as error:
        raise ThawError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ThawError(f"{path} lacks a part of a Thaw weights file, or it is of the wrong kind ({error})") from None
    info = {"file": path.name, "sha256": digest} | {k: v for k, v in listed.items() if k != "config"}
    model = assemble(config, shape, classes, state, terminal, epoch, info, str(path), path.parent)
    model.process.degradation.load_state(content.get("degradation") or {})
    return _with_coder(model, content.get("coder"), str(path))


def classes_path(data: str, folder: str | Path | None = None) -> Path:
    """Return where the classifiers of fully degraded images of a data set are released."""
    return pretrained(folder) / f"classes_{data}{ENDING}"


def degrades_by(config: Config) -> str:
    """Return what D_T depends on, but the images: the degradation with its options."""
    return f"{config.degradation} {json.dumps(config.options, sort_keys=True)}"


def released_classifier(config: Config, folder: str | Path | None = None) -> Classifier | None:
    """Return what is released to tell the classes of images that are fully degraded so; None if nothing is.

    Raises:
        ThawError: for a damaged file, one that does not match its checksum, or one that is listed and not there.
    """
    path = classes_path(config.data_name, folder)
    if not path.is_file():
        if path.name in read_manifest(path.parent):
            raise ThawError(f"no {path}, which tells the classes of degraded images; restore it with {by_git(path)}")
        return None
    state = _classifiers(path, stamp(path)).get(degrades_by(config))
    return state and Classifier.from_state(state)


@lru_cache(maxsize=4)
def _classifiers(path: Path, _: tuple[Any, ...]) -> dict[str, Any]:
    return load_released(path, CLASSES_FORMAT, "classifiers")[0]


def _with_coder(model: Model, state: Any, where: str) -> Model:
    """Return a model with the stored autoencoder that its latents need, if they need one."""
    if model.config.study == "latent":
        model.coder = load_coder(state, where)
        if model.coder.latent != model.process.shape:
            raise ThawError(
                f"{where}: the flow's latents are {model.process.shape}, the decoder's {model.coder.latent}"
            )
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
    folder: Path | None = None,
) -> Model:
    """Build a `Model` around a state dict; a `ThawError` if the weights do not fit the configuration.

    Where its terminal has no classifier, one released in the `folder` (see `pretrained`) tells the classes.
    """
    terminal = replace(terminal, find=partial(released_classifier, config, folder))
    try:
        network = build_network(config, shape, classes)
        network.load_state_dict({key: value.float() for key, value in state.items()})
    except ThawError:
        raise
    except (RuntimeError, AttributeError, TypeError, ValueError, IndexError) as error:
        detail = str(error).strip().splitlines()[-1].strip()
        raise ThawError(f"the weights in {where} do not fit its configuration: {detail}") from None
    return build_model(config, build_process(config, shape), network.eval(), terminal, classes, epoch, info)


def _load_checkpoint_model(path: Path) -> Model:
    """Load a checkpoint directory, the newest checkpoint of a run, or the newest of the run last active."""
    if not list_checkpoints(path) and (path / ".latest").is_dir():
        path = (path / ".latest").resolve()
    found = load_newest(path)[0] or load_checkpoint(path)
    terminal = Terminal.from_state(load_tensors(found.path.parent / "terminal.pt"))
    info = {"file": str(found.path), **read_yaml(found.path / "perf.yaml")}
    shape, classes, epoch = (found.context.get(key) for key in ("shape", "classes", "epoch"))
    if None in (shape, classes, epoch):
        raise ThawError(f"{found.path / 'ctx.yaml'} lacks shape, classes or epoch; take another checkpoint")
    path, state = found.path.parent / "coder.pt", found.states["ema"]
    model = assemble(found.config, tuple(shape), classes, state, terminal, epoch, info, str(found.path))
    if found.config.paired:
        model.process.degradation.load_state(load_tensors(found.path.parent / "pairs.pt"))
    return _with_coder(model, load_tensors(path) if found.config.study == "latent" else None, str(path))


def coder_state(coder: Coder, half: bool = False) -> dict[str, Any]:
    """Return a coder as plain values and tensors for a file; with `half`, weights in fp16."""
    weights = {key: value.half() if half else value for key, value in coder.network.state_dict().items()}
    config = json.dumps(coder.config.model_dump(mode="json"))
    plain = {"config": config, "shape": list(coder.shape), "digest": coder.digest}
    return plain | {"network": weights, "mean": coder.mean, "std": coder.std}


def load_coder(state: Any, where: str) -> Coder:
    """Rebuild a coder from `coder_state`; `where` is the file's name, for the message.

    Raises:
        ThawError: if a part is missing or does not fit.
    """
    try:
        config, shape = stored_config(json.loads(state["config"]), where), tuple(state["shape"])
        network = build_network(config, shape, 0)
        network.load_state_dict({key: value.float() for key, value in state["network"].items()})
        mean, std = (state[key].float().reshape(network.latent) for key in ("mean", "std"))
        return Coder(config, shape, network.eval(), mean, std, str(state["digest"]))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ThawError(f"{where} lacks a whole autoencoder ({reason}); download or train the weights again") from None
