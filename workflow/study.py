"""What the study is: trainings, notebooks and benchmarks, and the commands behind them.  Read by study.smk."""

import shlex
from pathlib import Path
from typing import Any

from definition import Folder, Name, assign, read_definition
from pydantic import BaseModel, ConfigDict, Field, model_validator

from thaw.experiment.config import load_config

EPOCH = 60_000  # images of MNIST: what a training takes a share of where its budget is less than an epoch


class Training(BaseModel):
    """One training, by a notebook or without."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    notebook: str = Field(description="name of the notebook, or train")
    config: Folder = Field(description="configuration file")
    settings: dict[str, Any] = Field({}, description="settings that replace the file's")
    parameters: dict[str, Any] = Field({}, description="other parameters of the notebook")
    needs: str | None = Field(None, description="the training whose exported weights this one starts from")


class Own(BaseModel):
    """A degradation of one's own, which `thaw study` makes a paper of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Folder = Field(description="the .py file that registers it")
    minutes: float = Field(25, gt=0, description="for all of it")
    data: str = Field("mnist", description="data set, or a folder of images")
    smoke: bool = Field(False, description="tiny settings, whose numbers mean nothing")


class Study(BaseModel):
    """A study's file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    out: Folder = Field(
        min_length=1, description="folder of executed notebooks, logs and what tells that a step is done"
    )
    settings: dict[str, Any] = Field({}, description="settings that replace those of every training")
    first: dict[Name, str] = Field({}, description="shell commands before any training, such as feature networks")
    trainings: dict[Name, Training] = Field(min_length=1)
    export_n: int = Field(2000, ge=0, description="images behind the score in the manifest; 0 for none")
    own: dict[Name, Own] = Field({}, description="one's own degradations, which get a paper and a line in the report")
    before: dict[Name, dict[str, Any]] = Field({}, description="notebooks that need no weights: name -> parameters")
    after: dict[Name, dict[str, Any]] = Field({}, description="notebooks that read the exported weights")
    benchmarks: dict[Folder, str] = Field({}, description="scripts that record numbers -> options beside --record")
    last: dict[Name, str] = Field({}, description="other shell commands that record numbers, after the export")
    budget: float = Field(1.0, gt=0, le=1, description="share of epochs, images and minutes; or --config budget=0.05")

    @model_validator(mode="after")
    def _needs_are_trained(self) -> "Study":
        for name, one in self.trainings.items():
            if one.needs is not None and one.needs not in self.trainings:
                raise ValueError(f"{name} needs {one.needs!r}, which is none of the trainings")
        return self

    def settings_of(self, name: str) -> dict[str, Any]:
        """Return all settings of a training that replace its file's."""
        found = self.settings | self.trainings[name].settings
        if self.budget == 1:
            return found
        epochs = self.budget * load_config(self.trainings[name].config, **found).epochs
        return found | ({"epochs": round(epochs)} if epochs >= 1 else {"epochs": 1, "limit": round(EPOCH * epochs)})

    def folder(self, name: str) -> str:
        """Return the run directory of a training."""
        return f"{self.out}/runs/{name}"

    def train(self, name: str) -> str:
        """Return the options of `thaw` that train: by the notebook, whose executed copy is kept, or without."""
        one, run = self.trainings[name], self.folder(name)
        settings = self.settings_of(name)
        if one.notebook == "train":
            options = [f"--set={word}" for word in assign(settings)]
            return shlex.join(["train", "--train-only", f"--config={one.config}", f"--run={run}", *options])
        values = {"config": one.config, "overrides": settings, "run": run, **one.parameters}
        return self.execute(one.notebook, values, f"{self.out}/notebooks/{name}/{one.notebook}.ipynb")

    def make_own(self, name: str) -> str:
        """Return the options of `thaw` that make the paper of one's own degradation."""
        one = self.own[name]
        words = [
            "study",
            one.source,
            f"--minutes={one.minutes:g}",
            f"--data={one.data}",
            f"--out={self.out}/own/{name}",
        ]
        return shlex.join([*words, *(["--smoke"] if one.smoke else [])])

    def source_of_own(self, name: str) -> list[str]:
        """Return the files that the paper of one's own degradation is made from: its source, and the hot weights."""
        hot = [f"{self.out}/done/default.exported"] if "default" in self.trainings else []
        return [self.own[name].source, *hot]

    def execute(self, notebook: str, values: dict[str, Any], output: str) -> str:
        """Return the options of `thaw` that execute a notebook."""
        return shlex.join(["notebook", notebook, f"--out={output}", *(f"-p{word}" for word in assign(values))])

    def source(self, name: str) -> list[str]:
        """Return the files that a training is made from."""
        one = self.trainings[name]
        files = [one.config] + ([] if one.notebook == "train" else [f"notebooks/{one.notebook}.ipynb"])
        return files + ([] if one.needs is None else [f"{self.out}/done/{one.needs}.exported"])


def read_study(path: str | Path, budget: Any = None) -> Study:
    """Read a study's file, at a budget in place of its own; a `ValueError` says what is wrong with it."""
    return read_definition(path, Study, budget)
