"""Which model a verb means: by name, file or run, or as the earlier latent study names it: data set, kind, version."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from cyclopts import Parameter, Token

from thaw.base import ThawError, first_line, user_path
from thaw.cli import options as o
from thaw.data import EMNIST_SPLITS
from thaw.experiment import load_config
from thaw.model import Model
from thaw.store import RUNS, checkpoint_name, list_checkpoints, load_model, release_path

DATA = {"mnist": "mnist", "emnist": "emnist", "fashionmnist": "fashion", "fashion": "fashion"}  # lower case -> ours


def data_set(kind: Any, tokens: Sequence[Token]) -> str:
    """Return our name of a data set, for the command line: FashionMNIST is `fashion`."""
    name = tokens[0].value
    if name.lower() not in DATA:
        raise ThawError(f"{name!r} is none of MNIST, EMNIST, FashionMNIST")
    return DATA[name.lower()]


DataSet = o.word("MNIST, EMNIST or FashionMNIST, instead of a name or file", converter=data_set)
Kind = o.word(
    "an autoencoder of the data set, or the flow in the latent of the one shipped",
    kind=Literal["autoencoder", "vae", "flow"],
)
Split = o.word("of EMNIST", kind=Literal[tuple(EMNIST_SPLITS)])
Version = o.word(
    "main: what was exported (default); dev: the run in contents/runs, overwritten each epoch",
    kind=Literal["dev", "main"],
)


@Parameter(name="*")
@dataclass(frozen=True)
class Named:
    """A model by data set, kind and version."""

    dataset: DataSet = None
    kind: Annotated[Kind, Parameter(name="--model")] = None
    split: Split = None
    version: Annotated[Version, Parameter(name="--model-version")] = None


BY_NAME = Named()


def device_of(name: str) -> torch.device:
    """Return a device that works here; a `ThawError` names one that does not."""
    try:
        there = torch.zeros(1, device=name)
        there.cpu()  # what is on the `meta` device is nowhere
        return there.device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        text = f"cannot compute on device {name!r} ({first_line(error)}); choose cpu, or cuda where there is one"
        raise ThawError(text) from None


def find_run(name: str | None) -> Path:
    """Return the path of a run that is given by path or name; without one that of the most recently active run.

    Raises:
        ThawError: without a name, where there is no run.
    """
    if name is not None:
        return Path(name) if Path(name).exists() or not (RUNS / name / ".latest").exists() else RUNS / name
    if not (RUNS / ".latest").exists():
        raise ThawError(f"no run in {RUNS} yet; train one, or name shipped weights (`thaw info` lists them)")
    return (RUNS / ".latest").resolve()


def model_inputs(name: str | None) -> list[Path]:
    """Return the paths that `open_named` may read for a name that is no shipped one: no output lies in them."""
    return [RUNS / ".latest"] if name is None else [user_path(name), RUNS / name]


def open_named(name: str | None, epoch: int | None = None, default: str | None = "default") -> Model:
    """Load shipped weights by name, a file, a run or a checkpoint; without a name the most recently active run.

    Args:
        name: which.
        epoch: of the weights; the newest where None.
        default: the shipped weights that are taken where nothing is named and nothing was trained yet, if any.

    Raises:
        ThawError: if there is no such thing.
    """
    if name is None and default and not (RUNS / ".latest").exists():
        model = load_model(release_path(default, epoch))
        print(f"no run in {RUNS} yet: these are the shipped weights `{default}`", file=sys.stderr)
        return model
    path = find_run(name)
    if not path.exists() and not path.suffix:
        return load_model(release_path(str(name), epoch))
    if path.is_dir() and epoch is not None:
        path = path / checkpoint_name(epoch)
    model = load_model(path)
    if epoch not in (None, model.epoch):
        raise ThawError(f"{path} is of epoch {model.epoch}; leave --epoch {epoch} out")
    return model


def open_chosen(name: str | None, epoch: int | None, named: Named = BY_NAME, study: str = "latent") -> Model:
    """Load a model by name, or by data set, kind and version.

    Args:
        name, epoch: see `open_named`.
        named: the other way to name it.
        study: "latent" for a verb that takes a flow, "autoencoder" for one that takes an autoencoder.
    """
    if named.dataset is None:
        if named != BY_NAME:
            raise ThawError("--model, --model-version and --split say which model of a --dataset; name that too")
        return open_named(name, epoch, "default" if study == "latent" else None)
    if name is not None:
        raise ThawError(f"name the model by {name!r} or by --dataset {named.dataset}, not by both")
    kind = "flow" if study == "latent" else named.kind
    model = load_model(find(named.dataset, kind, named.version or "main", named.split, epoch))
    if model.coder is not None and named.kind not in (None, "flow", model.coder.config.network):
        lives = f"the flow for {named.dataset} lives in the latent of its {model.coder.config.network}"
        raise ThawError(f"{lives}, not {named.kind}")
    return model


@Parameter(name="*")
@dataclass(frozen=True)
class Computing:
    """How a verb computes."""

    seed: o.Seed = 0
    threads: o.Threads = 1
    device: o.Device = "cpu"

    def open(self, name: str | None, epoch: int | None, named: Named = BY_NAME, study: str = "latent") -> Model:
        """Return a model, see `open_chosen`, on the device; from now on torch computes on so many threads."""
        torch.set_num_threads(self.threads)
        return open_chosen(name, epoch, named, study).to(device_of(self.device))


HERE = Computing()


def configuration(data: str, kind: str | None = None) -> tuple[Path, dict[str, Any]]:
    """Return the file in configs/ for a data set and a kind of model, and the settings that make it of this kind.

    Without a kind it is the autoencoder that is shipped for the data set.
    """
    if kind == "flow":
        return Path(f"configs/latent/{data}.yaml"), {}
    return Path(f"configs/autoencoder/{data}.yaml"), {} if kind is None else {"network": kind, "set": kind}


def find(data: str, kind: str | None, version: str, split: str | None = None, epoch: int | None = None) -> Path:
    """Return where a model is: `dev` the run that training overwrites each epoch, `main` what was exported.

    Raises:
        ThawError: if it was not trained, or not exported.
    """
    path, settings = configuration(data, kind)
    config = load_config(path, **settings, **({} if split is None else {"emnist_split": split}))
    if version == "main":
        return release_path(config.label, epoch, config.data_name)
    run = RUNS / config.run_name
    if not list_checkpoints(run):
        raise ThawError(f"no run {run}; train it with `thaw train --dataset {data} --model {kind or config.network}`")
    return run if epoch is None else run / checkpoint_name(epoch)


def as_settings(arguments: Sequence[str]) -> list[str]:
    """Return options `--key value ...` that no verb has as `key=value` settings.

    Several values make a list; none means true.

    Raises:
        ThawError: for an argument that belongs to no option.
    """
    settings: list[tuple[str, list[str]]] = []
    for argument in arguments:
        if argument.startswith("--"):
            key, equals, value = argument[2:].partition("=")
            settings.append((key, [value] if equals else []))
        elif settings:
            settings[-1][1].append(argument)
        else:
            raise ThawError(f"unknown argument {argument!r}; settings are written --key value or --set key=value")
    written = [(key, values[0] if len(values) == 1 else f"[{', '.join(values)}]") for key, values in settings]
    return [f"{key}={value if value != '[]' else 'true'}" for key, value in written]
