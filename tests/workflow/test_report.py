"""The report as shipped: built twice it is the same, and nothing in it is unresolved."""

import re
import shutil
import subprocess
from pathlib import Path

import paper
import pytest
from cases import ROOT

from thaw.cli.options import run
from thaw.report import figures

needs_latex = pytest.mark.skipif(shutil.which("latexmk") is None, reason="needs latexmk")
needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs poppler-utils")


def build(folder: Path) -> Path:
    """Build the report by `make report` in a copy of what it is made from."""
    for name in ("Plots", "Report", "pretrained"):
        ignored = shutil.ignore_patterns("*.pth", "*.aux", "*.bbl", "*.fdb_latexmk", "*.fls", "*.log", "*.out", "*.pdf")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored if name != "Plots" else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(paper.main, []) == 0
    return folder / "Report/report.pdf"


@pytest.mark.slow
@needs_latex
@needs_poppler
def test_the_report_is_built_the_same_twice(tmp_path):
    first, second = build(tmp_path / "a"), build(tmp_path / "somewhere/else")
    assert first.read_bytes() == second.read_bytes()
    text = subprocess.run(["pdftotext", first, "-"], capture_output=True, text=True, check=True).stdout
    assert "??" not in text and "thaw@" not in text and "unknown number '" not in text
    begins = re.compile("^Restorations that tell the truth$", re.M)
    appendix = next(page for page, on in enumerate(text.split("\f"), 1) if begins.search(on))
    assert 8 <= appendix <= 12  # twelve pages, appendix apart


@needs_poppler
def test_letters_of_a_figure_can_be_searched_and_edited(tmp_path):
    path = figures.save_figure(figures.curves({"a": ([1, 2], [3, 4])}, "epoch", "loss"), tmp_path / "a.pdf")
    fonts = subprocess.run(["pdffonts", path], capture_output=True, text=True, check=True).stdout
    assert "TrueType" in fonts and "Type 3" not in fonts


def test_every_figure_of_the_report_is_there_and_curves_are_vectors():
    figures = paper.figures_of(ROOT / "Report/report.tex")
    assert len(figures) >= 12
    for name in figures:
        assert (ROOT / "Plots" / name).is_file() and (ROOT / "Plots" / f"{name}.json").is_file()
    curves = [
        name
        for name in figures
        if re.search(r"fid|loss|temperature_(why|destroyed)|temperature\.|epochs\.pdf|behaviour|trials|sampling", name)
    ]
    assert all(name.endswith(".pdf") for name in curves)


def test_every_reference_has_a_doi_or_an_address_and_is_cited():
    entries = re.findall(r"@\w+\{(\w+),(.*?)\n\}", (ROOT / "Report/refs.bib").read_text(), re.S)
    text = (ROOT / "Report/report.tex").read_text()
    cited = {key.strip() for keys in re.findall(r"\\cite\w*(?:\[[^]]*\])?\{([^}]*)\}", text) for key in keys.split(",")}
    for key, body in entries:
        assert re.search(r"doi\s*=\s*\{10\.\d+/\S+\}", body) or r"\url{https://" in body, key
    assert cited == {key for key, _ in entries}
