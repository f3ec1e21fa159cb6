"""The report: from Plots/ and the numbers in it to a PDF, or one sentence that says what is wrong.

python workflow/paper.py [--folder Report]      (or: make report)
"""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from numbers_tex import write_tex
from stale import Manifest, mark_times, why_stale

from thaw.base.errors import ThawError
from thaw.base.files import check_target, needed
from thaw.cli import options as o
from thaw.report.results import PLOTS, read_numbers
from thaw.store.weights import PRETRAINED, read_manifest

REPORT = Path("Report")
PACKAGES = "latexmk texlive-latex-extra texlive-science lmodern"
FIGURE = re.compile(r"\\includegraphics(?:\[[^]]*\])?\{([^}]+)\}")
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


def build_report(
    folder: str | Path = REPORT, plots: str | Path = PLOTS, pretrained: str | Path = PRETRAINED, name: str = "report"
) -> Path:
    """Write numbers.tex, build the PDF by latexmk, and return its path.

    Args:
        folder: of the LaTeX source `<name>.tex`.
        plots: of numbers.json and the figures.
        pretrained: of the weights' manifest, which numbers and figures must belong to.
        name: of the document.

    Raises:
        ThawError: in one sentence, for a missing LaTeX, an unknown number, a number or figure that is older than its
            weights, an undefined or doubly defined reference, or any other complaint of LaTeX.
    """
    folder, manifest = check_target(folder, folder="filled"), read_manifest(pretrained)
    if not shutil.which("latexmk"):
        raise ThawError(f"latexmk is not installed; on Debian or Ubuntu: apt install {PACKAGES}")
    source = folder / f"{name}.tex"
    check_figures(source, Path(plots), manifest)
    marks = mark_times(read_numbers(plots), manifest)
    write_tex(folder / "numbers.tex", plots, partial(why_stale, manifest=manifest), marks)
    # The same source gives the same file: no date, and long lines in the log, which is read below.
    settings = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "max_print_line": "1000", "error_line": "254"}
    command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", source.name]
    with open(folder / "build.txt", "w") as said:
        done = subprocess.run(command, cwd=folder, env=os.environ | settings, stdout=said, stderr=subprocess.STDOUT)
    log = folder / f"{name}.log"
    complaint = find_complaint(log.read_text(errors="replace") if log.is_file() else "")
    if complaint or done.returncode:
        (folder / f"{name}.pdf").unlink(missing_ok=True)  # half of it right is not right
        raise ThawError(f"{source}: {complaint or f'latexmk failed; see {folder}/build.txt'}")
    return folder / f"{name}.pdf"


def find_complaint(log: str) -> str | None:
    """Return what a LaTeX log complains of, as part of a sentence; None if all is well."""
    for pattern, sentence in COMPLAINTS.items():
        if found := re.search(pattern, log, re.M):
            return sentence.format(*found.groups())
    return None


def figures_of(source: Path) -> list[str]:
    """Return the names of the figures that a LaTeX source includes, in order."""
    text = re.sub(r"(?<!\\)%.*", "", source.read_text())
    return list(dict.fromkeys(FIGURE.findall(text)))


def check_figures(source: Path, plots: Path, manifest: Manifest) -> None:
    """Raise a `ThawError` for a figure that is missing, has no origin, or is older than its weights."""
    for name in figures_of(source):
        path = plots / name
        origin = path.with_name(f"{name}.json")
        if not path.is_file() or not origin.is_file():
            missing = path if not path.is_file() else f"{origin}, which tells where the figure comes from,"
            raise ThawError(f"{source}: {missing} is missing; run the notebook that draws it")
        told = json.loads(origin.read_text())
        if reason := why_stale(told, manifest):
            raise ThawError(f"{source}: the figure {name} {reason}")


def main(*, folder: o.Out = "Report") -> None:
    """Build the report of a folder."""
    needed(Path(folder) / "report.tex", "name its folder with --folder")
    print(build_report(folder))


if __name__ == "__main__":
    sys.exit(o.run(main))
