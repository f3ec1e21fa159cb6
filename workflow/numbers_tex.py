"""The LaTeX file of all numbers in Plots/numbers.json.

python workflow/numbers_tex.py [--out Report/numbers.tex]      (or: make numbers)
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thaw.base.files import needed
from thaw.cli import options as o
from thaw.report import latex
from thaw.report.latex import escape
from thaw.report.results import PLOTS, read_numbers

OWN = r"own\.\w+\.plan\.n"  # tells that there are numbers of a degradation of one's own, from `thaw study`


def write_tex(
    path: str | Path,
    folder: str | Path = PLOTS,
    stale: Callable[[dict], str | None] | None = None,
    marks: tuple[dict[str, str], str] = ({}, ""),
) -> int:
    r"""Write the LaTeX file of the report's numbers, see `thaw.report.latex.write_tex`.

    `\eachown{\line}` calls `\line{name}{title}` for every degradation of one's own whose study has been added, and
    `\whenown{...}` holds what is left out where there is none.

    Args:
        path: the file.
        folder: of numbers.json.
        stale: tells of an origin why its numbers must not be printed (see `stale.why_stale`), None if
            they may; a number that is used all the same is a LaTeX error too.
        marks: key -> letter to stand behind the number, and what the letters mean, for the macro `\machines`: see
            `stale.mark_times`.

    Returns:
        How many numbers were written.
    """
    letters, meaning = marks
    own = sorted({key.split(".")[1] for key in read_numbers(folder) if re.fullmatch(OWN, key)})
    macros = [
        rf"\newcommand{{\machines}}{{{escape(meaning)}}}",
        rf"\newcommand{{\eachown}}[1]{{{''.join(f'#1{{{name}}}{{{escape(name)}}}' for name in own)}}}",
        rf"\newcommand{{\whenown}}[1]{{{'#1' if own else ''}}}",
    ]

    def told(key: str, entry: dict[str, Any]) -> str:
        if reason := stale(entry["origin"]) if stale else None:
            return rf"\PackageError{{thaw}}{{the number '{key}' {reason}}}{{}}"  # printed, not typeset
        return escape(entry["text"]) + (rf"\textsuperscript{{{letters[key]}}}" if letters.get(key) else "")

    return latex.write_tex(path, folder, told, macros)


def main(*, out: o.Out = "Report/numbers.tex") -> None:
    """Write the file, and tell how many numbers are in it."""
    needed(PLOTS / "numbers.json", "run a notebook that records some")
    print(f"{write_tex(out)} numbers in {out}")


if __name__ == "__main__":
    sys.exit(o.run(main))
