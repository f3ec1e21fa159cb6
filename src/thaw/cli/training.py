"""The verbs that train: init and train; they call what the notebooks call."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import Parameter

from thaw import data
from thaw.base.errors import ThawError
from thaw.base.settings import settings_of
from thaw.cli import options as o
from thaw.cli.naming import DataSet, Kind, Split, as_settings, configuration, device_of
from thaw.experiment.config import Config, load_config, override
from thaw.store.runs import RUNS, check_run, list_checkpoints

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
        config = config.smoke() if self.smoke else config
        if self.device:
            device_of(self.device)
            os.environ["ACCELERATE_USE_CPU"] = str(self.device == "cpu").lower()  # read by Accelerate, in kernels too
            if launched()[1] == 1:  # of several processes each takes a device of its own
                os.environ["ACCELERATE_TORCH_DEVICE"] = self.device
        run = RUNS / config.run_name if self.run is None else self.run
        return config, path, settings, check_run(run, [path, config.data_path, config.start_from, config.autoencoder])


NOTHING = Experiment()


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
        parameters = {"config": path, "overrides": settings, "run": str(run), "smoke": experiment.smoke}
        parameters |= {} if plots is None else {"plots": plots}
        output = run_notebook(f"notebooks/{notebook}.ipynb", run / f"{notebook}.ipynb", parameters)
        print(f"run directory      {run}\nexecuted notebook  {output} (and .html)")
    print(f"to ship it         python -m thaw export {shlex.quote(str(run))}")
