"""LaTeX: the macros of all numbers, and building a PDF, or one sentence that says what is wrong."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from thaw.base import ThawError, check_target, write_text
from thaw.report.results import PLOTS, read_numbers

GENERATED = "% Generated from Plots/numbers.json"
LATEX = {character: f"\\{character}" for character in "_%&#${}"}
LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}
PACKAGES = "latexmk texlive-latex-extra texlive-science lmodern"
# What a log says -> the sentence about it. The first that matches is told.
COMPLAINTS = {
    r"^! Package thaw Error: unknown number '(.+)'": "the number '{}' is not in Plots/numbers.json; correct its name, "
    "or run the notebook that records it",
    r"^! Package thaw Error: (.+?)\.?$": "{}",
    r"^! LaTeX Error: File `(.+)' not found": "LaTeX cannot find the file {}; install: apt install " + PACKAGES,
    r"^! (.+)": "LaTeX stopped: {}",
    r"LaTeX Warning: Reference `(.+?)' .*undefined": "the reference '{}' is undefined; define its label, or correct it",
    r"Package natbib Warning: Citation `(.+?)' .*undefined": "the citation '{}' is not in refs.bib; add or correct it",
    r"LaTeX Warning: Label `(.+?)' multiply defined": "the label '{}' is defined twice; rename one of them",
}


def escape(text: str) -> str:
    """Return a text as LaTeX prints it."""
    return "".join(LATEX.get(character, character) for character in text)


def write_tex(
    path: str | Path,
    folder: str | Path = PLOTS,
    told: Callable[[str, dict[str, Any]], str] = lambda key, entry: escape(entry["text"]),
    macros: Sequence[str] = (),
) -> int:
    r"""Write the LaTeX file that defines `\val{key}` for every number; an unknown key is a LaTeX error.

    Args:
        path: the file.
        folder: of numbers.json.
        told: (key, entry) -> what LaTeX prints; the text of the number by default.
        macros: further lines.

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
    defined = [rf"\expandafter\def\csname thaw@{key}\endcsname{{{told(key, one)}}}" for key, one in numbers.items()]
    write_text(path, "\n".join([*lines, *macros, *defined]) + "\n")
    return len(numbers)


def has_latex() -> bool:
    """Tell whether a PDF can be built here."""
    return shutil.which("latexmk") is not None


def compile_latex(source: Path) -> Path:
    """Build the PDF of a LaTeX source by latexmk, beside it, and return its path.

    Raises:
        ThawError: in one sentence, for a missing LaTeX, an unknown number, an undefined or doubly defined reference, or
            any other complaint of LaTeX.
    """
    if not has_latex():
        raise ThawError(f"latexmk is not installed; on Debian or Ubuntu: apt install {PACKAGES}")
    # The same source gives the same file: no date, and long lines in the log, which is read below.
    settings = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "max_print_line": "1000", "error_line": "254"}
    command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", source.name]
    said = source.parent / "build.txt"
    with open(said, "w") as file:
        done = subprocess.run(command, cwd=source.parent, env=os.environ | settings, stdout=file, stderr=file)
    log = source.with_suffix(".log")
    told = log.read_text(errors="replace") if log.is_file() else ""
    found = ((re.search(pattern, told, re.M), sentence) for pattern, sentence in COMPLAINTS.items())
    complaint = next((sentence.format(*match.groups()) for match, sentence in found if match), None)
    if complaint or done.returncode:
        source.with_suffix(".pdf").unlink(missing_ok=True)  # half of it right is not right
        raise ThawError(f"{source}: {complaint or f'latexmk failed; see {said}'}")
    return source.with_suffix(".pdf")
