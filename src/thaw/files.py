"""Writing files so that nothing is ever half-written: a temporary name first, then a rename."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from thaw.errors import ThawError

PROJECT = ("benchmarks", "configs", "notebooks", "Plots", "pretrained", "Report", "workflow")  # its own folders


def user_path(path: str | Path) -> Path:
    """Return a path that a user gave, with `~` expanded, as not every shell does; a `ThawError` if it is empty."""
    if not str(path):
        raise ThawError("a path is empty (a shell variable that is not set?); name a file or folder")
    return Path(os.path.expanduser(path))


def make_folder(path: Path) -> Path:
    """Create a folder and check that files can be written in it; a `ThawError` if not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ThawError(f"cannot write in {path}: {error.strerror or error}; choose another folder") from error
    return path


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot flush a folder
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, moved over it if the block succeeds, removed if it fails.

    The block writes a file or fills a folder at the temporary path. The suffix is kept, because
    some writers choose the format by it. It is on the disk before it is renamed, so that not even a
    power cut leaves an empty file under the final name.
    """
    path = user_path(path)
    make_folder(path.parent)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        if not temporary.is_symlink():
            for part in [*temporary.iterdir(), temporary] if temporary.is_dir() else [temporary]:
                flush(part)
        doomed = path.with_name(f".{path.name}.{os.getpid()}.removed")
        if path.is_dir() and not path.is_symlink():
            os.replace(path, doomed)  # a folder cannot be replaced in one go, but it is whole or not there
        os.replace(temporary, path)
        flush(path.parent)
        shutil.rmtree(doomed, ignore_errors=True)
    except OSError as error:
        raise ThawError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: str | Path) -> Iterator[None]:
    """Hold the lock of a file that several processes read, change and write back (two notebooks, say)."""
    folder = os.open(make_folder(Path(path).parent), os.O_RDONLY)  # locking the folder leaves no lock file behind
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file atomically, indented, with a final newline."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(key: dict[str, Any]) -> str:
    """Return the first 16 digits of the SHA-256 of plain values: a file name for what depends on nothing else."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


def remember(folder: Path | None, key: dict[str, Any], compute: Callable[[], Any]) -> Any:
    """Return `compute()`, or what it gave before for the same key.

    Args:
        folder: one JSON file a key; None to remember nothing.
        key: everything the value depends on, as plain values.
        compute: gives a plain value.
    """
    if folder is None:
        return compute()
    key = json.loads(json.dumps(key))  # as it is read back: tuples are lists
    path = folder / f"{digest_of(key)}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # absent or damaged: computed again
        known = json.loads(path.read_text())
        if known["key"] == key:
            return known["value"]
    value = compute()
    write_json(path, {"key": key, "value": value})
    return value


def by_git(path: str | Path) -> str:
    """Return the command that restores a file or folder of the clone, as it can be copied into a shell."""
    return f"`git checkout {shlex.quote(str(path))}`"


def project_root() -> Path:
    """Return the nearest folder, from the current one upwards, that holds `notebooks/` and `pyproject.toml`."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise ThawError(f"{here} is not inside the Thaw project; change to the folder that you cloned")


def advice(path: str | Path, otherwise: str) -> str:
    """Return what to do about a file of the project that is not there: go to the project, or else what is said.

    Args:
        path: of the file, relative to the project's root.
        otherwise: what helps in the project itself, or where the path is none of its own.
    """
    top = Path(path).parts[0] if Path(path).parts else ""
    if top not in PROJECT or Path(top).exists():
        return otherwise
    try:
        return f"run this in the project's folder, {project_root()}"
    except ThawError:
        clone = Path(__file__).resolve().parents[2]
        known = f" ({clone})" if (clone / top).is_dir() else ""
        return f"{Path.cwd()} is not inside the Thaw project: run this in the folder that you cloned{known}"


def needed(path: str | Path, otherwise: str) -> Path:
    """Return the path of a file or folder of the project; a `ThawError` with `advice` if it is not there."""
    if not Path(path).exists():
        raise ThawError(f"no {path}; {advice(path, otherwise)}")
    return Path(path)


def enter_project() -> Path:
    """Change to the project's root, so that paths in a notebook mean the same by hand and under papermill."""
    root = project_root()
    os.chdir(root)
    return root
