"""Reading the YAML files of the workflows."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from thaw.settings import read_yaml

Definition = TypeVar("Definition", bound=BaseModel)


def read_definition(path: str | Path, kind: type[Definition]) -> Definition:
    """Read a file into a model, e.g. `read_definition(path, Sweep)`.

    Raises:
        ValueError: if it is no such thing; the message names the key.
    """
    name = kind.__name__.lower()
    try:
        return kind.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path}: {key}: {first['msg']}; a {name} has {', '.join(kind.model_fields)}") from None
