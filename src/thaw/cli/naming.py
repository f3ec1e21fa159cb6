"""Models named as the earlier latent study names them: by data set, kind and version."""

import argparse
from pathlib import Path
from typing import Any

from thaw.base.errors import ThawError

KINDS = ("autoencoder", "vae", "flow")
VERSIONS = ("dev", "main")
DATA = {"mnist": "mnist", "emnist": "emnist", "fashionmnist": "fashion", "fashion": "fashion"}  # lower case -> ours


def data_set(name: str) -> str:
    """Return our name of a data set, for an argument parser: FashionMNIST is `fashion`."""
    if name.lower() not in DATA:
        raise argparse.ArgumentTypeError(f"{name!r} is none of MNIST, EMNIST, FashionMNIST")
    return DATA[name.lower()]


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
    from thaw.experiment.config import load_config
    from thaw.store.runs import RUNS, checkpoint_name, list_checkpoints
    from thaw.store.weights import release_path

    path, settings = configuration(data, kind)
    config = load_config(path, **settings, **({} if split is None else {"emnist_split": split}))
    if version == "main":
        return release_path(config.label, epoch, config.data_name)
    run = RUNS / config.run_name
    if not list_checkpoints(run):
        raise ThawError(f"no run {run}; train it with `thaw train --dataset {data} --model {kind or config.network}`")
    return run if epoch is None else run / checkpoint_name(epoch)


def as_settings(arguments: list[str]) -> list[str]:
    """Return options `--key value ...` that a parser does not know as `key=value` settings.

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
