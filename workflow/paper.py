"""The report: from Plots/ and the numbers in it to a PDF, or one sentence that says what is wrong.

python workflow/paper.py [--folder Report]      (or: make report)
"""

import json
import re
import sys
from functools import partial
from pathlib import Path

from numbers_tex import write_tex
from stale import Manifest, mark_times, why_stale

from thaw.base.errors import ThawError
from thaw.base.files import check_target, needed
from thaw.cli import options as o
from thaw.report.latex import PACKAGES, compile_latex, has_latex
from thaw.report.results import PLOTS, read_numbers
from thaw.store import PRETRAINED, read_manifest

REPORT = Path("Report")
FIGURE = re.compile(r"\\includegraphics(?:\[[^]]*\])?\{([^}]+)\}")


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
    if not has_latex():
        raise ThawError(f"latexmk is not installed; on Debian or Ubuntu: apt install {PACKAGES}")
    source = folder / f"{name}.tex"
    check_figures(source, Path(plots), manifest)
    marks = mark_times(read_numbers(plots), manifest)
    write_tex(folder / "numbers.tex", plots, partial(why_stale, manifest=manifest), marks)
    return compile_latex(source)


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
