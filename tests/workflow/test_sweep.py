"""The sweep: what its file means, and that the workflow runs only what changed."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from cases import ROOT
from report import table  # noqa: E402
from sweep import read_sweep  # noqa: E402

# What a shell, make, YAML, a pattern or Markdown would take for something else.
ODD = "ä 'ö' \"ü\" $HOME $(x) `y` & (z) [1] a|b; #c: *"


@pytest.fixture
def project(tmp_path):
    """A project of its own, two small configurations, the rest linked, in a folder with letters of all kinds."""
    project = tmp_path / ODD
    (project / "configs").mkdir(parents=True)
    for name in ("Makefile", "notebooks", "pretrained", "pyproject.toml", "requirements.txt", "workflow"):
        (project / name).symlink_to(ROOT / name)
    (project / ".venv").symlink_to(Path(sys.executable).parents[1])
    for name, source in (("hot", "ddpm/testing"), ("rows", "custom/row_default_7")):
        shutil.copy(ROOT / f"configs/{source}.yaml", project / f"configs/{name}.yaml")
    return project


def write(project: Path, **changes: object) -> Path:
    """Write the smoke sweep, with changes, into the project."""
    values = yaml.safe_load((ROOT / "workflow/sweeps/smoke.yaml").read_text())
    values |= {"out": "out", "configs": ["configs/hot.yaml", "configs/rows.yaml"]}
    (project / "sweep.yaml").write_text(yaml.safe_dump(values | changes))
    return project / "sweep.yaml"


def snakemake(project: Path, *options: str, sweep: str = "sweep.yaml") -> str:
    """Run the workflow, by the command of `make sweep`, and return what it said."""
    planned = [
        "make",
        "--dry-run",
        "--no-print-directory",
        "sweep",
        f"SWEEP={sweep}",
        "CORES=1",
        "-o",
        ".venv/.installed-dev",
    ]
    command = subprocess.run(planned, cwd=project, capture_output=True, text=True, check=True).stdout.strip()
    command = ["bash", "-c", shlex.join([*shlex.split(command), *options])]
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


@pytest.mark.slow
def test_only_what_changed_is_run_again(project):
    """Whatever the folders, the files and the variants are called."""
    (project / "configs").rename(project / f"-{ODD}")
    configs = [f"-{ODD}/{name}.yaml" for name in ("hot", "rows")]
    sweep, out = f"-{ODD}.yaml", project / f"-out {ODD}"
    write(project, out=out.name, configs=configs, variants={ODD: {"data": "digits"}}).rename(project / sweep)
    snakemake(project, sweep=sweep)
    names = [f"-{ODD}_{config}_{ODD}_seed0" for config in ("hot", "rows")]
    report = (out / "report.md").read_text()
    shown = [unquote(path) for path in re.findall(r"\]\((samples/.*?\.png)\)", report)]
    assert shown == [f"samples/{name}.png" for name in names] and all((out / path).is_file() for path in shown)
    for name in names:
        assert len((out / f"trained/{name}.jsonl").read_text().splitlines()) == 3
    assert "Nothing to be done" in snakemake(project, sweep=sweep)

    (project / configs[0]).touch()  # newer, and the same
    config = project / configs[1]
    config.write_text(config.read_text() + "clip: 0.5\n")
    planned = snakemake(project, "--dry-run", sweep=sweep)
    assert jobs(planned) == {"train": 1, "score": 1, "figures": 1, "report": 1, "all": 1}
    assert set(re.findall("wildcards: name=(.*)", planned)) == {names[1]}


def test_a_sweep_records_its_table(project, monkeypatch):
    """Without a training: from what `thaw evaluate` and a run leave."""
    monkeypatch.chdir(project)
    sweep, out = read_sweep(write(project, numbers="tiny")), project / "out"
    scores = [{"scores": {"fid": {"value": 2.0, "floor": 1.0, "n": 256}, "entropy": {"value": 2.3}}}]
    line = json.dumps({"epoch": 1, "loss": 0.5, "seconds": 60.0, "images_per_second": 9.0})
    for folder in ("scores", "trained"):
        (out / folder).mkdir(parents=True)
    (out / "distance.png.json").write_text(json.dumps({"commit": "unknown"}))
    for name in sweep.runs():
        (out / f"scores/{name}.json").write_text(json.dumps(scores))
        (out / f"trained/{name}.jsonl").write_text(line + "\n")
    table(out, sweep, "sweep.yaml")
    numbers = json.loads((project / "Plots/numbers.json").read_text())
    assert {key: numbers[key]["text"] for key in ("tiny.n", "tiny.floor", "tiny.configs_hot_digits.fid")} == {
        "tiny.n": "256", "tiny.floor": "1.00", "tiny.configs_hot_digits.fid": "2.00",
    }  # fmt: skip
    assert "| configs_hot_digits | 1 | 2.00 | 2.300 | 1.0 | 9 |" in (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": {"a/b": {}}}, "variants.a/b: 'a/b' names files, so it must not contain '/'"),
        ({"variants": {"a\nb": {}}}, r"must not contain '\\n'"),
        ({"variants": {"{a}": {}}}, "must not contain '{'"),
        ({"variants": {"a" * 180: {}}, "out": "x"}, None),
        ({"variants": {"ä" * 101: {}}}, "nor be longer than 200 bytes"),
        ({"out": "a{b}"}, "out: 'a{b}' must not contain '{'"),
        ({"runs_in": "a\tb"}, "runs_in: .* must not contain"),
        ({"configs": ["a}.yaml"]}, "must not contain '}'"),
        ({"numbers": "tiny", "variants": {"Ä": {}}}, "records numbers, whose names are .* not 'configs_hot_Ä'"),
    ],
)
def test_what_cannot_name_a_file_is_refused_before_any_training(project, monkeypatch, changes, message):
    monkeypatch.chdir(project)
    path = write(project, **changes)
    if message is None:
        assert len(read_sweep(path).runs()) == 2
        return
    with pytest.raises(ValueError, match=message):
        read_sweep(path).runs()


def test_a_sweep_is_named_by_one_path():
    """Snakemake reads what stands in --config as YAML."""
    with pytest.raises(ValueError, match="the sweep must be named by one path, got {'a': 'b.yaml'}; .*quote it"):
        read_sweep({"a": "b.yaml"})
