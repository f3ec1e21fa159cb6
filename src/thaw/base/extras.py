"""What an installation may leave out, and the one sentence where it is needed."""

import importlib.util

from thaw.base.errors import ThawError


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
