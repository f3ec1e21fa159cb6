"""The numbers of studies of one's own degradations, for the report's tables.

python workflow/own.py contents/studies/curtain ...      (what `thaw study` left; make reproduce does it)
"""

import sys
from pathlib import Path

from thaw.base.errors import ThawError
from thaw.base.files import locked, write_json
from thaw.cli import options as o
from thaw.report.results import PLOTS, read_numbers


def add_own(folders: list[str | Path], plots: str | Path = PLOTS) -> int:
    """Copy the numbers of studies, each with its origin, into the numbers of the report; return how many.

    Args:
        folders: of studies, each with `paper/numbers.json`.
        plots: of the report's numbers.json.

    Raises:
        ThawError: for a folder without a paper.
    """
    found = {}
    for folder in folders:
        numbers = read_numbers(Path(folder) / "paper")
        if not numbers:
            raise ThawError(f"{folder} holds no paper; make it by `thaw study`")
        found |= numbers
    names = {key.split(".")[1] for key in found}
    path = Path(plots) / "numbers.json"
    with locked(path):
        others = {key: value for key, value in read_numbers(plots).items() if not _of(key, names)}
        write_json(path, dict(sorted((others | found).items())))
    return len(found)


def _of(key: str, names: set[str]) -> bool:
    """Tell whether a number is of an earlier study of one of these degradations."""
    return key.startswith("own.") and key.split(".")[1] in names


def main(*folders: o.Studies) -> None:
    """Copy them, and tell how many there were."""
    print(f"{add_own(list(folders))} numbers of {len(folders)} studies in {PLOTS / 'numbers.json'}")


if __name__ == "__main__":
    sys.exit(o.run(main))
