"""Files of tensors and plain values, read without ever unpickling anything else."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from thaw.base import ThawError, advice, first_line, replacing


def load_tensors(path: str | Path) -> dict[str, Any]:
    """Read a file of tensors and plain values.

    Raises:
        ThawError: for a missing, truncated or foreign file, or one that holds anything but tensors
            and plain values (its code is not run).
    """
    path = Path(path)
    if not path.is_file():
        raise ThawError(f"no file {path}; {advice(path, 'check its name')}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as parts:  # torch itself would not notice a flipped bit
                if (part := parts.testzip()) is not None:
                    raise zipfile.BadZipFile(part)
    except pickle.UnpicklingError:
        raise ThawError(f"{path} holds more than tensors and plain values, or is no torch file; not loaded") from None
    except Exception as error:  # whatever damage or malice makes the reader stumble over
        raise ThawError(f"{path} is truncated or damaged ({type(error).__name__}); download or copy it again") from None
    if not isinstance(content, dict):
        raise ThawError(f"{path} is not a Thaw file: it holds a {type(content).__name__}, not named parts")
    return content


def save_tensors(path: str | Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values atomically."""
    with replacing(path) as temporary:
        write_tensors(content, temporary)


def write_tensors(content: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values; an OSError if the disk is full."""
    try:
        torch.save(content, path)
    except RuntimeError as error:  # torch's word for a full disk
        raise OSError(f"torch could not write all of it ({first_line(error)})") from error
