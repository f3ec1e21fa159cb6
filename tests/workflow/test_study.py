"""The whole study as a workflow, on tiny settings, from configurations to pages; only what changed is run again."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from cases import ROOT
from definition import scaled
from scratch import make_scratch  # noqa: E402
from study import read_study  # noqa: E402

from thaw.experiment.config import load_config
from thaw.store import read_manifest
from thaw.store.catalogue import hot_start


def snakemake(project: Path, *options: str) -> str:
    """Run the workflow in a project, without any data set, and return what it said."""
    report = "yes" if shutil.which("latexmk") else "no"
    command = [sys.executable, "-m", "snakemake", "-s", "workflow/study.smk", "--cores", "1"]
    command += ["--config", "study=workflow/studies/smoke.yaml", f"report={report}", *options]
    environment = {key: value for key, value in os.environ.items() if key != "THAW_DATA"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    logs = "".join(path.read_text()[-1500:] for path in (project / "contents/study").glob("logs/*"))
    assert done.returncode == 0, done.stderr[-3000:] + logs
    return done.stdout + done.stderr


def jobs(said: str) -> dict[str, int]:
    """Return how often each rule would run, from the statistics of a dry run."""
    counts = re.findall(r"^(\w+) +(\d+)$", said, re.M)
    return {rule: int(count) for rule, count in counts if rule != "total"}


def state(folder: Path) -> dict[str, float]:
    """Return when each file of a folder was written."""
    return {str(path): path.stat().st_mtime for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_whole_study_runs_and_then_only_what_changed(tmp_path):
    """Every kind of step: notebooks that train, export, evaluate, draw and play; the report; the site."""
    before = {name: state(ROOT / name) for name in ("Plots", "pretrained", "Report")}
    project = make_scratch(tmp_path / "Größe 'so' &$HOME (2)")
    (project / "configs").unlink()
    shutil.copytree(ROOT / "configs", project / "configs")
    snakemake(project)
    assert {name: state(ROOT / name) for name in before} == before  # the repository itself is not written to
    trained = ("ddpm_digits_1_default", "custom_digits_1_row_default", "custom_digits_1_row_default_cold")
    for name in (*trained, "custom_digits_1_fade_default"):
        assert (project / f"pretrained/{name}.pth").is_file() and name in (project / "pretrained/README.md").read_text()
    numbers = (project / "Plots/numbers.json").read_text()
    assert '"ddpm.digits_default.final.fid"' in numbers and '"ddpm_digits_1_default.pth"' in numbers
    for notebook, name in (
        ("hot/01_ddpm", "ddpm_digits_default"),
        ("rows/02_custom_degradation", "custom_digits_row_default"),
    ):
        executed = nbformat.read(project / f"contents/study/notebooks/{notebook}.ipynb", 4)
        outputs = [output for cell in executed.cells for output in cell.get("outputs", ())]
        shown = [output for output in outputs if "image/png" in output.get("data", {})]
        assert not [output for output in outputs if output.output_type == "error"]
        figures = [path for path in (project / "Plots").glob(f"{name}_*") if path.suffix != ".json"]
        assert len(shown) == len(figures) >= 8  # every figure that is saved is seen in the notebook too
        assert all(path.with_name(path.name + ".json").is_file() for path in figures)
    index = (project / "contents/site/index.html").read_text()
    for notebook in ("00_degradations", "01_ddpm", "02_custom_degradation", "04_evaluation", "05_temperature"):
        assert f'href="notebooks/{notebook}.html"' in index
    if shutil.which("latexmk"):
        assert (project / "Report/report.pdf").stat().st_mtime > (
            project / "pretrained/README.md"
        ).stat().st_ctime - 600

    assert "Nothing to be done" in snakemake(project)
    config = project / "configs/ddpm/default.yaml"
    config.write_text(config.read_text() + "\nclip: 0.5\n")
    planned = jobs(snakemake(project, "--dry-run"))
    assert planned["train"] == planned["export"] == 2  # it, and the training that begins with its weights
    assert planned["after"] == 3 and "before" not in planned


def test_a_degradation_of_ones_own_begins_with_what_the_eleven_at_equal_budget_began_with(monkeypatch):
    monkeypatch.chdir(ROOT)
    trainings = read_study("workflow/studies/full.yaml").trainings
    begun = {Path(one.settings["start_from"]).name for name, one in trainings.items() if name.endswith("_five")}
    assert begun == {Path(hot_start("mnist")["start_from"]).name}


def test_the_full_study_names_what_there_is(monkeypatch):
    monkeypatch.chdir(ROOT)
    study = read_study("workflow/studies/full.yaml")
    for name in study.trainings:
        files = [path for path in study.source(name) if not path.startswith(study.out)]
        assert files and all(Path(path).is_file() for path in files), name
    assert all(Path(path).is_file() for path in study.benchmarks)
    assert all(Path(f"notebooks/{name}.ipynb").is_file() for name in [*study.before, *study.after])


def test_the_full_study_trains_every_model_that_the_report_evaluates(monkeypatch):
    """By the names of the weights that are shipped; the ten-minute models come from `make speedrun`, fast ones last."""
    monkeypatch.chdir(ROOT)
    study = read_study("workflow/studies/full.yaml")
    labels = {load_config(one.config, **study.settings_of(name)).label for name, one in study.trainings.items()}
    shipped = {entry["config"]["study"]: set() for entry in read_manifest().values() if "config" in entry}
    for name, entry in read_manifest().items():
        if name.startswith(("ddpm_mnist", "custom_mnist")):
            shipped[entry["config"]["study"]].add(re.sub(r"^\w+?_mnist_\d+_", "", Path(name).stem))
    fast = {"fast", "row_fast", "mask_fast", "blur_fast"}
    assert all(f"mnist_{label}" in study.last["fast"] for label in fast)
    assert shipped["ddpm"] | shipped["custom"] <= labels | {"speedrun", "row_speedrun"} | fast


def test_numbers_in_braces_are_multiplied_and_stay_above_the_least():
    given = {"n": "{10000, 256}", "command": ["--n {2000, 256} --minutes {10.0}", "${run} {}"], "seed": 3}
    assert scaled(given, 1) == {"n": 10_000, "command": ["--n 2000 --minutes 10", "${run} {}"], "seed": 3}
    assert scaled(given, 0.05) == {"n": 500, "command": ["--n 256 --minutes 0.5", "${run} {}"], "seed": 3}


def test_a_budget_takes_its_share_of_every_training(monkeypatch):
    monkeypatch.chdir(ROOT)
    whole, part = (read_study("workflow/studies/full.yaml", budget) for budget in (None, 0.05))
    for name, one in whole.trainings.items():
        epochs, found = load_config(one.config, **whole.settings_of(name)).epochs, part.settings_of(name)
        assert abs(found["epochs"] * found.get("limit", 60_000) / 60_000 - 0.05 * epochs) <= 0.5, name
    assert (whole.export_n, part.export_n) == (2000, 256)
    assert whole.benchmarks.keys() == part.benchmarks.keys() and whole.benchmarks != part.benchmarks
    for wrong in (0, 2, "much"):
        with pytest.raises(ValueError, match="full.yaml: budget: Input should be"):
            read_study("workflow/studies/full.yaml", wrong)


def test_mistakes_in_a_study_are_told(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("out: x\ntrainings: {a: {notebook: train, config: c.yaml}}\nseed: 1\n")
    with pytest.raises(ValueError, match=r"study.yaml: seed: .*a study has out, settings, first, trainings"):
        read_study(path)
    path.write_text("out: x\ntrainings: {a: {notebook: train, config: c.yaml, needs: b}}\n")
    with pytest.raises(ValueError, match="a needs 'b', which is none of the trainings"):
        read_study(path)
    with pytest.raises(ValueError, match="cannot read nothing.yaml"):
        read_study("nothing.yaml")
