"""The verbs that train: init and train; they call what the notebooks call."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import Parameter

from thaw import data
from thaw.base import ThawError, settings_of
from thaw.cli import options as o
from thaw.cli.naming import DataSet, Kind, Split, as_settings, configuration, device_of, find_run
from thaw.experiment import Config, fast, load_config, override, smoke_size
from thaw.store import RUNS, check_run, list_checkpoints, load_model, release_path

NOTEBOOKS = {"ddpm": "01_ddpm", "custom": "02_custom_degradation", "latent": "03_latent_flow"}


@Parameter(name="*")
@dataclass(frozen=True)
class Experiment:
    """What is trained, and where."""

    config: o.Config = None
    dataset: DataSet = None
    model: Kind = None
    split: Split = None
    epochs: o.Epochs = None
    set: o.Settings = ()
    run: o.RunFolder = None
    smoke: o.Smoke = False
    device: o.Device = None

    def settings(self, more: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
        """Return the configuration file, and the settings that replace its own; see `as_settings` for `more`."""
        named = [part is not None for part in (self.dataset, self.model)]
        if any(named) if self.config else not all(named):
            raise ThawError("name the experiment by --config FILE, or else by --dataset and --model")
        path, settings = (self.config, {}) if self.config else configuration(self.dataset, self.model)
        settings |= settings_of([*self.set, *as_settings(more)])
        settings |= {k: v for k, v in (("epochs", self.epochs), ("emnist_split", self.split)) if v is not None}
        if settings.get("milestones"):
            settings = {"lr_decay": "milestones"} | settings
        return str(path), settings

    def open(self, more: tuple[str, ...], **fixed: Any) -> tuple[Config, str, dict[str, Any], Path]:
        """Return the configuration, its file, the settings that differ from the file's, and the run directory."""
        from thaw.training.parallel import launched

        path, settings = self.settings(more)
        settings |= fixed
        config = load_config(path, **settings)
        config.check_options(settings)
        settings["data"] = data.resolve(config.data)
        config = load_config(path, **settings)
        config = smoke_size(config) if self.smoke else config
        if self.device:
            device_of(self.device)
            os.environ["ACCELERATE_USE_CPU"] = str(self.device == "cpu").lower()  # read by Accelerate, in kernels too
            if launched()[1] == 1:  # of several processes each takes a device of its own
                os.environ["ACCELERATE_TORCH_DEVICE"] = self.device
        run = RUNS / config.run_name if self.run is None else self.run
        return config, path, settings, check_run(run, [path, config.data_path, config.start_from, config.autoencoder])


NOTHING = Experiment()


def distill(
    name: o.Teacher, /, *more: o.AnySetting, epochs: o.Epochs = None, set: o.Settings = (), run: o.RunFolder = None,
    smoke: o.Smoke = False, train_only: o.TrainOnly = False, plots: o.Plots = None,
) -> None:  # fmt: skip
    """Distil a model into a flow map, which draws in one to four evaluations: by its notebook, or train only.

    It goes on where it ended, and needs no data set: it learns from trajectories of the model, which are kept in
    contents/trajectories. Every setting of thaw.Config is an option too.
    """
    path = find_run(name)
    path = path if path.exists() or path.suffix else release_path(name)
    settings = settings_of([*set, *as_settings(more)]) | ({} if epochs is None else {"epochs": epochs})
    config = fast(load_model(path).config, str(path), **settings)
    config = smoke_size(config) if smoke else config
    folder = check_run(RUNS / config.run_name if run is None else run, [path])
    if train_only:
        _train_only(config, folder)
    else:
        _run_notebook("06_few_steps", folder, {"teacher": str(path), "overrides": settings, "smoke": smoke}, plots)
    _tell_end(folder)


def init(*more: o.AnySetting, experiment: Experiment = NOTHING) -> None:
    """Make a run directory from a configuration, with the checkpoint of epoch 0, and train nothing yet.

    Every setting of thaw.Config is an option too, those of the network's constructor included:
    --lr 5e-3 --milestones 5 8 --gamma 0.2 --alpha 0.15 --widths 24 52 --patch 4.
    """
    from thaw.training.loop import train as train_epochs

    config, _, _, run = experiment.open(more)
    if run.is_dir() and list_checkpoints(run):
        raise ThawError(f"{run} holds a run already; train it on with `thaw train`, or choose another with --run")
    epochs = train_epochs(config, run, progress=False)
    path = next(epochs).path
    epochs.close()
    print(f"run directory      {run}\ncheckpoint         {path}")


def train(
    *more: o.AnySetting, experiment: Experiment = NOTHING, train_only: o.TrainOnly = False, plots: o.Plots = None
) -> None:
    """Train by running the study's notebook through papermill, into the run directory; or train only.

    Every setting of thaw.Config is an option too, those of the network's constructor included:
    --lr 5e-3 --milestones 5 8 --gamma 0.2 --alpha 0.15 --widths 24 52 --patch 4.
    """
    from thaw.training.parallel import launched

    only = {"sample_every": 0, "evaluate_every": 0} if train_only else {}
    if plots is not None:
        from thaw.report.results import check_plots

        check_plots(plots)
    config, path, settings, run = experiment.open(more, **only)
    rank = launched()[0]  # of several processes that train one model, the first one runs the notebook, and tells
    if train_only or rank or config.study not in NOTEBOOKS:
        _train_only(override(config, only), run, tell=not rank)
    else:
        _run_notebook(
            NOTEBOOKS[config.study], run, {"config": path, "overrides": settings, "smoke": experiment.smoke}, plots
        )
    if not rank:
        _tell_end(run)


def _train_only(config: Config, run: Path, tell: bool = True) -> None:
    from thaw.training.loop import train as train_epochs

    for epoch in train_epochs(config, run):
        if tell:
            print(epoch, flush=True)


def _run_notebook(notebook: str, run: Path, parameters: dict[str, Any], plots: str | None) -> None:
    from thaw.report.notebooks import run_notebook

    parameters |= {"run": str(run)} | ({} if plots is None else {"plots": plots})
    output = run_notebook(f"notebooks/{notebook}.ipynb", run / f"{notebook}.ipynb", parameters)
    print(f"executed notebook  {output} (and .html)")


def _tell_end(run: Path) -> None:
    print(f"run directory      {run}")
    print(f"to ship it         python -m thaw export {shlex.quote(str(run))}")
