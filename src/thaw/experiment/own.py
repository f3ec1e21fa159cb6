"""A degradation of one's own: a Python file that registers one."""

import runpy
from pathlib import Path

from thaw.base import ThawError, advice, user_path
from thaw.degradations.base import registered


def register_from(path: str | Path) -> str:
    """Run a Python file that registers a degradation, and return its name.

    Raises:
        ThawError: no such file, one that fails, or one that does not register exactly one degradation.
    """
    path = user_path(path)
    if not path.is_file():
        raise ThawError(f"no file {path}; {advice(path, 'your own degradation is a .py file with @thaw.register')}")
    before = registered()
    try:
        runpy.run_path(str(path), run_name="thaw_own")
    except ThawError:
        raise
    except (Exception, SystemExit) as error:  # whatever a stranger's file raises, it is told in a sentence
        raise ThawError(f"{path} fails: {type(error).__name__}: {error}") from error
    new = [name for name, factory in registered().items() if before.get(name) is not factory]
    if len(new) != 1:
        found = f"registers {', '.join(new)}" if new else "registers no degradation"
        raise ThawError(f'{path} {found}; it takes one class or function under @thaw.register("name")')
    return new[0]
