"""The verbs of the command line that make the report and what lies around it."""

import argparse
from pathlib import Path

from thaw.base.files import needed


def banner(args: argparse.Namespace) -> None:
    """Draw the README's picture from the shipped weights."""
    from thaw.report.banner import banner as draw_banner

    needed("Plots", "name another place for the picture")
    print(draw_banner(args.out))


def numbers(args: argparse.Namespace) -> None:
    """Write the LaTeX file of all numbers in Plots/numbers.json."""
    from thaw.report.results import PLOTS, write_tex

    needed(PLOTS / "numbers.json", "run a notebook that records some")
    print(f"{write_tex(args.out)} numbers in {args.out}")


def report(args: argparse.Namespace) -> None:
    """Build the report from Plots/, or say in a sentence why it cannot be built."""
    from thaw.report.paper import build_report

    needed(Path(args.folder) / "report.tex", "name its folder with --folder")
    print(build_report(args.folder))


def cards(args: argparse.Namespace) -> None:
    """Write the model cards of the released weights from their manifest."""
    from thaw.report.cards import write_cards

    needed(Path(args.folder) / "MANIFEST.json", "export some weights first")
    print(write_cards(args.folder))
