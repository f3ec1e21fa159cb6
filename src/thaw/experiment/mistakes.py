"""What is told of a mistake in settings: one sentence that names the setting, its value, and the fix."""

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from thaw.base import ThawError


def explained(error: ValidationError, where: str, known: Iterable[str]) -> ThawError:
    """Return the first mistake in settings as one sentence.

    Args:
        error: Pydantic's.
        where: the settings stand, the file usually.
        known: names of all settings, of which near matches are told.
    """
    first, *_ = errors = error.errors()
    key = _key_of(first)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "thaw.experiment.config.Config lists the known ones."
        return ThawError(f"unknown setting {key!r} in {where}; {hint}")
    if not key:
        return ThawError(f"{first['msg'].removeprefix('Value error, ')} (in {where})")
    if first["input"] is None:
        return ThawError(f"setting {key!r} in {where} cannot be null")
    said = [e["msg"].removeprefix("Value error, ") for e in errors if _key_of(e) == key]  # several for a union of types
    if said[0].startswith("unknown "):  # a whole sentence: it names the value
        return ThawError(f"setting {key!r} in {where}: {said[0]}")
    reasons = [text[0].lower() + text[1:] for text in said]
    return ThawError(f"setting {key!r} in {where}: {' or '.join(reasons)}, got {first['input']!r}")


def _key_of(error: Any) -> str:
    """Return the setting that an error is about, with the index of an entry, but without Pydantic's names of types."""
    name, *rest = error["loc"] or [""]
    return ".".join([str(name), *(str(part) for part in rest if isinstance(part, int))])
