"""Reading the YAML files of the workflows."""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError

from thaw.base.settings import read_yaml

Definition = TypeVar("Definition", bound=BaseModel)
IN_BRACES = re.compile(r"\{(\d+\.?\d*)(?:, *(\d+))?\}")  # a number, and the least that it becomes


def check_path(path: str) -> str:
    """Return a path that Snakemake can take; a `ValueError` for others: it takes {braces} for wildcards."""
    if found := re.search(r"[{}\x00-\x1f\x7f]", path):
        raise ValueError(f"{path!r} must not contain {found[0]!r}")
    return path


def check_name(name: str) -> str:
    """Return what can be the name of a file, too; a `ValueError` for others."""
    if "/" in name or len(os.fsencode(name)) > 200:
        raise ValueError(f"{name!r} names files, so it must not contain '/', nor be longer than 200 bytes")
    return check_path(name)


Folder = Annotated[str, AfterValidator(check_path)]
Name = Annotated[str, AfterValidator(check_name)]


def assign(values: dict[str, Any]) -> list[str]:
    """Return `key=value` words as the command line reads them: JSON is YAML."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def scaled(value: Any, budget: float) -> Any:
    """Return a value with every number in braces times the budget: "{10000, 256}" by 0.05 is 500, and at least 256."""
    if isinstance(value, dict):
        return {key: scaled(one, budget) for key, one in value.items()}
    if isinstance(value, list):
        return [scaled(one, budget) for one in value]
    if not isinstance(value, str):
        return value

    def number(found: re.Match[str]) -> str:
        text, least = found.groups()
        return f"{float(text) * budget:g}" if "." in text else str(max(int(least or 1), round(int(text) * budget)))

    text = IN_BRACES.sub(number, value)
    return json.loads(text) if IN_BRACES.fullmatch(value) else text


def read_definition(path: str | Path, kind: type[Definition], budget: Any = None) -> Definition:
    """Read a file into a model, e.g. `read_definition(path, Sweep)`; its numbers in braces are `scaled` by its budget.

    Args:
        path: of the YAML file.
        kind: the model.
        budget: in place of the file's.

    Raises:
        ValueError: if it is no such thing; the message names the key.
    """
    name = kind.__name__.lower()
    if not isinstance(path, str | Path):
        raise ValueError(f"the {name} must be named by one path, got {path!r}; in --config, quote it for YAML too")
    try:
        values = read_yaml(path) | ({} if budget is None else {"budget": budget})
        share = values.get("budget", 1)
        return kind.model_validate(scaled(values, share if isinstance(share, int | float) and 0 < share <= 1 else 1))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        reason = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {key}: {reason}; a {name} has {', '.join(kind.model_fields)}") from None
