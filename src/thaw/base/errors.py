"""The one exception whose message is meant for the user, and the look-ups whose failure it most often tells."""

import importlib.util
from collections.abc import Iterable, Mapping
from typing import Any


class ThawError(ValueError):
    """A bad argument, file or setting; the message is one sentence that names the value and the fix."""


def pick(name: Any, table: Iterable[Any], what: str) -> Any:
    """Return the row of a table by its name, or the name itself where the table is a list of names.

    >>> pick("b", {"a": 1, "b": 2}, "letter")
    2

    Raises:
        ThawError: for a name that is not there; `what` says of what kind it is, and the names that are there follow.
    """
    if name not in table:
        raise ThawError(f"unknown {what} {name!r}; choose one of {', '.join(map(str, table))}")
    return table[name] if isinstance(table, Mapping) else name


def first_line(error: object) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class MissingExtraError(ThawError, ImportError):
    """A package is not installed that one of the extras of pyproject.toml brings."""


def need(extra: str, *packages: str) -> None:
    """Check that packages can be imported, without importing them: the first line of what cannot do without.

    Args:
        extra: the one that brings them, a table entry of `optional-dependencies` in pyproject.toml.
        packages: by the names that they are imported by.

    Raises:
        MissingExtraError: naming the extra, if one is not installed.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        those = f"{', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        raise MissingExtraError(f"this needs {those}: pip install 'thaw-diffusion[{extra}]'")
