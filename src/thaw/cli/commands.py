"""What the command line does with runs and models; every verb calls what the notebooks call."""

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from thaw.base.errors import ThawError
from thaw.base.files import check_target
from thaw.base.settings import settings_of

if TYPE_CHECKING:
    import torch

    from thaw.experiment.config import Config
    from thaw.model import Model


NOTEBOOKS = {"ddpm": "01_ddpm", "custom": "02_custom_degradation", "latent": "03_latent_flow"}


def device_of(name: str) -> "torch.device":
    """Return a device that works here; a `ThawError` names one that does not."""
    import torch

    try:
        there = torch.zeros(1, device=name)
        there.cpu()  # what is on the `meta` device is nowhere
        return there.device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ThawError(
            f"cannot compute on device {name!r} ({reason}); choose cpu, or cuda where there is one"
        ) from None


def find_run(name: str | None) -> Path:
    """Return the path of a run that is given by path or name; without one that of the most recently active run.

    Raises:
        ThawError: without a name, where there is no run.
    """
    from thaw.store.runs import RUNS

    if name is not None:
        return Path(name) if Path(name).exists() or not (RUNS / name / ".latest").exists() else RUNS / name
    if not (RUNS / ".latest").exists():
        raise ThawError(f"no run in {RUNS} yet; train one, or name shipped weights (`thaw info` lists them)")
    return (RUNS / ".latest").resolve()


def open_named(name: str | None, epoch: int | None = None, default: str | None = "default") -> "Model":
    """Load shipped weights by name, a file, a run or a checkpoint; without a name the most recently active run.

    Args:
        name: which.
        epoch: of the weights; the newest where None.
        default: the shipped weights that are taken where nothing is named and nothing was trained yet, if any.

    Raises:
        ThawError: if there is no such thing.
    """
    from thaw.store.runs import RUNS, checkpoint_name
    from thaw.store.weights import load_model, release_path

    if name is None and default and not (RUNS / ".latest").exists():
        model = load_model(release_path(default, epoch))
        print(f"no run in {RUNS} yet: these are the shipped weights `{default}`", file=sys.stderr)
        return model
    path = find_run(name)
    if not path.exists() and not path.suffix:
        return load_model(release_path(str(name), epoch))
    if path.is_dir() and epoch is not None:
        path = path / checkpoint_name(epoch)
    return load_model(path)


def model_inputs(name: str | None) -> list[Path]:
    """Return the paths that `open_named` may read for a name that is no shipped one: no output lies in them."""
    from thaw.store.runs import RUNS

    return [RUNS / ".latest"] if name is None else [Path(name), RUNS / name]


def open_chosen(args: argparse.Namespace, study: str = "latent") -> "Model":
    """Load the model of a verb's arguments: by name, or by data set, kind and version.

    Args:
        args: with `model`, `epoch`, and where the verb has them `dataset`, `kind`, `version` and `split`.
        study: "latent" for a verb that takes a flow, "autoencoder" for one that takes an autoencoder.
    """
    from thaw.cli.naming import find
    from thaw.store.weights import load_model

    data = vars(args).get("dataset")
    if data is None:
        if any(vars(args).get(name) for name in ("kind", "version", "split")):
            raise ThawError("--model, --model-version and --split say which model of a --dataset; name that too")
        return open_named(args.model, args.epoch, "default" if study == "latent" else None)
    if args.model is not None:
        raise ThawError(f"name the model by {args.model!r} or by --dataset {data}, not by both")
    kind = "flow" if study == "latent" else args.kind
    model = load_model(find(data, kind, args.version or "main", args.split, args.epoch))
    if model.coder is not None and args.kind not in (None, "flow", model.coder.config.network):
        raise ThawError(f"the flow for {data} lives in the latent of its {model.coder.config.network}, not {args.kind}")
    return model


def _settings(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return the configuration file that `train` and `init` are asked for, and the settings that replace its own."""
    from thaw.cli.naming import as_settings, configuration

    named = [part is not None for part in (args.dataset, args.model)]
    if any(named) if args.config else not all(named):
        raise ThawError("name the experiment by --config FILE, or else by --dataset and --model")
    path, settings = (args.config, {}) if args.config else configuration(args.dataset, args.model)
    settings |= settings_of([*args.set, *as_settings(args.more)])
    settings |= {k: v for k, v in (("epochs", args.epochs), ("emnist_split", args.split)) if v is not None}
    if settings.get("milestones"):
        settings = {"lr_decay": "milestones"} | settings
    return str(path), settings


def _experiment(args: argparse.Namespace, **more: Any) -> tuple["Config", dict[str, Any], Path]:
    """Return the configuration of `train` and `init`, the settings that differ from its file, and the run directory."""
    from thaw import data
    from thaw.experiment.config import load_config
    from thaw.store.runs import RUNS, check_run
    from thaw.training.parallel import launched

    args.config, settings = _settings(args)
    settings |= more
    config = load_config(args.config, **settings)
    config.check_options(settings)
    settings["data"] = data.resolve(config.data)
    config = load_config(args.config, **settings)
    config = config.smoke() if args.smoke else config
    if args.device:
        device_of(args.device)
        os.environ["ACCELERATE_USE_CPU"] = str(args.device == "cpu").lower()  # read by Accelerate, here or in a kernel
        if launched()[1] == 1:  # of several processes each takes a device of its own
            os.environ["ACCELERATE_TORCH_DEVICE"] = args.device
    run = RUNS / config.run_name if args.run is None else args.run
    return config, settings, check_run(run, [args.config, config.data_path, config.start_from, config.autoencoder])


def init(args: argparse.Namespace) -> None:
    """Make a run directory from a configuration, with the checkpoint of epoch 0, and train nothing yet."""
    from thaw.store.runs import list_checkpoints
    from thaw.training.loop import train as train_epochs

    config, _, run = _experiment(args)
    if run.is_dir() and list_checkpoints(run):
        raise ThawError(f"{run} holds a run already; train it on with `thaw train`, or choose another with --run")
    epochs = train_epochs(config, run, progress=False)
    path = next(epochs).path
    epochs.close()
    print(f"run directory      {run}\ncheckpoint         {path}")


def train(args: argparse.Namespace) -> None:
    """Train by running the study's notebook through papermill, into the run directory; or train only.

    Of several processes that train one model, the first one runs the notebook, and tells.
    """
    from thaw.training.parallel import launched

    only = {"sample_every": 0, "evaluate_every": 0} if args.train_only else {}
    if args.plots is not None:
        from thaw.report.results import check_plots

        check_plots(args.plots)
    config, settings, run = _experiment(args, **only)
    rank = launched()[0]
    if args.train_only or rank or config.study not in NOTEBOOKS:
        from thaw.experiment.config import override
        from thaw.training.loop import train as train_epochs

        for epoch in train_epochs(override(config, only), run):
            if not rank:
                print(epoch, flush=True)
        if rank:
            return
        print(f"run directory      {run}")
    else:
        from thaw.report.notebooks import run_notebook

        notebook = NOTEBOOKS[config.study]
        parameters = {"config": str(args.config), "overrides": settings, "run": str(run), "smoke": args.smoke}
        parameters |= {"plots": args.plots} if args.plots is not None else {}
        output = run_notebook(f"notebooks/{notebook}.ipynb", run / f"{notebook}.ipynb", parameters)
        print(f"run directory      {run}\nexecuted notebook  {output} (and .html)")
    print(f"to ship it         python -m thaw export {shlex.quote(str(run))}")


def info(args: argparse.Namespace) -> None:
    """Tell what a weights file or run is; without a name, the most recently active run, and what is shipped."""
    from thaw.base.files import advice
    from thaw.networks import count_multiply_adds, count_parameters
    from thaw.store.runs import RUNS
    from thaw.store.weights import pretrained, read_manifest

    given = args.model is not None or args.epoch is not None or (RUNS / ".latest").exists()
    if given:
        model = open_named(args.model, args.epoch)
        facts: dict[str, Any] = {"epoch": model.epoch, "classes": model.classes, "shape": list(model.process.shape)}
        facts |= {"parameters": count_parameters(model.network), "terminal_rank": model.terminal.rank}
        if model.coder is not None:
            facts |= {"autoencoder_parameters": count_parameters(model.coder.network), "images": list(model.shape)}
        facts["multiply_adds"] = count_multiply_adds(model.network, model.process.shape)
        facts |= {k: v for k, v in model.info.items() if isinstance(v, str | int | float)}
        print(yaml.safe_dump(facts | {"config": model.config.model_dump(mode="json")}, sort_keys=False), end="")
    if args.model is None:
        shipped = read_manifest()
        if not (shipped or given):
            raise ThawError(f"no weights are listed in {pretrained()}; {advice(pretrained(), 'export some')}")
        for name, entry in shipped.items():
            score = f"FID {entry['fid']['value']:.2f}" if "fid" in entry else ""
            score = f"squared error {entry['mse']:.2f}" if "mse" in entry else score
            print(f"{name:52s} {entry['bytes'] / 1e6:5.1f} MB  {score}")


def export(args: argparse.Namespace) -> None:
    """Write the kept checkpoints of a run to released weights, with a score for each; or a model's network as ONNX."""
    if args.onnx is not None:
        from thaw.store.onnx import export_onnx

        if args.epochs and len(args.epochs) > 1:
            raise ThawError(f"an ONNX file holds one network; name one epoch, not {args.epochs}")
        args.onnx = check_target(args.onnx, ".onnx", inputs=model_inputs(args.run))
        print(export_onnx(open_named(args.run, args.epochs[0] if args.epochs else None), args.onnx))
        return
    from thaw.experiment.config import load_config
    from thaw.store.runs import RUNS
    from thaw.store.weights import read_manifest
    from thaw.training.release import export_run

    run = find_run(args.run)
    if not run.is_dir():
        known = f"{RUNS} has {', '.join(sorted(path.name for path in RUNS.glob('[!.]*'))) or 'none'}"
        raise ThawError(f"{args.run} is no run directory ({known}); export ships runs, and other weights by --onnx")
    args.out = check_target(args.out, folder="filled", inputs=[run])
    read_manifest(args.out)  # a file that is no manifest is told before the work
    sampling = load_config(args.sampling) if args.sampling else None
    settings = {"n": args.n, "epochs": args.epochs, "sampling": sampling, "seed": args.seed, "replace": args.replace}
    for path in export_run(run.resolve(), args.out, device=device_of(args.device), **settings):
        print(path)
