"""The manual, README and docs/: every command in it is understood by the program, and run by a test or by CI."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib

import pytest
import torch
from cases import ROOT

from thaw.cli.main import build_app, main

PAGES = {path: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
CI = (ROOT / ".ci/run").read_text()

# The beginning of a command -> the test that runs it, or what it calls, on smaller settings. The longest one counts.
COVER = {
    "make play": "report/test_notebooks.py::test_load_and_play_needs_no_data_set",
    "make help": "docs/test_readme.py::test_make_knows_the_target",
    "make lab": "play/test_browser.py::test_every_panel_works_in_jupyterlab",
    "make app": "play/test_browser.py::test_the_app_shows_panels_and_no_code",
    "make train": "cli/test_cli.py::test_training_resumes_and_exports",
    "make study": "studies/test_studies.py::test_a_study_leaves_paper_page_zip_weights_and_numbers_with_their_origin",
    "thaw study": "studies/test_studies.py::test_a_study_leaves_paper_page_zip_weights_and_numbers_with_their_origin",
    "make speedrun": "benchmarks/test_speedrun.py::test_both_models_are_trained_drawn_and_scored_once",
    "make speed": "benchmarks/test_timing.py::test_the_benchmarks_print_their_tables",
    "make report": "workflow/test_report.py::test_the_report_is_built_the_same_twice",
    "make site": "docs/test_site.py::test_every_link_resolves_and_nothing_is_loaded_from_elsewhere",
    "make release": "workflow/test_executed.py::test_outputs_are_kept_and_neither_widgets_nor_places_of_this_machine",
    "make smoke": "workflow/test_study.py::test_the_whole_study_runs_and_then_only_what_changed",
    "make reproduce": "workflow/test_study.py::test_the_whole_study_runs_and_then_only_what_changed",
    "make sweep": "workflow/test_sweep.py::test_only_what_changed_is_run_again",
    "thaw train": "docs/test_readme.py::test_the_smallest_models_are_trained_drawn_and_tested_as_written",
    "thaw sample": "docs/test_readme.py::test_sampling_commands_run_as_written",
    "thaw sample --dataset": "docs/test_readme.py::test_the_smallest_models_are_trained_drawn_and_tested_as_written",
    "thaw restore": "cli/test_models.py::test_restore_tells_how_close_it_comes_and_what_is_possible",
    "thaw test": "cli/test_models.py::test_a_model_on_pixels_classifies",
    "thaw test --dataset": "docs/test_readme.py::test_the_smallest_models_are_trained_drawn_and_tested_as_written",
    "thaw export": "cli/test_cli.py::test_training_resumes_and_exports",
    "thaw evaluate": "cli/test_cli.py::test_evaluate_scores_shipped_weights_once",
    "thaw evaluate --images": "cli/test_cli.py::test_pngs_and_arrays_of_the_same_images_get_the_same_scores",
    "thaw evaluate --features inception": "scoring/test_evaluation.py::test_the_command_asks_inception",
    "thaw distill": "cli/test_models.py::test_a_model_is_distilled_and_what_comes_of_it_is_shipped",
    "thaw budget": "cli/test_cli.py::test_a_budget_is_told_of_a_name_a_file_a_configuration_and_a_model",
    "thaw features": "scoring/test_evaluation.py::test_judges_of_other_seeds_lie_beside_and_agree_on_what_is_worse",
    "thaw info": "cli/test_cli.py::test_info_tells_what_is_shipped",
    "thaw notebook": "report/test_notebooks.py::test_the_evaluation_scores_sorts_and_compares_what_is_shipped",
    "accelerate launch": "training/test_parallel.py::test_accelerate_launches_the_command_line",
    "python benchmarks/peers.py": "benchmarks/test_peers.py::test_every_set_is_scored_at_its_own_n_and_ours_beside_it",
    "python examples/warm_rows.py": "test_house.py::test_warm_diffusion_fits_on_one_page",
    "snakemake -s workflow/study.smk": "workflow/test_study.py::test_the_whole_study_runs_and_then_only_what_changed",
    "snakemake --profile workflow/profiles/slurm": "workflow/test_sweep.py::test_the_profile_of_slurm_can_be_read",
    "pip install": "docs/test_readme.py::test_what_pip_is_told_to_install_is_there",
    "conda env create": "test_environment.py::test_conda_pip_and_the_package_read_one_list",
}
# What no test runs, and why.
NOT_RUN = {
    "make test": "CI",
    "snakemake --executor kubernetes": "needs a cluster; docs/sweeps.md says that it was not run",
    "docker ": "needs a container engine; built and run by hand. test_environment.py runs what it starts and asks",
    "git checkout": "is git's own",
    "apt install": "is Debian's own",
}
# Run in part only: the test reads the profile and plans, the jobs were submitted by hand, to a Slurm on one machine;
# versions and extras are checked, not fetched; conda's file is checked, docs/containers.md says that conda was not run.


def commands() -> list[str]:
    """Return the commands of the manual, in blocks and in lines, without the path of the environment."""
    found, inline = [], []
    for page in PAGES.values():
        for block in re.findall(r"```bash\n(.*?)```", page, re.S):
            found += re.sub(r"\\\n\s*", "", block).splitlines()
        inline += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page, flags=re.S).replace("\n", " "))
    starts = ("make ", ".venv/bin/", "thaw ", "docker ", "conda ", "pip ", "git ", "apt ")
    found += [one for one in inline if one.startswith(starts) and not one.endswith("...")]
    cleaned = []
    for command in found:
        command = re.sub(r"\s+#.*", "", command).strip()
        command = command.removeprefix(".venv/bin/").replace("python -m thaw", "thaw")
        if command and not command.startswith("thaw()"):
            cleaned.append(command)
    return cleaned


def find(command: str) -> str:
    """Return the longest beginning of a command that is in a table."""
    matches = [start for start in [*COVER, *NOT_RUN] if command.startswith(start)]
    assert matches, f"no test covers `{command}`: add one, and a line to COVER"
    return max(matches, key=len)


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_is_covered(command):
    """A new command needs a line in COVER, and a test that is there and calls what the command calls."""
    start = find(command)
    if start in NOT_RUN:
        assert NOT_RUN[start] != "CI" or command in CI
        return
    file, _, name = COVER[start].partition("::")
    text = (ROOT / "tests" / file).read_text()
    functions = {one.name: ast.get_source_segment(text, one) for one in ast.parse(text).body if hasattr(one, "name")}
    assert name in functions, f"{COVER[start]} is not there"
    # What is looked at: the test, and the fixtures and functions beside it, which may make the call.
    looked_at = "".join(part for key, part in functions.items() if key == name or not key.startswith("test_"))
    planned = command
    if command.startswith("make "):
        planned = subprocess.run(["make", "-n", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True).stdout
    for verb in re.findall(r"\bthaw (\w[\w-]*)", planned):
        assert re.search(rf'"(thaw )?{verb}\b', looked_at), f"{COVER[start]} does not call thaw {verb}"


def test_the_table_lists_no_command_that_is_gone():
    assert {find(command) for command in commands()} == set(COVER) | set(NOT_RUN)


@pytest.mark.parametrize("command", sorted({c for c in commands() if c.startswith("thaw ")}))
def test_thaw_understands_the_command(command):
    words = shlex.split(command)[1:]
    function, _, _ = build_app(words[0]).parse_args(words, exit_on_error=False, print_error=False)
    assert function.__name__ == words[0].replace("-", "_")


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


def test_the_smallest_models_are_trained_drawn_and_tested_as_written(tmp_path, monkeypatch, capsys):
    """The block's commands in their order, on tiny settings and the built-in digits."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "nothing here"))
    runs = {"vae": "autoencoder_mnist_vae_seed0", "flow": "latent_mnist_flow_seed0"}
    small = {
        "train": "--set data=digits --smoke --train-only --run contents/runs/{}",
        "test": "-n 2 --steps 2",
    }
    block = [c for c in commands() if c.startswith("thaw ") and "--dataset MNIST" in c]
    assert [c.split()[1] for c in block] == ["train", "train", "sample", "test"]
    for command in block:
        words = shlex.split(command)[1:]
        more = small.get(words[0], "").format(runs.get(words[words.index("--model") + 1]) if "--model" in words else "")
        assert main([*words, *more.split()]) == 0
    assert (tmp_path / "contents/sample.png").stat().st_size > 200 and "accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("command", sorted({c for c in commands() if c.startswith("pip install")}))
def test_what_pip_is_told_to_install_is_there(command):
    """Files and extras are the project's; what can be installed from here by them is installed, at these versions."""
    words = shlex.split(command)[2:]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    ours = [word for word in words if word.startswith(".")]
    assert {word.removeprefix(".").strip("[]") for word in ours} <= {"", *extras}
    for option, value in zip(words, words[1:], strict=False):
        if option in ("-r", "-c"):
            assert (ROOT / value).is_file()
    if not ours and "snakemake" not in command:
        pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--no-deps", *words]
        done = subprocess.run(pip, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0 and "Would install" not in done.stdout, done.stdout + done.stderr
    elif "snakemake" in command:
        assert all(re.fullmatch(r"snakemake-[\w-]+-plugin-\w+==[\d.]+", word) for word in words)


def test_the_errors_of_the_faq_are_ours():
    """Each bold quotation is in the sources, up to what a message fills in."""
    quoted = re.findall(r"^\*\*`(.+?)`", PAGES[ROOT / "docs/questions.md"], re.M)
    assert len(quoted) >= 8
    sources = "\n".join(
        path.read_text()
        for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "workflow").glob("*.py"), ROOT / "Makefile"]
    )
    for message in quoted:
        words = re.sub(r"thaw: |mnist|\.\.\.|\b[\d.]+\b", "\0", message).split("\0")
        for part in (part.strip(" ;:,") for part in words):
            for piece in part.split(" to , got tau="):
                assert piece.strip(" ,") in sources or len(piece) < 6, message


def anchors(page: str) -> set[str]:
    """Return the names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pictures_links_and_headings_that_a_page_names_are_there(path):
    for target, _, anchor in re.findall(r"\]\(([^)#]*)(#?)([^)]*)\)", PAGES[path]):
        aim = path.parent / target if target else path
        assert target.startswith("http") or aim.exists(), target
        assert not anchor or anchor in anchors(aim.read_text()), f"{target}#{anchor}"


def test_the_first_page_is_short_and_leads_to_every_other():
    first = PAGES[ROOT / "README.md"]
    assert len(first.splitlines()) <= 150
    assert all(f"](docs/{path.name}" in first for path in PAGES if path.parent.name == "docs")


def test_python_in_the_manual_imports_what_there_is():
    """And the block that draws runs as written, with fewer steps; that of README is run in test_cli.py."""
    blocks = re.findall(r"```python\n(.*?)```", "".join(PAGES.values()), re.S)
    for line in [one for block in blocks for one in ast.parse(block).body]:
        if isinstance(line, ast.Import | ast.ImportFrom):
            exec(ast.unparse(line), {})
    (drawing,) = [block for block in blocks if "load_model" in block]
    assert drawing.count("tau=0.5") == 1
    names: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        exec(drawing.replace("tau=0.5", "tau=0.5, steps=2"), names)
    assert names["images"].shape == (10, 1, 28, 28) and names["images"].dtype == torch.uint8
