"""What users give by command line or to notebooks: numbers in their range, parameters of the type of their default."""

import ast
import difflib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thaw.base.errors import ThawError

MOST_THREADS = 1024  # far more than help; torch breaks down on absurd numbers


@dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high`; called with a text it returns the number."""

    # low, high: the ends, included
    low: float = 0
    high: float = math.inf
    whole: bool = True  # whole numbers only; 1e3 is one
    above: bool = False  # `low` is excluded
    zero: bool = False  # 0 is allowed too, for `none`

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        low = f"{'above' if self.above else 'from' if self.high < math.inf else 'of at least'} {self.low:g}"
        high = f" {'up ' if self.above else ''}to {int(self.high) if self.whole else self.high}"
        return f"{'0, or ' if self.zero else ''}{kind} {low}{high if self.high < math.inf else ''}"

    def check(self, value: int | float) -> int | float:
        """Return a number, as an int where it is to be whole; a `ThawError` for one out of the range."""
        fits = self.low <= value <= self.high and value != math.inf and not (self.above and value == self.low)
        if not (fits or (self.zero and value == 0)) or (self.whole and value != int(value)):
            raise ThawError(f"must be {self}, got {value}")
        return int(value) if self.whole else value

    def __call__(self, text: str) -> int | float:
        """Return the number that a text is; a `ThawError` if it is none, or out of the range."""
        try:
            try:
                value: int | float = int(text)
            except ValueError:
                value = float(text)
            return self.check(value)
        except ValueError:
            raise ThawError(f"must be {self}, got {text!r}") from None


COUNT = Range(1, 10_000_000)  # of images, steps, draws, repetitions
SCORED = Range(256, 10_000_000)  # images behind a score
SCORED_OR_NONE = Range(256, 10_000_000, zero=True)
CLASS = Range(0, 1_000_000)  # the model says how many there are
EPOCHS = Range(0, 10_000_000)
SEED = Range(0, 2**63 - 1)
THREADS = Range(1, MOST_THREADS)
SIDE = Range(1, 10_000)  # rows or columns of a grid
SCALE = Range(1, 64)  # screen pixels a pixel
SHARE = Range(0, 1, whole=False)  # of noise, time
TEMPERATURE = Range(0, 2, whole=False)
WEIGHT = Range(0, whole=False)  # of guidance
MINUTES = Range(0, whole=False, above=True)

# Parameters of notebooks: what their numbers mean, and those of None that are paths.
PARAMETERS = {"n": COUNT, "bayes_n": COUNT, "image_n": COUNT, "score_n": SCORED, "final_n": SCORED, "sweep_n": SCORED}
PARAMETERS |= {"seed": SEED, "seeds": SEED, "steps": COUNT, "epoch": EPOCHS, "taus": TEMPERATURE, "weights": WEIGHT}
PARAMETERS |= {"minutes": Range(0, whole=False)}
PATHS = ("run", "coder_run", "plots")
KINDS = {bool: "true or false", int: "a whole number", float: "a number"}
KINDS |= {str: "text", list: "a list", dict: "a mapping"}


def checked_parameters(given: Mapping[str, Any], defaults: Mapping[str, str], where: str) -> dict[str, Any]:
    """Return the values for a notebook's parameters, each of the type of its default.

    Args:
        given: name -> value, as YAML or Python has it.
        defaults: name -> default, as the parameters cell writes it.
        where: name of the notebook.

    Raises:
        ThawError: for a name that the notebook does not have, a value of another type, or a number out of its range.
    """
    found = {}
    for key, value in given.items():
        if key not in defaults:
            near = difflib.get_close_matches(key, defaults, n=2)
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(defaults) or 'none'}"
            raise ThawError(f"{where} has no parameter {key!r}; {hint}")
        try:
            default = ast.literal_eval(defaults[key])
        except (ValueError, SyntaxError):  # an expression: what it gives is not known before it runs
            found[key] = value
            continue
        try:
            found[key] = _like(default, os.fspath(value) if isinstance(value, os.PathLike) else value, key)
        except ThawError as error:
            raise ThawError(f"parameter {key!r} of {where} {error}; it is {defaults[key]} by default") from None
    return found


def _like(default: Any, value: Any, name: str) -> Any:
    """Return a value that is of the type of a default, with 1e2 for 100; a `ThawError` that begins with `must be`."""
    if default is None:
        default = "" if name in PATHS else 0.0 if name in PARAMETERS else value
        if value is None:
            return None
    number = type(value) in (int, float)
    if type(default) in (int, float):
        fits = number and -math.inf < value < math.inf and (type(default) is float or value == int(value))
    else:
        fits = type(value) is type(default)
    if not fits:
        shown = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
        raise ThawError(f"must be {KINDS.get(type(default), type(default).__name__)}, got {shown}")
    if isinstance(default, list):
        return [_like(default[0], entry, name) for entry in value] if default else value
    if number and name in PARAMETERS:
        return PARAMETERS[name].check(value)
    return int(value) if type(default) is int else value
