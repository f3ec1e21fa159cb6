"""Threads: a number, or the faster of one and all, measured once a run."""

import os
import shutil

import pytest
import torch
import yaml
from test_training import assert_equal, configure, run, states

from thaw.base.errors import ThawError
from thaw.training import threads
from thaw.training.threads import available, step_seconds


@pytest.fixture(autouse=True)
def one_thread_afterwards():
    yield
    torch.set_num_threads(1)


def test_what_is_measured_is_the_median_step_after_the_first():
    """A step that is slow with two threads, slow at first, and slow once in between, on a clock of its own."""
    calls, now = {1: 0, 2: 0}, [0.0]

    def step() -> None:
        count = torch.get_num_threads()
        calls[count] += 1
        now[0] += count + 20 * (calls[count] in (1, 3))

    torch.set_num_threads(1)
    assert step_seconds(step, [1, 2], lambda: now[0]) == {1: 1, 2: 2}
    assert calls == {1: 6, 2: 6}
    assert torch.get_num_threads() == 1


def test_all_cores_that_the_process_may_use_are_available(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert available() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    assert available() == 1


def test_the_choice_is_printed_kept_and_taken_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(threads, "available", lambda: 2)
    config = configure(threads="auto", epochs=2)
    run(config, tmp_path / "run", until=1)
    said = capsys.readouterr().out
    kept = yaml.safe_load((tmp_path / "run" / "epoch_0001" / "perf.yaml").read_text())["threads"]
    assert f"threads: {kept} (a training step takes" in said and "with 1" in said and "with 2" in said
    assert torch.get_num_threads() == kept
    for other in (1, 2):  # whatever was measured in another session
        path = shutil.copytree(tmp_path / "run", tmp_path / f"run{other}", symlinks=True)
        performance = path / "epoch_0001" / "perf.yaml"
        performance.write_text(performance.read_text().replace(f"threads: {kept}", f"threads: {other}"))
        (path / "epoch_0001" / "SHA256SUMS").unlink()
        run(config, path)
        assert torch.get_num_threads() == other
        assert yaml.safe_load((path / "epoch_0002" / "perf.yaml").read_text())["threads"] == other
    assert "threads:" not in capsys.readouterr().out


def test_measuring_does_not_disturb_training(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "available", lambda: 1)  # one to choose from: the same sums
    run(configure(dropout=0.2, epochs=1), tmp_path / "one")
    run(configure(dropout=0.2, epochs=1, threads="auto"), tmp_path / "auto")
    assert_equal(states(tmp_path / "auto"), states(tmp_path / "one"))


@pytest.mark.parametrize("value", [0, "all", 1.5])
def test_other_values_are_refused(value):
    with pytest.raises(ThawError, match=f"'threads'.* or input should be 'auto', got {value!r}"):
        configure(threads=value)
