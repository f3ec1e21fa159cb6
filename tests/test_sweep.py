"""The sweep: what its file means, and that the workflow runs only what changed."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "workflow"))
from sweep import read_sweep  # noqa: E402


@pytest.fixture
def project(tmp_path):
    """A project of its own: two small configurations, the rest linked."""
    for name in ("notebooks", "pretrained", "pyproject.toml", "workflow"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "configs").mkdir()
    for name, source in (("hot", "ddpm/testing"), ("rows", "custom/row_default_7")):
        shutil.copy(ROOT / f"configs/{source}.yaml", tmp_path / f"configs/{name}.yaml")
    return tmp_path


def write(project: Path, **changes: object) -> Path:
    """Write the smoke sweep, with changes, into the project."""
    values = yaml.safe_load((ROOT / "workflow/sweeps/smoke.yaml").read_text())
    values |= {"out": "out", "configs": ["configs/hot.yaml", "configs/rows.yaml"]}
    (project / "sweep.yaml").write_text(yaml.safe_dump(values | changes))
    return project / "sweep.yaml"


def snakemake(project: Path, *options: str) -> str:
    """Run the workflow and return what it said."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--config", "sweep=sweep.yaml", *options]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def jobs(said: str) -> dict[str, int]:
    """Return how often each rule would run, from the statistics of a dry run."""
    counts = re.findall(r"^(\w+) +(\d+)$", said, re.M)
    return {rule: int(count) for rule, count in counts if rule != "total"}


def test_every_configuration_variant_and_seed_is_a_run(project, monkeypatch):
    monkeypatch.chdir(project)
    runs = read_sweep(write(project, variants={"a": {}, "b": {"lr": 1e-3}}, seeds=[3, 4], smoke=False)).runs()
    assert list(runs) == [f"configs_{c}_{v}_seed{s}" for c in ("hot", "rows") for v in "ab" for s in (3, 4)]
    assert runs["configs_rows_b_seed4"].options == "--set=lr=0.001 --set=seed=4 --train-only"
    assert len({run.folder for run in runs.values()}) == len(runs)


def test_a_run_directory_belongs_to_its_settings_not_to_their_comments(project, monkeypatch):
    monkeypatch.chdir(project)
    path = write(project)

    def folder() -> str:
        return read_sweep(path).runs()["configs_hot_digits_seed0"].folder

    before, config = folder(), project / "configs/hot.yaml"
    config.write_text("# a comment\n" + config.read_text())
    assert folder() == before
    config.write_text(config.read_text() + "clip: 0.5\n")
    assert folder() != before


def test_mistakes_in_a_sweep_are_told(project, monkeypatch):
    monkeypatch.chdir(project)
    with pytest.raises(ValueError, match=r"sweep.yaml: seed: .*a sweep has out, runs_in, configs, variants, seeds"):
        read_sweep(write(project, seed=[1]))
    with pytest.raises(ValueError, match="cannot read nothing.yaml"):
        read_sweep("nothing.yaml")
    with pytest.raises(ValueError, match="cannot read configs/cold.yaml"):
        read_sweep(write(project, configs=["configs/cold.yaml"])).runs()
    with pytest.raises(ValueError, match="two runs of the sweep are called configs_hot_digits_seed0"):
        read_sweep(write(project, configs=["configs/hot.yaml"] * 2)).runs()


def test_the_profile_of_slurm_can_be_read(project):
    """All but its executor, a plugin that needs a cluster: the plan has the profile's resources and every step."""
    write(project)
    planned = snakemake(project, "--profile", "workflow/profiles/slurm", "--executor", "local", "--dry-run")
    assert jobs(planned) == {"train": 2, "score": 2, "figures": 1, "report": 1, "all": 1}
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    assert profile["executor"] == "slurm"
    for name, value in profile["default-resources"].items():
        assert f"{name}={value}" in planned


def test_only_what_changed_is_run_again(project):
    write(project, numbers="tiny")
    snakemake(project)
    numbers = json.loads((project / "Plots/numbers.json").read_text())
    assert numbers["tiny.n"]["text"] == "256" and {"tiny.configs_hot_digits.fid", "tiny.floor"} <= set(numbers)
    report = (project / "out/report.md").read_text()
    for name in ("configs_hot_digits_seed0", "configs_rows_digits_seed0"):
        assert name in report and (project / f"out/samples/{name}.png").is_file()
        assert len((project / f"out/trained/{name}.jsonl").read_text().splitlines()) == 3
    assert "Nothing to be done" in snakemake(project)

    config = project / "configs/rows.yaml"
    config.touch()  # newer, and the same
    assert jobs(snakemake(project, "--dry-run")) == {}
    config.write_text(config.read_text() + "clip: 0.5\n")
    planned = snakemake(project, "--dry-run")
    assert jobs(planned) == {"train": 1, "score": 1, "figures": 1, "report": 1, "all": 1}
    assert set(re.findall("wildcards: name=(.*)", planned)) == {"configs_rows_digits_seed0"}
