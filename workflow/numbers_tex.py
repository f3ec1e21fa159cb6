"""The LaTeX file of all numbers in Plots/numbers.json.

python workflow/numbers_tex.py [--out Report/numbers.tex]      (or: make numbers)
"""

import sys

from thaw.base.files import needed
from thaw.cli import options as o
from thaw.report.latex import write_tex
from thaw.report.results import PLOTS


def main(*, out: o.Out = "Report/numbers.tex") -> None:
    """Write the file, and tell how many numbers are in it."""
    needed(PLOTS / "numbers.json", "run a notebook that records some")
    print(f"{write_tex(out)} numbers in {out}")


if __name__ == "__main__":
    sys.exit(o.run(main))
