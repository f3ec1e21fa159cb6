"""Every command that writes refuses a wrong place in one sentence, before any work, and changes nothing there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cases import ROOT, command, everything

# Arguments, with {out} for the place, and the endings that it may have; "" is a folder that files are added to, "new"
# one that is filled.
IMAGES, TRAIN = (".png", ".gif", ".npz", "new"), ["train", "--config", "in/config.yaml", "--train-only"]
VERBS = {
    "sample": (["sample", "in/model.pth", "--out", "{out}"], IMAGES),
    "sample-blend": (["sample-blend", "in/model.pth", "--out", "{out}"], IMAGES),
    "restore": (["restore", "in", "--out", "{out}"], IMAGES),
    "evaluate": (["evaluate", "in/model.pth", "--out", "{out}"], (".json",)),
    "evaluate images": (["evaluate", "--images", "in", "--out", "{out}"], (".json",)),
    "evaluate one file": (["evaluate", "--images", "in/a.npz", "--out", "{out}"], (".json",)),
    "budget": (["budget", "in/config.yaml", "--out", "{out}"], (".json",)),
    "test": (["test", "in/model.pth", "--out", "{out}"], (".json",)),
    "test-reconstruction": (["test-reconstruction", "in/model.pth", "--out", "{out}"], (".png",)),
    "numbers": (["numbers", "--out", "{out}"], (".tex",)),
    "banner": (["banner", "--out", "{out}"], (".png",)),
    "export": (["export", "in", "--out", "{out}"], ("",)),
    "export --onnx": (["export", "in/model.pth", "--onnx", "{out}"], (".onnx",)),
    "notebook": (["notebook", "mine", "--out", "{out}"], (".ipynb",)),
    "play": (["play", "--out", "{out}"], ("",)),
    "speedrun": (["speedrun", "--out", "{out}"], ("",)),
    "train": ([*TRAIN, "--run", "{out}"], ("",)),
    "init": (["init", "--config", "in/config.yaml", "--run", "{out}"], ("",)),
    "train --plots": ([*TRAIN, "--run", "run", "--plots", "{out}"], ("",)),
    "cards": (["cards", "--folder", "{out}"], ("",)),
    "report": (["report", "--folder", "{out}"], ("",)),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with something of every kind, and nothing that could be worked on: work would tell another reason."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "Plots").mkdir()
    (tmp_path / "Plots" / "numbers.json").write_text("{}")
    (tmp_path / "in" / "7").mkdir(parents=True)
    for name in ("notebooks/mine.ipynb", "in/a.npz", "in/model.pth", "in/7/a.png", "plain"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "in" / "config.yaml").write_text("study: ddpm\ndata: folder\ndata_path: in\n")
    for ending in (".png", ".gif", ".npz", ".json", ".tex", ".onnx", ".ipynb", ".x"):
        (tmp_path / f"full{ending}").mkdir()
        (tmp_path / f"full{ending}" / "mine").write_text("mine")
        (tmp_path / f"empty{ending}").mkdir()
        (tmp_path / f"file{ending}").write_text("mine")
        (tmp_path / f"link{ending}").symlink_to(f"file{ending}")
        (tmp_path / f"folder link{ending}").symlink_to(f"full{ending}")
        (tmp_path / f"dangling{ending}").symlink_to("nothing")
        (tmp_path / "in" / f"inner{ending}").write_text("mine")
        (tmp_path / f"hard{ending}").hardlink_to(tmp_path / "in" / f"inner{ending}")
    (tmp_path / "inward").symlink_to("in")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def places(endings):
    """Return the names that must be refused for outputs with these endings, in the fixture's folder."""
    folder = {"", "new"} & {*endings}
    files = [ending for ending in endings if ending.startswith(".")]
    found = ["", "plain/below", "dangling.x", "link.x", "file.x"]
    for ending in files:
        found += [f"{kind}{ending}" for kind in ("full", "empty", "link", "folder link", "dangling")]
        found += [f"plain/below{ending}", f"{'x' * 250}{ending}", f"new{ending}/", ending]
    found += ["new.x", "full.x/x.x"] if files else []
    found += [] if folder else ["new", "full.x", "empty.x"]
    found += ["in", "inward", "in/../in", "full.json/../in"] if "new" in endings or not folder else []
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_place_is_refused_before_any_work_and_nothing_is_changed(place, verb, capsys):
    arguments, endings = VERBS[verb]
    before = everything(place)
    for out in places(endings):
        assert command([part.replace("{out}", out) for part in arguments]) == 1, out
        error = capsys.readouterr().err
        assert error.startswith("thaw: ") and error.count("\n") == 1 and "Errno" not in error, (out, error)
        told = ["cannot write", "name another", "name a new folder", "a path is empty", f"no {out}"]
        assert any(words in error for words in told), (out, error)
        assert everything(place) == before, out


READS_A_FOLDER = ("restore", "evaluate images", "export", "train", "init")


@pytest.mark.parametrize("verb", READS_A_FOLDER)
def test_an_output_is_no_input_by_whatever_name(place, verb, capsys):
    arguments, endings = VERBS[verb]
    before, outs = everything(place), [str(place / "in" / "deep"), "in/x", "inward/x"]
    if "" not in endings:
        outs = [f"{one}{endings[0]}" for one in outs] + [f"in/inner{endings[0]}"]
    for out in outs:
        assert command([part.replace("{out}", out) for part in arguments]) == 1, out
        assert "the input in" in capsys.readouterr().err, out
        assert everything(place) == before, out


def test_the_file_that_is_scored_is_not_replaced_by_its_scores(place, capsys):
    for name in ("in.json", "hard link.json"):
        os.link("in/a.npz", name)
        before = everything(place)
        assert command(["evaluate", "--images", "in.json", "--out", name]) == 1
        assert "is the input" in capsys.readouterr().err and everything(place) == before


def test_files_of_other_people_are_not_replaced_where_several_are_written(place, capsys):
    """A page beside a notebook, the source of a report, a README, what a run holds."""
    theirs = {
        "a/it.html": ["notebook", "mine", "--out", "a/it.ipynb"],
        "notebooks/mine.ipynb": ["notebook", "mine", "--out", "notebooks/../notebooks/mine.ipynb"],
        "e/report.tex": ["numbers", "--out", "e/report.tex"],
        "f/README.md": ["cards", "--folder", "f"],
        "g/metrics.jsonl": [*TRAIN, "--run", "g"],
        "h/numbers.json": [*TRAIN, "--plots", "h"],
        "i/it.png.json": ["banner", "--out", "i/it.png"],
        "j/MANIFEST.json": ["cards", "--folder", "j"],
        "k/MANIFEST.json": ["export", "in", "--out", "k"],
    }
    for name in theirs:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("[1]")
    (place / "f" / "MANIFEST.json").write_text("{}")
    before = everything(place)
    for name, arguments in theirs.items():
        assert command(arguments) == 1, name
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and Path(name).name in error, (name, error)
        assert everything(place) == before, name


@pytest.mark.slow
def test_a_refusal_is_an_exit_code_for_a_shell_too(place):
    """By `python -m thaw` as by the installed command: a workflow must not go on as if all were well."""
    run = [sys.executable, "-m", "thaw"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    said = subprocess.run([*run, "sample", "--out", "new.x"], env=environment, capture_output=True, text=True)
    assert said.returncode == 1 and "end it in .png" in said.stderr
    assert subprocess.run([*run, "--help"], env=environment, capture_output=True).returncode == 0
