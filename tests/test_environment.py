"""What is installed: one list behind pip, conda and the container, a lock that satisfies it, and hooks."""

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from itertools import chain
from pathlib import Path

import nbformat
import pytest
import yaml
from cases import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def requirements(name: str) -> list[Requirement]:
    """Return what a requirements file asks for, those it includes among them."""
    found = []
    for line in (ROOT / name).read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("-r "):
            found += requirements(line.removeprefix("-r "))
        elif line:
            found.append(Requirement(line))
    return found


@pytest.fixture(scope="module")
def lock() -> dict[str, str]:
    """The locked versions by name."""
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    pairs = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines]
    return {canonicalize_name(name): version for name, version in pairs}


def test_conda_pip_and_the_package_read_one_list():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert set(conda) <= {"name", "channels", "dependencies", "variables"}
    plain = [one for one in conda["dependencies"] if isinstance(one, str)]
    (by_pip,) = [one["pip"] for one in conda["dependencies"] if isinstance(one, dict)]
    assert by_pip == ["-r requirements.txt"] and "pip" in plain  # conda installs what pip installs
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (python,) = [one.removeprefix("python=") for one in plain if one.startswith("python=")]
    assert f"FROM python:{python}-" in (ROOT / "Dockerfile").read_text()
    assert project["project"]["requires-python"] == f">={python}"


def test_every_requirement_is_pinned_and_locked_at_that_version(lock):
    for one in requirements("requirements-dev.txt"):
        version = lock[canonicalize_name(one.name)]
        assert re.fullmatch(r"==[\d.]+", str(one.specifier)) and one.specifier.contains(version), one


def test_the_ranges_of_the_package_hold_what_is_pinned_and_nothing_else():
    """Every pinned requirement satisfies its range in pyproject.toml, and every range there is tested at a pin."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = [Requirement(one) for one in chain(project["dependencies"], *project["optional-dependencies"].values())]
    ranges = {canonicalize_name(one.name): one.specifier for one in ranges if one.name != project["name"]}
    pins = {
        canonicalize_name(one.name): one.specifier
        for path in ROOT.glob("requirements*.txt")
        for one in requirements(path.name)
    }
    assert pins.keys() == ranges.keys()
    for name, pin in pins.items():
        assert ranges[name].contains(str(pin).removeprefix("==")), name
        assert {one.operator for one in ranges[name]} == {">=", "<"}, name
    for extra in ("app", "inception", "trackers"):  # which have a file each
        more = set(requirements(f"requirements-{extra}.txt")) - set(requirements("requirements.txt"))
        own = {one for one in map(Requirement, project["optional-dependencies"][extra]) if one.name != project["name"]}
        assert {one.name for one in own} == {one.name for one in more}


def test_the_lock_is_complete_and_agrees_with_itself(lock):
    """What each locked package needs, as the installed ones tell, is locked too, in a version it accepts."""
    looked_at = 0
    for name in lock:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if distribution.version.partition("+")[0] != lock[name]:
            continue  # another version may need other packages
        for one in map(Requirement, distribution.requires or []):
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                looked_at += 1
                assert canonicalize_name(one.name) in lock, f"{name} needs {one}"
                assert one.specifier.contains(lock[canonicalize_name(one.name)], prereleases=True), (
                    f"{name} needs {one}"
                )
    assert looked_at > 100


def test_the_container_leaves_out_what_is_generated_and_keeps_the_weights():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "contents/*", "data"} <= set(ignored)
    assert not {"pretrained", "Plots", "Report", "notebooks", "requirements.lock"} & set(ignored)


@pytest.mark.slow
def test_the_container_starts_a_lab_that_its_health_check_finds(tmp_path):
    """Its own two commands, in this environment and on a free port: without the lab the check fails."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    check = json.loads(re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", dockerfile, re.M)[1])
    start = json.loads(re.search(r"^CMD (\[.*\])$", dockerfile, re.M)[1])
    lab = subprocess.run(
        [*start, "-n", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()[-1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert check[0] == lab.split()[0] == ".venv/bin/python" and "127.0.0.1:8888" in check[-1]
    check = [sys.executable, *check[1:-1], check[-1].replace("8888", str(port))]
    command = [sys.executable, *shlex.split(lab.replace("0.0.0.0", "127.0.0.1"))[1:], f"--port={port}"]
    folders = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    environment = os.environ | {name: str(tmp_path / name) for name in folders} | {"JUPYTER_TOKEN": "thaw"}
    assert subprocess.run(check, capture_output=True).returncode
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        started = time.monotonic()
        while subprocess.run(check, capture_output=True).returncode:
            assert process.poll() is None and time.monotonic() - started < 120, (tmp_path / "log").read_text()[-2000:]
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def hooks() -> dict[str, dict]:
    """The pre-commit hooks by name."""
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    return {hook["id"]: hook for hook in repository["hooks"]}


def test_the_hooks_strip_outputs_but_keep_tags_and_what_was_released(hooks, tmp_path):
    cell = nbformat.v4.new_code_cell("a = 1", metadata={"tags": ["parameters"]}, execution_count=3)
    cell.outputs = [nbformat.v4.new_output("stream", text="hello")]
    for name, kept in (("a", {}), ("b", {"keep_output": True})):
        nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kept), tmp_path / f"{name}.ipynb")
    command = hooks["nbstripout"]["entry"].replace(".venv/bin", str(Path(sys.executable).parent))
    subprocess.run(f"{command} {tmp_path / 'a.ipynb'} {tmp_path / 'b.ipynb'}", shell=True, check=True)
    assert nbformat.read(tmp_path / "b.ipynb", 4).cells[0].outputs
    stripped = nbformat.read(tmp_path / "a.ipynb", 4).cells[0]
    assert not stripped.outputs and stripped.execution_count is None and stripped.metadata.tags == ["parameters"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_all_hooks_pass_on_all_files(tmp_path, monkeypatch):
    """In a copy of the tracked files, so that a fix would not touch the working tree."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, tracked.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.endswith((".pth", ".png", ".pdf")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path.parent / "pre-commit"))
    for command in (["git", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    command = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
