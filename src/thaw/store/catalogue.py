"""What is shipped: the released weights that can be sampled from, as the manifest names them."""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from thaw.base import ThawError, by_git, stamp
from thaw.experiment import Config
from thaw.model import Model
from thaw.store.released import pretrained, read_manifest
from thaw.store.weights import load_model, release_path

TITLES = {  # of the processes, in the order in which they are listed; others follow
    "hot": "noise (hot)",
    "latent": "noise in a latent",
    "row": "rows averaged",
    "col": "columns averaged",
    "eraser": "eraser",
    "zoom_nearest": "zoom, nearest",
    "zoom_bilinear": "zoom, bilinear",
    "blur": "blur",
    "pixelate": "pixelate",
    "fade": "fade",
    "mask": "mask",
    "snow": "snow",
    "morph": "morph",
}
STARTS = {"mnist": 30}  # epochs of the hot default set that the eleven at equal budget begin with


class Weights(NamedTuple):
    """One set of released weights.

    Attributes:
        process: "hot", "latent", or the name of the degradation.
        data: data set.
        set: hyperparameter set.
        label: the name that `open_model` takes.
        epochs: what is shipped, ascending.
        teacher: of fast weights, the file that they were distilled from; else empty.
    """

    process: str
    data: str
    set: str
    label: str
    epochs: tuple[int, ...]
    teacher: str = ""


def catalogue(folder: str | Path | None = None) -> list[Weights]:
    """Return the models that are listed in the manifest and lie beside it; no autoencoders.

    Hot ones come first, and of each process those that draw digits.
    """
    found: dict[tuple[str, str, str, str], list[int]] = {}
    teachers: dict[tuple[str, str, str, str], str] = {}
    for name, entry in read_manifest(folder).items():
        config = Config.model_construct(**(entry.get("config") or {"study": None}))  # checked when it was written
        if config.study not in ("ddpm", "custom", "latent") or not (pretrained(folder) / name).is_file():
            continue
        process = {"ddpm": "hot", "latent": "latent"}.get(config.study, config.degradation)
        key = process, config.data_name, config.set, config.label
        found.setdefault(key, []).append(entry["epoch"])
        if config.flow_map:
            teachers[key] = Path(config.start_from).name
    order = {process: index for index, process in enumerate(TITLES)}
    keys = sorted(found, key=lambda key: (order.get(key[0], len(order)), key[0], key[1] != "mnist", *key[1:]))
    return [Weights(*key, tuple(sorted(found[key])), teachers.get(key, "")) for key in keys]


def shipped(folder: str | Path | None = None) -> dict[tuple[str, str], list[int]]:
    """Return what can be loaded: (data set, label) -> epochs."""
    return dict(sorted(((one.data, one.label), list(one.epochs)) for one in catalogue(folder)))


def open_model(label: str, epoch: int | None = None, data: str = "mnist", folder: str | Path | None = None) -> Model:
    """Load released weights by name, e.g. `open_model("row_default_28")`; the newest epoch by default."""
    return load_model(release_path(label, epoch, data, folder))


def fast_of(model: Model, folder: str | Path | None = None) -> Model | None:
    """Return the fast weights that were distilled from a model of released weights, where there are any."""
    file = model.info.get("file")
    found = next((one for one in catalogue(folder) if one.teacher and one.teacher == file), None)
    return found and cached_model(found.label, None, found.data, folder)


@lru_cache(maxsize=16)
def _cached(path: Path, _: tuple[Any, ...]) -> Model:
    return load_model(path)


def cached_model(label: str, epoch: int | None = None, data: str = "mnist", folder: str | Path | None = None) -> Model:
    """Return the model of `open_model`, kept in memory while its file does not change: what the panels use.

    Raises:
        ThawError: if the weights are not there, or damaged.
    """
    path = release_path(label, epoch, data, folder)
    if (now := stamp(path)) is None:
        raise ThawError(f"no file {path} any more; restore it with {by_git(path)}")
    return _cached(path, now)


def hot_start(data: str, folder: str | Path | None = None) -> dict[str, Any]:
    """Return the settings that begin with the shipped hot weights of a data set, in a network like theirs; {} for none.

    What they know of the pictures serves another degradation too: a minute goes several times as far as from random
    weights (benchmarks/start.py). The eleven at equal budget begin with those of an earlier epoch, and so does this.
    """
    epochs = shipped(folder).get((data, "default"), [])
    if not epochs:
        return {}
    epoch = STARTS[data] if STARTS.get(data) in epochs else epochs[-1]
    path = release_path("default", epoch, data, folder)
    return {"start_from": str(path), **cached_model("default", epoch, data, folder).config.network_settings()}
