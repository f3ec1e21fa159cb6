"""Several processes, and batches in parts: the same loss curve and weights as one process on whole batches."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from cases import ROOT
from runs import TINY, VARIANTS, assert_equal, configure, losses, run, states
from workers import start_two, train_two

from thaw.base.errors import ThawError
from thaw.data import on_disk
from thaw.store.runs import list_checkpoints, load_newest
from thaw.store.weights import load_model
from thaw.training.parallel import build_accelerator


def assert_close(path: Path, other: Path) -> None:
    """Both runs have the same loss curve, weights, average and samples, but for rounding.

    Adam makes whole steps of the tiniest gradient, even of one that is rounding error alone, as of a
    bias that a normalisation takes away again: matrices are compared as a whole, biases by what the
    models draw.
    """
    assert losses(path)[1:] == pytest.approx(losses(other)[1:], rel=1e-5)
    for name in ("model", "ema"):
        for key, value in states(other)[name].items():
            if value.ndim > 1:
                assert (states(path)[name][key] - value).norm() <= 0.01 * value.norm(), f"{name} {key}"
    one, two = load_model(path), load_model(other)
    torch.testing.assert_close(one.sample(one.labels(10)), two.sample(two.labels(10)), rtol=0, atol=2e-3)


CASES = {
    "muon": {"prediction": "v"},
    "adamw": {"optimiser": "adamw", **VARIANTS["warm lines"]},
    "cnn": VARIANTS["cnn"],
    "parts": {"accumulate": 3},
    "odd": {"batch_size": 15},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_what_one_trains(processes, tmp_path, case):
    values = {"sample_every": 1, **CASES[case]}
    run(configure(**values), tmp_path / "one")
    first, second = train_two(processes, tmp_path / "two", tmp_path / "out", **values)
    assert_close(tmp_path / "two", tmp_path / "one")
    assert torch.equal(first["draws"], second["draws"])
    for part in ("model", "ema", "optimiser"):  # in step, to the bit
        assert_equal(first[part], second[part], part)
    assert_equal(first["optimiser"], states(tmp_path / "two")["optimiser"])
    assert first["written"] and not second["written"]
    assert {p.name for p in (tmp_path / "two").iterdir()} == {p.name for p in (tmp_path / "one").iterdir()}


@pytest.mark.slow
def test_two_processes_go_on_from_one_and_one_from_two(processes, tmp_path):
    run(configure(), tmp_path / "straight")
    run(configure(), tmp_path / "one", until=1)
    train_two(processes, tmp_path / "one", tmp_path / "out")
    train_two(processes, tmp_path / "two", tmp_path / "out", until=1)
    run(configure(), tmp_path / "two")
    for name in ("one", "two"):
        assert_close(tmp_path / name, tmp_path / "straight")


@pytest.mark.slow
def test_an_interrupt_of_one_stops_both_at_the_same_step_and_they_go_on_to_the_same_bits(processes, tmp_path):
    values = {"epochs": 40, "save_every": 50, "dropout": 0.2, "save_minutes": 0.0, "lr_decay": "none", "warmup": 0.0}
    path, out = tmp_path / "run", tmp_path / "out"
    out.mkdir()
    pair = start_two(processes, path, out, **values)
    while not list_checkpoints(path) or not list_checkpoints(path)[-1].name.endswith("1"):
        time.sleep(0.01)
    os.kill(pair[1].pid, signal.SIGTERM)
    for process in pair:
        process.join(300)
    assert [process.exitcode for process in pair] == [143, 143]
    newest, damaged = load_newest(path)
    assert not damaged and 1 <= newest.context["epoch"] < 40
    values |= {"epochs": newest.context["epoch"] + 2}
    train_two(processes, path, out, **values)
    train_two(processes, tmp_path / "straight", out, **values | {"save_minutes": 60.0})
    assert_equal(states(path), states(tmp_path / "straight"))


@pytest.mark.slow
def test_a_time_limit_ends_both_at_the_same_step(processes, tmp_path):
    first, second = train_two(processes, tmp_path / "run", tmp_path / "out", epochs=10_000, minutes=0.02)
    assert_equal(first["model"], second["model"])
    assert len(losses(tmp_path / "run")) > 1
    again = train_two(processes, tmp_path / "run", tmp_path / "out", epochs=10_000, minutes=0.02)  # of no time left
    for rank, left in enumerate(again):
        assert all(torch.equal(left[key], states(tmp_path / "run")["ema"][key]) for key in first["model"])
        assert rank == 0 or not left["written"]


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [2, 3])
def test_a_batch_in_parts_trains_as_a_whole_one(tmp_path, accumulate):
    run(configure(prediction="v"), tmp_path / "whole")
    run(configure(prediction="v", accumulate=accumulate), tmp_path / "parts")
    assert_close(tmp_path / "parts", tmp_path / "whole")
    for path in (tmp_path / "whole", tmp_path / "parts"):
        assert int(states(path)["rng"]["averaged"]) == 6  # optimiser steps: two an epoch


def test_more_parts_than_images_are_refused(tmp_path):
    with pytest.raises(ThawError, match="batch of 32 images.*accumulate=33; lower accumulate, or raise batch_size"):
        run(configure(accumulate=33), tmp_path / "run")


def test_a_launcher_that_starts_one_process_of_several_is_told(monkeypatch, capsys):
    """What `accelerate launch --cpu --num_processes 2` gives to its only process."""
    for name, value in {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_MIXED_PRECISION": "no"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert build_accelerator(configure()).num_processes == 1
    assert "replace --cpu by --multi_gpu" in capsys.readouterr().out


@pytest.mark.slow
def test_accelerate_launches_the_command_line(tmp_path):
    """`accelerate launch ... -m thaw train`, two gloo processes: the curve of one process."""
    values = TINY | {"data": "mnist" if on_disk("mnist") else "digits", "study": "ddpm", "set": "tiny"}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    options = "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", *options.split()]
    command += ["--main_process_port", "0", "-m", "thaw", "train", "--device", "cpu", "--train-only"]
    command += ["--config", str(tmp_path / "tiny.yaml"), "--run", str(tmp_path / "two")]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=1800
    )  # on a busy machine
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.count("epoch    3   loss") == 1
    run(configure(**values), tmp_path / "one")
    assert_close(tmp_path / "two", tmp_path / "one")
