"""The LaTeX file of all numbers in Plots/numbers.json.

python workflow/numbers_tex.py [--out Report/numbers.tex]      (or: make numbers)
"""

import sys
from collections.abc import Callable
from pathlib import Path

from thaw.base.files import check_target, needed, write_text
from thaw.cli import options as o
from thaw.report.results import PLOTS, read_numbers

GENERATED = "% Generated from Plots/numbers.json"
LATEX = {character: f"\\{character}" for character in "_%&#${}"}
LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}


def write_tex(
    path: str | Path,
    folder: str | Path = PLOTS,
    stale: Callable[[dict], str | None] | None = None,
    marks: tuple[dict[str, str], str] = ({}, ""),
) -> int:
    r"""Write the LaTeX file that defines `\val{key}` for every number; an unknown key is a LaTeX error.

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
    check_target(path, ".tex", mark=GENERATED)
    numbers = read_numbers(folder)
    lines = [
        f"{GENERATED} by `make numbers`. Do not edit.",
        r"\newcommand{\val}[1]{\ifcsname thaw@#1\endcsname\csname thaw@#1\endcsname\else",
        r"  \PackageError{thaw}{unknown number '#1'}{Run the notebook that records it.}\fi}",
    ]
    letters, told = marks
    lines.append(rf"\newcommand{{\machines}}{{{escape(told)}}}")
    for key, entry in numbers.items():
        text, reason = escape(entry["text"]), stale(entry["origin"]) if stale else None
        text += rf"\textsuperscript{{{letters[key]}}}" if letters.get(key) else ""
        if reason:
            text = rf"\PackageError{{thaw}}{{the number '{key}' {reason}}}{{}}"  # printed, not typeset
        lines.append(rf"\expandafter\def\csname thaw@{key}\endcsname{{{text}}}")
    write_text(path, "\n".join(lines) + "\n")
    return len(numbers)


def escape(text: str) -> str:
    """Return a text as LaTeX prints it."""
    return "".join(LATEX.get(character, character) for character in text)


def main(*, out: o.Out = "Report/numbers.tex") -> None:
    """Write the file, and tell how many numbers are in it."""
    needed(PLOTS / "numbers.json", "run a notebook that records some")
    print(f"{write_tex(out)} numbers in {out}")


if __name__ == "__main__":
    sys.exit(o.run(main))
