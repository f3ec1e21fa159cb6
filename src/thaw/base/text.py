"""How numbers are written, everywhere alike."""

from typing import Any


def number(value: Any, form: str = ".2f") -> str:
    """Return a number as it is shown and recorded: one that rounds to nothing has no sign, None is a dash."""
    if value is None:
        return "-"
    return format(value, f"z{form}" if isinstance(value, float) else form)
