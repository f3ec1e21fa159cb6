"""What a training notebook needs around its experiment: settings, run directory, judge, figures and numbers."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from thaw import data
from thaw.base import ThawError, enter_project, timed
from thaw.experiment import Config, load_config, override, sampled_as, smoke_size
from thaw.model import Model
from thaw.networks import count_multiply_adds, count_parameters
from thaw.report import results
from thaw.report.recorder import Recorder, weights_of
from thaw.scoring import Judge, Score, load_judge, row_of, score_model
from thaw.store import RUNS, checkpoint_digest, epoch_of, list_checkpoints, load_model


@dataclass(frozen=True, kw_only=True)
class NotebookStudy(Recorder):
    """One experiment in a notebook; its name is `<study>_<label>`, with the data set between unless that is MNIST.

    Its judge is the feature network of the data set, None where none is shipped.
    """

    config: Config
    run: Path  # the run directory

    def origin(self, *used: Model | Judge, **more: Any) -> dict[str, Any]:
        """Return where a result comes from; of what rests on no others, the digest of the weights once trained."""
        found, kept = dict(self.made_by), list_checkpoints(self.run)
        if kept and (epoch := epoch_of(kept[-1])) >= self.config.epochs:  # it may have been trained longer before
            found["weights"] = {self.config.release_name(epoch): checkpoint_digest(kept[-1])}
        return found | ({"weights": weights_of(*used)} if used else {}) | more

    def record_scores(self, what: str, scores: dict[str, Score]) -> None:
        """Record scores as `<what>.fid`, `<what>.fid_floor`, `<what>.entropy`, ... and `<what>.n`."""
        values: dict[str, tuple[Any, str]] = {f"{what}.n": (scores["fid"].n, ",d")}
        for name, score in scores.items():
            row = row_of(name)
            values[f"{what}.{name}"] = row.reported(score.value)
            if score.floor is not None and row.factor == 1:
                values[f"{what}.{name}_floor"] = row.reported(score.floor)
        self.record(values, features=scores["fid"].features, seed=scores["fid"].seed)
        if self.judge:
            size = count_parameters(self.judge.network)
            facts = {"accuracy": (100 * self.judge.accuracy, ".1f"), "digest": (self.judge.digest, "")}
            facts |= {"parameters": (size, ",d")} | ({"source": (self.judge.source, "")} if self.judge.source else {})
            named = {f"judge.{self.judge.data}.{what}": value for what, value in facts.items()}
            results.record(named, self.origin(self.judge), self.plots)

    def records(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl, one an epoch."""
        return [json.loads(line) for line in (self.run / "metrics.jsonl").read_text().splitlines()]

    def epochs(self, count: int = 6) -> list[Model]:
        """Return the models of at most `count` kept checkpoints, the first and the last included.

        They are sampled as this study's configuration says, whatever they were trained under.
        """
        paths = list_checkpoints(self.run)
        count = min(count, len(paths))
        chosen = sorted({round(i * (len(paths) - 1) / max(1, count - 1)) for i in range(count)})
        models = [load_model(paths[i]) for i in chosen]
        return [sampled_as(model, self.config) for model in models]

    def score(self, model: Model, n: int, *, reference: str = "test", **settings: Any) -> dict[str, Score]:
        """Score a model of this run, as `thaw.scoring.score_model` does; `settings` as for `Model.sample`.

        What was scored before is found again in `scores/` in the run directory.
        """
        common = {"reference": reference, "seed": self.config.seed, "cache": self.run / "scores"}
        return score_model(model, self.judge, n, **common, **settings)

    def score_epochs(self, n: int) -> dict[int, dict[str, Score]]:
        """Score the kept checkpoints after the untrained one (or that, alone), under this study's sampling settings."""
        models = self.epochs(count=1000)
        return {model.epoch: self.score(model, n) for model in models[1:] or models}

    def record_training(self, model: Model, seconds_64: float) -> None:
        """Record size, settings, training cost and sampling cost."""
        config = self.config
        values = {
            "parameters": (count_parameters(model.network), ",d"),
            "multiply_adds": (count_multiply_adds(model.network, model.process.shape) / 1e6, ".1f"),
            "steps": (model.process.steps, "d"),
            "lr": (config.lr, "g"),
            "batch_size": (config.batch_size, "d"),
            "ema": (config.ema, "g"),
            "label_dropout": (100 * config.label_dropout, "g"),
            "terminal_rank": (model.terminal.rank, "d"),
            "terminal_gaussians": (len(model.terminal.weights), "d"),
            "epochs": (model.epoch, "d"),
            "train_minutes": (model.info["seconds"] / 60, ".0f"),
            "guidance": (config.guidance, "g"),
            "sample_steps": (model.sampling.steps or model.process.steps, "d"),
            "evaluations": (model.sampling.evaluations(model.process), "d"),
            "seconds_64": (seconds_64, ".1f"),
        }
        self.record(values, **timed())


def open_study(
    notebook: str,
    config: str | Config,
    overrides: dict[str, Any],
    run: str | None,
    smoke: bool,
    plots: str | None = None,
) -> NotebookStudy:
    """Read the settings of a notebook's parameters cell; from the project's root, on the data set at hand.

    Args:
        notebook: its name, for the origin of what it writes.
        config, overrides: the experiment's file, or itself, and the settings that replace its own.
        run: the run directory; `contents/runs/<run name>` where None.
        smoke: tiny settings.
        plots: folder of figures and numbers; `Plots/` where None, or in the run directory for a smoke run.

    Raises:
        ThawError: for unknown settings or files.
    """
    enter_project()
    experiment = override(config, overrides) if isinstance(config, Config) else load_config(config, **overrides)
    experiment = smoke_size(experiment) if smoke else experiment
    if not experiment.flow_map:  # it learns from a teacher's trajectories, and needs no data set
        experiment = override(experiment, {"data": data.resolve(experiment.data)})
    folder = Path(run) if run else RUNS / experiment.run_name
    try:
        judge = load_judge(experiment.data_name)
        if experiment.of_a_folder:
            judge.check_shape((experiment.data_channels, experiment.data_size, experiment.data_size))
    except ThawError as error:
        print(f"No scores: {error}")
        judge = None
    default = folder / "Plots" if smoke else results.PLOTS
    of = "" if experiment.data == "mnist" else f"_{experiment.data_name}"
    source = str(config) if isinstance(config, str | Path) else experiment.start_from
    name, plots = f"{experiment.study}{of}_{experiment.label}", Path(plots) if plots else default
    made_by = {"notebook": notebook, "config": source, "run": folder.name, "seed": experiment.seed}
    return NotebookStudy(name=name, made_by=made_by, plots=plots, judge=judge, config=experiment, run=folder)


def time_samples(model: Model, n: int = 64, **settings: Any) -> tuple[Tensor, float]:
    """Draw n images, the classes in turn, and return them with the seconds it took."""
    started = time.perf_counter()
    images = model.sample(model.labels(n), **settings)
    return images, time.perf_counter() - started
