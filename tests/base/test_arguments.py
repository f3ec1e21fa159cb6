"""Numbers of the command line: each has a range, and is checked where it is parsed."""

import itertools
import re
import subprocess
import sys
from typing import get_args, get_origin

import pytest
from cases import ROOT
from cyclopts import CoercionError

from thaw.base.arguments import COUNT, MINUTES, SCORED_OR_NONE, SEED, SHARE, THREADS
from thaw.base.errors import ThawError
from thaw.cli.main import VERBS, build_app, main

NONSENSE = ("", "x", "nan", "inf", "-inf", "1e400", "-1", "-0.5", "9" * 5000, "1,5", "0x10", "true", "None")
BENCHMARKS = [path for path in sorted((ROOT / "benchmarks").rglob("*.py")) if "o.run(" in path.read_text()]
QUIET = {"exit_on_error": False, "print_error": False}


def options() -> list[tuple[str, str, int]]:
    """Return all options of the command line that take numbers: verb, name, how many at least."""
    found = []
    for verb in VERBS:
        for argument in build_app()[verb].assemble_argument_collection():
            if {int, float} & {argument.hint, *get_args(argument.hint)}:
                found.append((verb, argument.name, 2 if get_origin(argument.hint) is tuple else 1))
    return found


def test_every_number_of_the_command_line_has_a_range():
    assert len(options()) > 40
    for (verb, name, values), text in itertools.product(options(), NONSENSE):
        needed = {"restore": ["x.png"], "budget": ["row"], "distill": ["default"], "study": ["mine.py"]}.get(verb, [])
        with pytest.raises(CoercionError, match="must be .*, got "):
            build_app(verb).parse_args([verb, *needed, f"{name}={text}", *["1"] * (values - 1)], **QUIET)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_no_benchmark_takes_a_number_without_a_range(path):
    assert not re.search(r"def main\(.*: (int|float)\b", path.read_text())


@pytest.mark.parametrize(
    ("kind", "taken", "refused"),
    [
        (THREADS, {"1": 1, "1024": 1024, "1e1": 10}, ("0", "1025", "1.5")),
        (COUNT, {"1": 1, "1e3": 1000}, ("0", "100000000")),
        (SCORED_OR_NONE, {"0": 0, "256": 256}, ("1", "255")),
        (SEED, {"0": 0, str(2**63 - 1): 2**63 - 1}, (str(2**63), "0.5")),
        (SHARE, {"0": 0, "0.25": 0.25, "1": 1}, ("1.001",)),
        (MINUTES, {"0.02": 0.02, "90": 90}, ("0", "0.0")),
    ],
)
def test_a_range_takes_what_lies_in_it(kind, taken, refused):
    assert {text: kind(text) for text in taken} == taken
    for text in refused:
        with pytest.raises(ThawError):
            kind(text)


def test_a_number_out_of_its_range_ends_with_one_line_that_names_it(capsys):
    for given, said in (
        (["sample", "--threads", "0"], "argument --threads: must be a whole number from 1 to 1024, got '0'"),
        (["sample", "--digit", "-1"], "argument --digit: must be a whole number from 0"),
        (["export", "-n", "100"], "argument -n: must be 0, or a whole number from 256"),
        (["sample-blend", "--columns", "1"], "argument --columns: must be a whole number from 2"),
    ):
        assert main(given) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


def test_a_word_that_no_verb_knows_is_told_with_the_nearest(capsys):
    for given, said in (
        (["smple"], "Did you mean "),
        (["sample", "--thread", "1"], "Unknown option: --thread. Did you mean --threads?"),
        (["sample", "--out"], "--out requires an argument"),
        (["sample", "one", "two"], "two"),
        (["restore"], "IMAGES requires an argument"),
        (["sample", "--split", "digits"], '"balanced"'),
    ):
        assert main(given) == 2
        error = capsys.readouterr().err
        assert error.startswith("thaw: ") and said in error and error.count("\n") == 1


def test_no_verb_at_all_shows_help_and_is_no_success(capsys):
    assert main([]) == 2 and "sample-blend" in capsys.readouterr().out
    assert main([""]) == 2 and capsys.readouterr().err.startswith("thaw: ")


def test_help_is_there_before_torch_is():
    """A command that only tells what there is does not wait for what computes."""
    code = "import sys; from thaw.cli.main import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
