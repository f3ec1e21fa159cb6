"""Numbers of the command line: each has a range, and is checked where it is parsed."""

import argparse

import pytest
from cases import ROOT

from thaw.base.arguments import COUNT, MINUTES, SCORED_OR_NONE, SEED, SHARE, THREADS, Range
from thaw.cli.main import main, parser

NONSENSE = ("", "x", "nan", "inf", "-inf", "1e400", "-1", "-0.5", "9" * 5000, "1,5", "0x10", "true", "None")
BENCHMARKS = [path for path in sorted((ROOT / "benchmarks").rglob("*.py")) if "add_argument" in path.read_text()]


def options(of: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return all options of a parser and of its verbs that take a value without a list of choices."""
    found = []
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [option for verb in action.choices.values() for option in options(verb)]
        elif action.type is not None:
            found.append(action)
    return found


def test_every_number_of_the_command_line_has_a_range():
    kinds = [option.type for option in options(parser())]
    ranges = [kind for kind in kinds if isinstance(kind, Range)]
    assert not {int, float} & set(kinds) and len(ranges) > 40
    for kind in set(ranges):
        for text in NONSENSE:
            with pytest.raises(argparse.ArgumentTypeError, match="must be .*, got "):
                kind(text)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_no_benchmark_takes_a_number_without_a_range(path):
    assert "type=int" not in path.read_text() and "type=float" not in path.read_text()


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
        with pytest.raises(argparse.ArgumentTypeError):
            kind(text)


def test_a_number_out_of_its_range_ends_with_one_line_that_names_it(capsys):
    for given, said in (
        (["sample", "--threads", "0"], "argument --threads: must be a whole number from 1 to 1024, got '0'"),
        (["sample", "--digit", "-1"], "argument --digit: must be a whole number from 0"),
        (["speedrun", "-n", "100"], "argument -n: must be 0, or a whole number from 256"),
        (["sample-blend", "--columns", "1"], "argument --columns: must be a whole number from 2"),
    ):
        with pytest.raises(SystemExit):
            main(given)
        assert said in capsys.readouterr().err.splitlines()[-1]
