"""The one exception whose message is meant for the user, and the look-up whose failure it most often tells."""

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
