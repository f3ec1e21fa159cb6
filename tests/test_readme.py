"""The manual: every command in it is understood by the program, and run by a test or by CI."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from thaw.__main__ import main, parser

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CI = (ROOT / ".ci/run").read_text()

# The beginning of a command -> the test that runs it (on smaller settings), or "CI", or why none can.
COVER = {
    "make play": "test_notebooks.py::test_load_and_play_needs_no_data_set",
    "make test": "CI",
    "make help": "test_readme.py::test_make_knows_the_target",
    "make app": "test_play_browser.py::test_the_app_shows_panels_and_no_code",
    "make lab": "test_readme.py::test_make_knows_the_target",
    "make train": "test_notebooks.py::test_training_notebooks_train_draw_and_score",
    "make speedrun": "test_speedrun.py::",
    "make speed": "test_timing.py::",
    "make report": "test_report.py::test_the_report_is_built_the_same_twice",
    "make site": "test_site.py::test_every_link_resolves_and_nothing_is_loaded_from_elsewhere",
    "make smoke": "test_study.py::test_the_whole_study_runs_and_then_only_what_changed",
    "make reproduce": "test_study.py::test_the_whole_study_runs_and_then_only_what_changed",
    "make features": "test_cli.py::",
    "make sweep": "test_sweep.py::test_only_what_changed_is_run_again",
    "thaw train": "test_cli.py::",
    "thaw sample": "test_readme.py::test_sampling_commands_run_as_written",
    "thaw test": "test_cli_models.py::",
    "thaw export": "test_cli.py::",
    "thaw evaluate": "test_evaluation.py::",
    "thaw features": "test_cli.py::",
    "thaw info": "test_cli.py::test_info_tells_what_is_shipped",
    "thaw notebook": "test_notebooks.py::test_the_evaluation_scores_sorts_and_compares_what_is_shipped",
    "accelerate launch": "test_parallel.py::",
    "snakemake -s workflow/study.smk": "test_study.py::test_the_whole_study_runs_and_then_only_what_changed",
    "snakemake --profile workflow/profiles/slurm": "needs a cluster; run by hand on a local Slurm",
    "snakemake --executor kubernetes": "needs a cluster; the README says that it was not run",
    "pip install": "needs the package index; versions are checked by test_environment.py",
    "docker ": "needs a container engine; built and run by hand",
    "conda env create": "needs a conda channel; the README says that it was not run",
    "git checkout": "is git's own",
    "apt install": "is Debian's own",
}


def commands() -> list[str]:
    """Return the commands of the README, in blocks and in lines, without the path of the environment."""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", README, re.S):
        found += re.sub(r"\\\n\s*", "", block).splitlines()
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", README, flags=re.S).replace("\n", " "))
    starts = ("make ", ".venv/bin/", "thaw ", "docker ", "conda ", "pip ", "git ", "apt ")
    found += [one for one in inline if one.startswith(starts) and not one.endswith("...")]
    cleaned = []
    for command in found:
        command = re.sub(r"\s+#.*", "", command).strip()
        command = command.removeprefix(".venv/bin/").replace("python -m thaw", "thaw")
        if command and not command.startswith("thaw()"):
            cleaned.append(command)
    return cleaned


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_is_covered(command):
    """A new command needs a line in COVER, and a test that is there."""
    matches = [start for start in COVER if command.startswith(start)]
    assert matches, f"no test covers `{command}`: add one, and a line to COVER"
    by = COVER[max(matches, key=len)]
    if by == "CI":
        assert command in CI
    elif "::" in by:
        file, _, function = by.partition("::")
        assert f"def {function or 'test_'}" in (ROOT / "tests" / file).read_text(), by


@pytest.mark.parametrize("command", sorted({c for c in commands() if c.startswith("thaw ")}))
def test_thaw_understands_the_command(command):
    words = shlex.split(command)[1:]
    known, more = parser().parse_known_args(words)
    assert not more or words[0] in ("train", "init")
    assert callable(known.function)


def targets() -> list[str]:
    return sorted({command.split()[1] for command in commands() if command.startswith("make ")})


@pytest.mark.parametrize("target", targets())
def test_make_knows_the_target(target):
    """And `make help` tells what it does."""
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    assert target == "help" or re.search(rf"^{target}\s+\S", told, re.M)


def test_sampling_commands_run_as_written(tmp_path, monkeypatch):
    """In a folder of links, so that the picture lands beside nothing."""
    for name in ("pretrained", "configs", "notebooks", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    (command,) = [c for c in commands() if c.startswith("thaw sample row_default_28")]
    words = shlex.split(command)[1:]
    assert main([*words, "-n", "4", "--steps", "3"]) == 0
    assert (tmp_path / "sevens.png").stat().st_size > 200


def test_the_errors_of_the_faq_are_ours():
    """Each bold quotation is in the sources, up to what a message fills in."""
    faq = README.split("## Questions and errors")[1].split("\n## ")[0]
    quoted = re.findall(r"^\*\*`(.+?)`", faq, re.M)
    assert len(quoted) >= 8
    sources = "\n".join(path.read_text() for path in [*(ROOT / "src").rglob("*.py"), ROOT / "Makefile"])
    for message in quoted:
        words = re.sub(r"thaw: |mnist|\.\.\.|\b[\d.]+\b", "\0", message).split("\0")
        for part in (part.strip(" ;:,") for part in words):
            for piece in part.split(" to , got tau="):
                assert piece.strip(" ,") in sources or len(piece) < 6, message


def test_the_manual_is_short_and_its_pictures_and_links_are_there():
    assert len(README.splitlines()) <= 345
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target
