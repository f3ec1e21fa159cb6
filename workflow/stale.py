"""Whether results still belong to the weights that are shipped, and which times compare with which."""

import re
from collections import defaultdict
from typing import Any

from thaw.base.machine import UNKNOWN, tell_apart

Manifest = dict[str, dict[str, Any]]
TIME = re.compile(r"([a-z0-9_]+)\..*\b((?:train_)?minutes|seconds_64|prepare_seconds|images_per_second|ms)")


def why_stale(origin: dict[str, Any], manifest: Manifest) -> str | None:
    """Return why a result does not belong to the shipped weights, as the end of a sentence; None if it does.

    Args:
        origin: of a number or figure; what rests on no shipped weights has no `weights`.
        manifest: see `thaw.store.released.read_manifest`.
    """
    for name, digest in origin.get("weights", {}).items():
        entry = manifest.get(name)
        if entry is None:
            return (
                f"rests on {name}, which is not in pretrained/MANIFEST.json; export these weights, or {again(origin)}"
            )
        if digest not in (entry["sha256"], entry.get("checkpoint")):
            return f"is older than its weights {name}; {again(origin)}"
    return None


def again(origin: dict[str, Any]) -> str:
    """Return how a result is made again, in words."""
    if "notebook" in origin:
        return f"run the notebook {origin['notebook']} again"
    made_by = origin.get("benchmark") or origin.get("script")
    return f"run {made_by} again" if made_by else "make it again"


def measured_by(key: str, origin: dict[str, Any], manifest: Manifest) -> str:
    """Return the machine, and the run, that a time was measured by; minutes of training are those of the weights."""
    if key.endswith("minutes"):
        trained = [manifest.get(name, {}) for name in origin.get("weights", {})]
        found = {entry.get("machine") or UNKNOWN for entry in trained if "train_seconds" in entry}
        return "" if found == {UNKNOWN} else " and ".join(sorted(found)) or origin.get("machine", "")
    return ", ".join(origin[part] for part in ("machine", "measured") if part in origin)


def mark_times(numbers: dict[str, dict[str, Any]], manifest: Manifest) -> tuple[dict[str, str], str]:
    """Mark recorded times that stand beside times of other machines or runs: of one study and in one unit.

    Args:
        numbers: see `thaw.report.results.read_numbers`.
        manifest: see `thaw.store.released.read_manifest`.

    Returns:
        Key -> letter of those that differ, and a sentence that tells what the letters mean.
    """
    tables: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for key, entry in numbers.items():
        if found := TIME.fullmatch(key):
            tables[found.groups()][key] = measured_by(key, entry["origin"], manifest)
    mixed = [table for table in tables.values() if len(set(table.values())) > 1]
    return tell_apart({key: by for table in mixed for key, by in table.items()})
