"""The machine that computes: its name stands beside every time."""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

Name = TypeVar("Name")
STARTED = time.strftime("%Y-%m-%d %H:%M:%S")  # of this process: times of one run are those that it measured
UNKNOWN = "a machine that was not recorded"


def processor() -> str:
    """Return the name of the processor."""
    about = Path("/proc/cpuinfo")
    lines = [line for line in about.read_text().splitlines() if line.startswith("model name")] if about.exists() else []
    return lines[0].partition(":")[2].strip() if lines else platform.processor() or platform.machine()


def machine() -> str:
    """Return what times are measured on: the processor, the cores that this process may use, torch's threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parts = [processor(), *([torch.cuda.get_device_name()] if torch.cuda.is_available() else [])]
    return ", ".join([*parts, f"cores {cores}, threads {torch.get_num_threads()}"])


def machines_of(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the machines that the epochs in the lines of a metrics.jsonl ran on; empty if it does not tell."""
    return " and ".join(dict.fromkeys(record["machine"] for record in records if "machine" in record))


def timed() -> dict[str, str]:
    """Return what the origin of a time tells: the machine, and the run that measured it."""
    return {"machine": machine(), "measured": STARTED}


def tell_apart(measured: Mapping[Name, str]) -> tuple[dict[Name, str], str]:
    """Mark the rows of a table of times by where they were measured, if that is not the same for all.

    Args:
        measured: row -> machine, or machine and run; empty where it was not recorded.

    Returns:
        Row -> letter, and a sentence that tells what the letters mean; all empty where all rows are of one machine.
    """
    kinds = sorted(set(measured.values()))
    if len(kinds) < 2:
        return dict.fromkeys(measured, ""), ""
    letters = {kind: chr(ord("a") + index) for index, kind in enumerate(kinds)}
    told = "; ".join(f"{letter}: {kind or UNKNOWN}" for kind, letter in letters.items())
    return {row: letters[kind] for row, kind in measured.items()}, f"Times compare only within one letter ({told})."
