"""Numbers of the report: each with its origin, in Plots/numbers.json."""

import re
import subprocess
from pathlib import Path
from typing import Any

from thaw.base import ThawError, check_target, locked, number, read_json, write_json

PLOTS = Path("Plots")


def commit() -> str:
    """Return the short commit of the working tree, "unknown" outside a git checkout."""
    try:
        asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return asked.stdout.strip() if asked.returncode == 0 else "unknown"


def read_numbers(folder: str | Path = PLOTS) -> dict[str, dict[str, Any]]:
    """Return numbers.json: key -> {value, text, origin}; empty if there is none."""
    return read_json(Path(folder) / "numbers.json", "hold this project's numbers", ("value", "text", "origin"))


def read_values(folder: str | Path = PLOTS) -> dict[str, Any]:
    """Return the values alone: key -> value, see `read_numbers`."""
    return {key: entry["value"] for key, entry in read_numbers(folder).items()}


def check_plots(folder: str | Path) -> None:
    """Raise a `ThawError` unless figures and numbers can be written into a folder; see `check_target`."""
    folder = check_target(folder, folder="filled")
    check_target(folder / "numbers.json", ".json")
    read_numbers(folder)


def record(values: dict[str, tuple[Any, str]], origin: dict[str, Any], folder: str | Path = PLOTS) -> None:
    """Add numbers to numbers.json.

    Args:
        values: key -> (value, format), e.g. `{"ddpm.fid": (3.1415, ".2f")}`; an empty format for strings.
        origin: where they come from: a notebook, script or benchmark, its configuration and seed, and the `weights`
            behind them (see `thaw.report.recorder.weights_of`); the commit is added.
        folder: usually `Plots/`.
    """
    for key in values:
        if not re.fullmatch(r"[a-z0-9_.]+", key):
            raise ThawError(f"number keys are lower-case words joined by dots, got {key!r}")
    if not {"notebook", "script", "benchmark"} & origin.keys():
        raise ThawError(f"the origin of {', '.join(values)} names no notebook, script or benchmark")
    origin = origin | {"commit": commit()}
    path = Path(folder) / "numbers.json"
    with locked(path):
        numbers = read_numbers(folder)
        for key, (value, spec) in values.items():
            numbers[key] = {"value": value, "text": number(value, spec), "origin": origin}
        write_json(path, dict(sorted(numbers.items())))
