"""Released files: tensors and plain values under a format's name, listed with their checksum in MANIFEST.json."""

import contextlib
import os
from pathlib import Path
from typing import Any

from thaw.base import ThawError, by_git, locked, project_root, read_json, sha256, user_path, write_json
from thaw.store.tensors import load_tensors, save_tensors

PRETRAINED = Path("pretrained")
MANIFEST = "MANIFEST.json"
LISTED = {"sha256": str, "bytes": int, "epoch": int, "config": dict}  # what is read of its entries


def pretrained(folder: str | Path | None = None) -> Path:
    """Return the folder that released files are read from.

    Args:
        folder: the one that is named; without one that of the environment variable `THAW_PRETRAINED`, or else
            `pretrained/` here or in the project around the working directory.

    Raises:
        ThawError: if `THAW_PRETRAINED` names no folder.
    """
    if folder is not None:
        return Path(folder)
    if named := os.environ.get("THAW_PRETRAINED"):
        if not user_path(named).is_dir():
            raise ThawError(f"THAW_PRETRAINED is {named!r}, which is no folder; set it to a folder of released weights")
        return user_path(named)
    with contextlib.suppress(ThawError):  # outside of it: whoever reads tells that nothing is there
        if not PRETRAINED.is_dir() and (project_root() / PRETRAINED).is_dir():
            return project_root() / PRETRAINED
    return PRETRAINED


def read_manifest(folder: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """Return MANIFEST.json of a folder of released files (see `pretrained`): file name -> entry; empty if none."""
    path = pretrained(folder) / MANIFEST
    manifest = read_json(path, "list released weights")
    for name, entry in manifest.items():  # a hand may have been at it
        fit = all(isinstance(entry.get(key, kind()), kind) for key, kind in LISTED.items())
        if not fit or ("config" in entry and "epoch" not in entry):
            raise ThawError(f"{path} tells of {name} what no release does; restore it with {by_git(path)}")
    return manifest


def add_to_manifest(folder: str | Path, name: str, entry: dict[str, Any]) -> None:
    """Add or replace one entry of MANIFEST.json; entries are kept in order of their names."""
    path = Path(folder) / MANIFEST
    with locked(path):
        write_json(path, dict(sorted((read_manifest(folder) | {name: entry}).items())))


def save_released(path: Path, form: str, content: dict[str, Any], entry: dict[str, Any]) -> Path:
    """Write a released file, and list it with its checksum and size: how every released file is written.

    Args:
        path: the file; MANIFEST.json lies beside it.
        form: the `format` that it names, "thaw-weights/1".
        content: tensors and plain values.
        entry: what else the manifest tells.

    Raises:
        ThawError: if it cannot be written.
    """
    save_tensors(path, {"format": form} | content)
    add_to_manifest(path.parent, path.name, {"sha256": sha256(path), "bytes": path.stat().st_size} | entry)
    return path


def load_released(path: str | Path, form: str, what: str) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """Read a file of tensors and plain values that may stand in a MANIFEST.json: how every released file is read.

    Args:
        path: the file.
        form: the `format` that it must name.
        what: it must hold, for the message.

    Returns:
        What it holds, its SHA-256, and its entry in the MANIFEST.json beside it, empty if it is not listed.

    Raises:
        ThawError: for a missing, damaged or foreign file, or one whose checksum is not the listed one.
    """
    path = Path(path)
    content, digest = load_tensors(path), sha256(path)
    listed = read_manifest(path.parent).get(path.name, {})
    if listed.get("sha256", digest) != digest:
        raise ThawError(f"{path} does not match its checksum in MANIFEST.json; restore it with {by_git(path)}")
    if (named := content.get("format")) != form:
        newer = isinstance(named, str) and named.partition("/")[0] == form.partition("/")[0]
        text = "is of another version of Thaw; install that one" if newer else f"is not a Thaw {what} file"
        raise ThawError(f"{path} {text} (format {named!r}, expected {form!r})")
    return content, digest, listed
