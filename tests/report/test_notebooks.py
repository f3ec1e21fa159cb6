"""Every notebook executes headlessly at its smallest size, from the project's root and from its own folder."""

import json
import math
import re
from pathlib import Path

import nbformat
import pytest
import release
from cases import ROOT

from thaw import degradations
from thaw.base.arguments import checked_parameters
from thaw.base.errors import ThawError
from thaw.cli.main import main
from thaw.report import notebooks
from thaw.scoring import load_judges

SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))


def run(name: str, folder: Path, **parameters: object) -> nbformat.NotebookNode:
    """Execute a notebook by `thaw notebook` into a folder, in the project's root, and return it."""
    output = folder / f"{name}.ipynb"
    settings = [part for key, value in parameters.items() for part in ("-p", f"{key}={value}")]
    assert main(["notebook", name, "--out", str(output), *settings]) == 0
    assert output.with_suffix(".html").stat().st_size > 10_000
    return nbformat.read(output, 4)


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@pytest.mark.slow
def test_a_training_notebook_trains_draws_and_scores(tmp_path, monkeypatch):
    """Of a degradation with a z; the whole study executes others, and any folder of images more."""
    monkeypatch.chdir(ROOT)
    name, config = "02_custom_degradation", "configs/custom/eraser_default.yaml"
    notebook = run(name, tmp_path, config=config, run=str(tmp_path / "run"), smoke=True)
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert {path.name for path in (tmp_path / "run").glob("epoch_*")} == {"epoch_0000", "epoch_0001", "epoch_0002"}
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 3
    assert (tmp_path / "run/samples/epoch_0002.png").is_file()
    numbers = json.loads((tmp_path / "run/Plots/numbers.json").read_text())
    assert any(key.endswith("final.fid") for key in numbers)
    assert all(entry["origin"]["notebook"] == name for entry in numbers.values())
    figures = [path for path in (tmp_path / "run/Plots").iterdir() if path.suffix in (".png", ".pdf")]
    shown = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert len(shown) == len(figures) >= 8  # every figure that is saved is seen in the notebook too
    assert all(path.with_name(path.name + ".json").is_file() for path in figures)


@pytest.mark.slow
def test_the_latent_notebook_trains_both_networks_and_shows_every_figure(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    runs = {"run": str(tmp_path / "flow"), "coder_run": str(tmp_path / "coder")}
    notebook = run("03_latent_flow", tmp_path, config="configs/latent/mnist.yaml", smoke=True, **runs)
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    figures = [p for part in ("flow", "coder") for p in (tmp_path / part / "Plots").iterdir() if p.suffix != ".json"]
    shown = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert len(shown) == len(figures) >= 11
    assert all(path.with_name(path.name + ".json").is_file() for path in figures)
    numbers = json.loads((tmp_path / "flow/Plots/numbers.json").read_text())
    assert any(key.endswith("bayes.accuracy") for key in numbers)


@pytest.mark.slow
def test_the_tour_shows_every_degradation(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    plots = tmp_path / "Plots"
    monkeypatch.setenv("THAW_DATA", str(tmp_path))
    notebook = run("00_degradations", tmp_path, data="digits", plots=str(plots))
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    shown = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    saved = [path for path in plots.iterdir() if path.suffix in (".png", ".pdf")]
    assert len(shown) == len(saved) == 2 * len(degradations.names()) + 4


@pytest.mark.slow
def test_the_temperature_study_sweeps_what_is_shipped(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "nothing here"))
    notebook = run("05_temperature", tmp_path, smoke=True)
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    shown = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert len(shown) == 6  # three curves, two for the controls and the reason, one grid


@pytest.mark.slow
def test_a_model_is_distilled_without_a_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "nothing here"))
    notebook = run("06_few_steps", tmp_path, smoke=True, run=str(tmp_path / "run"))
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    shown = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    saved = [path for path in (tmp_path / "run/Plots").iterdir() if path.suffix in (".png", ".pdf")]
    assert len(shown) == len(saved) == 3
    numbers = json.loads((tmp_path / "run/Plots/numbers.json").read_text())
    assert numbers["ddpm.fast_smoke.evaluations"]["value"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("with_data", [False, True])
def test_the_evaluation_scores_sorts_and_compares_what_is_shipped(with_data, tmp_path, monkeypatch, request):
    """What needs the data set (damaged digits, nearest training digits) is left out in a sentence without it."""
    monkeypatch.chdir(ROOT)
    if with_data:
        request.getfixturevalue("mnist")
    else:
        monkeypatch.setenv("THAW_DATA", str(tmp_path / "nothing here"))
    notebook = run("04_evaluation", tmp_path, smoke=True)
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    shown = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    said = "".join(output.text for output in outputs(notebook) if output.output_type == "stream")
    assert len(shown) == 7 + 3 * with_data  # curves and grids of two models; with data also those of real digits
    assert said.count("not at hand") == 2 * (not with_data)
    assert ("Only one judge" in said) == (list(load_judges("mnist")) == [0])
    assert said.count("rises at every step: True") == 3 * with_data
    numbers = json.loads((ROOT / "contents/smoke/Plots/numbers.json").read_text())
    assert numbers["evaluation.default.fid"]["origin"]["notebook"] == "04_evaluation"


@pytest.mark.slow
def test_load_and_play_needs_no_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "nothing here"))
    out = tmp_path / "play"
    assert main(["play", "--out", str(out), "--set", "smoke=true"]) == 0
    notebook = nbformat.read(out / "load_and_play.ipynb", 4)
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    kinds = ("ddpm_default", "custom_row_default_28_algorithm2", "custom_row_default_28_warm")
    for kind in kinds:
        for suffix in ("samples.png", "progression.png", "progression.gif"):
            assert (out / f"{kind}_{suffix}").stat().st_size > 500
    shown = [
        cell.source for cell in notebook.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})
    ]
    assert len(shown) == 10  # three grids, three strips, and a figure for each of the other panels
    page = (out / "load_and_play.html").read_text()
    assert page.count("data:image/png") >= 10 and page.count("a live panel") == 6 and "widget-view+json" not in page
    scores = json.loads((out / "scores.json").read_text())
    assert {kind: scores[kind]["fid"]["n"] for kind in scores} == {"hot": 256, "cold": 256, "warm": 256}


def test_unknown_parameters_and_notebooks_are_refused(tmp_path):
    with pytest.raises(ThawError, match="no parameter 'smok'; did you mean smoke"):
        notebooks.run_notebook(ROOT / "notebooks/01_ddpm.ipynb", tmp_path / "x.ipynb", {"smok": True})
    with pytest.raises(ThawError, match=r"no notebook .*; there are: 00_degradations, 01_ddpm"):
        notebooks.run_notebook(ROOT / "notebooks/09_nothing.ipynb", tmp_path / "x.ipynb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("n", "1e2x", "a whole number, got '1e2x'; it is 60 by default"),
        ("n", 1.5, "a whole number, got 1.5"),
        ("n", True, "a whole number, got true"),
        ("n", 0, "a whole number from 1 to"),
        ("score_n", 100, "a whole number from 256 to"),
        ("seed", -1, "a whole number from 0 to"),
        ("seed", None, "a whole number, got null"),
        ("smoke", "yess", "true or false, got 'yess'"),
        ("smoke", 1, "true or false, got 1"),
        ("out", 3, "text, got 3"),
        ("epoch", "last", "a number, got 'last'"),
        ("minutes", math.inf, "a number, got inf"),
    ],
)
def test_a_parameter_is_of_the_type_of_its_default(key, value, said, tmp_path):
    """Known before the notebook runs."""
    with pytest.raises(ThawError, match=f"parameter '{key}' of load_and_play.ipynb must be {said}"):
        notebooks.run_notebook(ROOT / "notebooks/load_and_play.ipynb", tmp_path / "x.ipynb", {key: value})
    assert not list(tmp_path.iterdir())


def test_parameters_are_taken_as_they_are_meant():
    defaults = {
        "n": "2_000",
        "tau": "0.5",
        "run": "None",
        "seeds": "[0, 1]",
        "overrides": "{}",
        "made": "list(range(3))",
    }
    given = {"n": 1e2, "tau": 1, "run": Path("a b"), "seeds": [1e0, 2], "overrides": {"lr": None}, "made": "any"}
    found = checked_parameters(given, defaults, "x.ipynb")
    assert found == given | {"run": "a b"} and [type(found[key]) for key in ("n", "run")] == [int, str]
    assert checked_parameters({"run": None}, defaults, "x.ipynb") == {"run": None}
    for wrong, said in (
        ({"seeds": 3}, "a list, got 3"),
        ({"seeds": [0, "a"]}, "got 'a'"),
        ({"overrides": []}, "mapping"),
    ):
        with pytest.raises(ThawError, match=said):
            checked_parameters(wrong, defaults, "x.ipynb")


def test_a_headless_run_tells_where_it_is_and_its_kernel_does_not_greet(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    cells = [nbformat.v4.new_markdown_cell("## One of these"), nbformat.v4.new_code_cell("print('said')")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "short.ipynb")
    odd = tmp_path / "-{out} $HOME 'ä'" / "{short}.ipynb"  # papermill puts parameters in the place of braces
    assert notebooks.run_notebook(tmp_path / "short.ipynb", odd) == odd and odd.with_suffix(".html").is_file()
    told = capfd.readouterr()
    assert re.fullmatch(r" +\d+ s  One of these\nsaid\n", told.out) and "IPKernelApp" not in told.err


def test_a_cell_that_takes_long_is_told_ever_less_often(capsys):
    now = [0.0]
    progress = notebooks.Progress(lambda: now[0])
    progress.begin(nbformat.v4.new_markdown_cell("# Long\ntext"), 0)
    progress.begin(nbformat.v4.new_code_cell("train()"), 1)
    for second in range(50):
        now[0] = second
        progress.pulse()
    assert capsys.readouterr().out.splitlines() == [
        "    0 s  Long", "   10 s  ... Long", "   20 s  ... Long", "   40 s  ... Long"
    ]  # fmt: skip


@pytest.mark.slow
def test_a_mistake_in_the_parameters_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ThawError, match="unknown setting 'epoch'.*did you mean epochs"):
        notebooks.run_notebook(
            ROOT / "notebooks/01_ddpm.ipynb", tmp_path / "x.ipynb", {"overrides": {"epoch": 3}, "smoke": True}
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_sources_are_tidy(path):
    """All outputs, or none; no widgets; short cells; no classes; a parameters cell; text before every figure."""
    notebook = nbformat.read(path, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert notebook.metadata.kernelspec.name == "python3"
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1
    assert max(len(cell.source.splitlines()) for cell in code) <= 12
    own = r"^class (?!\w+\(thaw\.Degradation\))"  # only the example that a reader is asked to change
    assert not any(re.search(rf"{own}|optimi[sz]er|\.backward\(", cell.source, re.M) for cell in code)
    assert not any(cell.execution_count for cell in code)
    shown = outputs(notebook)  # all those of an execution of this very code, or none (`make release`)
    assert notebook.metadata.get("keep_output", False) == bool(shown)
    assert not shown or notebook.metadata.executed == release.digest(notebook), "execute it again, then `make release`"
    assert path.stat().st_size < 1_000_000 and "widgets" not in notebook.metadata
    assert not any(output.output_type == "error" or notebooks.WIDGET in output.get("data", {}) for output in shown)


def test_formulas_of_a_page_need_no_script(tmp_path):
    cell = nbformat.v4.new_markdown_cell("From $x_0$ to\n\n$$\nx_t = D_t(x_0)\n$$")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "x.ipynb")
    page = notebooks.as_html(tmp_path / "x.ipynb")
    assert page.count("<math") == 2 and page.count('display="block"') == 1 and "$x_0" not in page


def test_ctrl_c_ends_the_running_cell_in_order(tmp_path, monkeypatch, capfd):
    """The cell interrupts the process that runs it, and cleans up before it ends."""
    monkeypatch.chdir(ROOT)
    source = f"""
import os, pathlib, signal, time
try:
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(100)
except KeyboardInterrupt:
    pathlib.Path({str(tmp_path / "saved")!r}).touch()
    raise
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbformat.write(notebook, tmp_path / "slow.ipynb")
    with pytest.raises(KeyboardInterrupt):
        notebooks.run_notebook(tmp_path / "slow.ipynb", tmp_path / "out" / "slow.ipynb")
    assert (tmp_path / "saved").exists() and not list((tmp_path / "out").iterdir())
    assert "never retrieved" not in capfd.readouterr().err
