"""Numbers of the report: from a notebook, through numbers.json, into LaTeX."""

import json
import shutil
import subprocess

import pytest
from numbers_tex import write_tex

from thaw.base.errors import ThawError
from thaw.report import results

ORIGIN = {"notebook": "01_ddpm", "seed": 0}
needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")


def typeset(folder, body: str) -> subprocess.CompletedProcess:
    """Typeset a document that reads numbers.tex."""
    text = (
        rf"\documentclass{{article}}\input{{numbers.tex}}\begin{{document}}\typeout{{<{body}>}}{body}\end{{document}}"
    )
    (folder / "report.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_a_number_is_stored_with_its_text_and_its_origin(tmp_path):
    results.record({"ddpm.fid": (3.14159, ".2f"), "ddpm.name": ("default", "")}, ORIGIN, tmp_path)
    numbers = results.read_numbers(tmp_path)
    assert numbers["ddpm.fid"]["value"] == 3.14159 and numbers["ddpm.fid"]["text"] == "3.14"
    assert numbers["ddpm.name"]["text"] == "default"
    assert all(entry["origin"].items() >= ORIGIN.items() and entry["origin"]["commit"] for entry in numbers.values())


def test_recording_again_replaces_a_number_and_keeps_the_others(tmp_path):
    results.record({"b": (1, "d"), "a": (2, "d")}, ORIGIN, tmp_path)
    results.record({"b": (3, "d")}, {"notebook": "other"}, tmp_path)
    numbers = results.read_numbers(tmp_path)
    assert list(numbers) == ["a", "b"]  # in order, so that a change is a small diff
    assert numbers["b"]["value"] == 3 and numbers["b"]["origin"]["notebook"] == "other"
    assert numbers["a"]["value"] == 2 and numbers["a"]["origin"]["notebook"] == "01_ddpm"


@pytest.mark.parametrize("key", ["FID", "ddpm fid", "", "fid%", "a\\b", "a}"])
def test_a_key_that_latex_could_not_read_is_refused_and_nothing_is_written(key, tmp_path):
    with pytest.raises(ThawError, match="keys"):
        results.record({"good": (1, "d"), key: (1, "d")}, ORIGIN, tmp_path)
    assert results.read_numbers(tmp_path) == {}


def test_no_numbers_yet_is_an_empty_file(tmp_path):
    assert results.read_numbers(tmp_path) == {}
    assert write_tex(tmp_path / "numbers.tex", tmp_path) == 0


def test_the_file_is_readable_json(tmp_path):
    results.record({"a": (1, "d")}, ORIGIN, tmp_path)
    text = (tmp_path / "numbers.json").read_text()
    assert json.loads(text) == results.read_numbers(tmp_path) and text.endswith("\n")


def test_a_damaged_file_is_refused_by_name(tmp_path):
    (tmp_path / "numbers.json").write_text('{"a": ')
    with pytest.raises(ThawError, match="numbers.json"):
        results.read_numbers(tmp_path)


def test_outside_a_git_checkout_the_commit_is_unknown():
    assert results.commit() == "unknown"  # tests run in a scratch directory


def test_every_number_gets_one_definition(tmp_path):
    results.record({"ddpm.fid": (3.14159, ".2f"), "share": (0.25, ".0%")}, ORIGIN, tmp_path)
    assert write_tex(tmp_path / "Report" / "numbers.tex", tmp_path) == 2
    tex = (tmp_path / "Report" / "numbers.tex").read_text()
    assert tex.count(r"\expandafter\def") == 2
    assert r"thaw@ddpm.fid\endcsname{3.14}" in tex and r"thaw@share\endcsname{25\%}" in tex


@needs_latex
def test_latex_reads_the_numbers_as_they_were_written(tmp_path):
    values = {"a.b_c.1": (3.14159, ".2f"), "share": (0.25, ".0%"), "name": ("row_default & #1 $x$", "")}
    results.record(values, ORIGIN, tmp_path)
    write_tex(tmp_path / "numbers.tex", tmp_path)
    done = typeset(tmp_path, r"\val{a.b_c.1} \val{share} \val{name}")
    assert done.returncode == 0, done.stdout[-2000:]
    assert r"<3.14 25\% row\_default \& \#1 \$x\$>" in done.stdout.replace("\n", "")


@needs_latex
@pytest.mark.parametrize("text", ["a~b", "x^2", "{", r"C:\data", "50 < 60"])
def test_latex_survives_any_text(text, tmp_path):
    results.record({"text": (text, "")}, ORIGIN, tmp_path)
    write_tex(tmp_path / "numbers.tex", tmp_path)
    assert typeset(tmp_path, r"\val{text}").returncode == 0


@needs_latex
def test_an_unknown_key_stops_latex(tmp_path):
    results.record({"known": (1, "d")}, ORIGIN, tmp_path)
    write_tex(tmp_path / "numbers.tex", tmp_path)
    assert typeset(tmp_path, r"\val{known}").returncode == 0
    done = typeset(tmp_path, r"\val{unknown.key}")
    assert done.returncode != 0 and "unknown number 'unknown.key'" in done.stdout


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [(-0.00004, ".4f", "0.0000"), (-0.0, ".2f", "0.00"), (-0.0001, ".4f", "-0.0001"), (0.5, ",.0f", "0"),
     (-1234.5, ",.1f", "-1,234.5"), (-0.0, "g", "0"), (3, ",d", "3"), ("default", "", "default"), (None, ".2f", "-"),
     (float("nan"), ".1f", "nan")],
)  # fmt: skip
def test_what_rounds_to_nothing_is_shown_without_a_sign(value, form, text, tmp_path):
    assert results.number(value, form) == text
    results.record({"a": (value, form)}, ORIGIN, tmp_path)
    assert results.read_numbers(tmp_path)["a"]["text"] == text
