"""What a sweep is: every configuration x variant x seed is a run.  Read by the Snakefile and by report.py."""

import hashlib
import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from definition import Folder, Name, assign, check_name, read_definition
from pydantic import BaseModel, ConfigDict, Field

from thaw.base.settings import read_yaml


class Run(NamedTuple):
    """One training of a sweep."""

    name: str  # e.g. ddpm_default_adamw_seed0
    config: str
    options: str  # of `thaw train`, quoted for a shell
    folder: str  # run directory: one for all settings together, so that changed ones begin anew


class Sweep(BaseModel):
    """A sweep's file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    out: Folder = Field(min_length=1, description="folder of everything the sweep writes")
    runs_in: Folder | None = Field(None, description="folder of the run directories; `runs` in `out` where null")
    configs: list[Folder] = Field(min_length=1, description="configuration files")
    variants: dict[Name, dict[str, Any]] = Field({"plain": {}}, min_length=1, description="name -> settings to replace")
    seeds: list[int] = Field([0], min_length=1, description="seeds of every configuration and variant")
    n: int = Field(2000, ge=256, description="images behind each score")
    notebooks: bool = Field(True, description="train by the study's notebook; else train only, and score afterwards")
    numbers: str | None = Field(
        None, pattern="^[a-z_]+$", description="record the table in Plots/numbers.json under this name, for the report"
    )
    smoke: bool = Field(False, description="tiny settings, to see that everything works")

    def runs(self) -> dict[str, Run]:
        """Return the runs by name.

        Raises:
            ValueError: if a configuration cannot be read, two have the same folder and file name, or a name cannot be
                one of files (or of numbers, where these are recorded).
        """
        found: dict[str, Run] = {}
        for config, (variant, changes), seed in itertools.product(self.configs, self.variants.items(), self.seeds):
            group = f"{Path(config).parent.name}_{Path(config).stem}_{variant}"
            name = check_name(f"{group}_seed{seed}")
            if self.numbers and not re.fullmatch("[a-z0-9_.]+", group):
                raise ValueError(
                    f"the sweep records numbers, whose names are lower-case letters, digits, _ and ., not {group!r}; "
                    "rename the configuration or the variant, or leave `numbers` out"
                )
            if name in found:
                raise ValueError(f"two runs of the sweep are called {name}; rename one of the configuration files")
            found[name] = self._run(name, config, changes | {"seed": seed})
        return found

    def _run(self, name: str, config: str, changes: dict[str, Any]) -> Run:
        settings = read_yaml(config)
        digest = hashlib.sha256(json.dumps([settings | changes, self.smoke], sort_keys=True).encode()).hexdigest()
        folder = f"{self.runs_in or f'{self.out}/runs'}/{name}-{digest[:8]}"
        options = [f"--set={word}" for word in assign(changes)]
        options += ["--smoke"] if self.smoke else []
        options += [f"--plots={folder}/Plots"] if self.notebooks else ["--train-only"]
        return Run(name, config, shlex.join(options), folder)


def read_sweep(path: str | Path) -> Sweep:
    """Read a sweep's file; a `ValueError` says what is wrong with it."""
    return read_definition(path, Sweep)
