"""A training process may die at any moment, by any cause: the run goes on, and ends as if nothing had happened."""

import itertools
import json
import os
import random
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest
from runs import assert_equal, configure, losses, run, states
from workers import SMALL, start

from thaw.base.errors import ThawError
from thaw.store.runs import list_checkpoints, load_newest
from thaw.store.weights import load_model
from thaw.training.loop import train


@pytest.fixture(scope="module")
def straight(tmp_path_factory, processes):
    """An uninterrupted run of `SMALL`, with the CPU time it took."""
    path = tmp_path_factory.mktemp("straight") / "run"
    process = start(processes, path)
    process.join()
    assert process.exitcode == 0
    return path, process.spent.value


def assert_same_end(path: Path, other: Path) -> None:
    """Both runs are complete, with the same files, losses and weights to the last bit."""
    assert_equal(states(path), states(other))
    assert losses(path) == losses(other)
    assert {p.name for p in path.iterdir()} == {p.name for p in other.iterdir()}
    assert (path / ".latest").resolve() == list_checkpoints(path)[-1].resolve()


def kill_until_done(processes, path: Path, draws: random.Random, how: str, spent: float, **values) -> int:
    """Train, killed again and again, until the run is complete; returns how many kills that took.

    After each kill the newest checkpoint can be read, and is not older than the one before the kill.
    """
    reached = (0, 0)
    for kills in itertools.count():
        if how == "moments":
            process = start(processes, path, seconds=draws.uniform(0, 0.9 * spent), **values)
        else:
            process = start(processes, path, operations=draws.randrange(300), **values)
        process.join()
        if process.exitcode == 0:
            return kills
        assert process.exitcode == -signal.SIGKILL
        newest, damaged = load_newest(path) if path.exists() else (None, [])
        assert not damaged
        if newest:
            here = (newest.context["epoch"], newest.context["step"])
            assert here >= reached
            reached = here
            load_model(path)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["moments", "file operations"])
def test_killed_at_random_a_run_ends_with_the_same_weights(tmp_path, processes, straight, how):
    """Twelve kills: at random moments, or before any open, rename, unlink, link or lock, most of them while writing."""
    draws, kills, rounds = random.Random(0), 0, 0
    while kills < 12:
        path, rounds = tmp_path / f"run{rounds}", rounds + 1
        kills += kill_until_done(processes, path, draws, how, straight[1])
        assert_same_end(path, straight[0])
    print(f"{kills} kills in {rounds} runs of {straight[1]:.1f} s")


@pytest.fixture(scope="module")
def latent(tmp_path_factory, processes):
    """Settings of a flow in the latent of a tiny autoencoder, an uninterrupted run of it, and its CPU time."""
    folder = tmp_path_factory.mktemp("latent")
    coder = {"study": "autoencoder", "network": "vae", "epochs": 1, "evaluate_every": 0, "dropout": 0.0}
    run(configure(**SMALL | coder), folder / "coder")
    values = {"study": "latent", "network": "latent", "prediction": "v", "autoencoder": str(folder / "coder")}
    process = start(processes, folder / "run", **values)
    process.join()
    assert process.exitcode == 0
    return values, folder / "run", process.spent.value


@pytest.mark.slow
@pytest.mark.parametrize("how", ["moments", "file operations"])
def test_killed_at_random_a_flow_in_a_latent_ends_with_the_same_weights(tmp_path, processes, latent, how):
    """Six kills; each run starts where nothing has been encoded yet."""
    (values, straight, spent), draws, kills, rounds = latent, random.Random(1), 0, 0
    while kills < 6:
        path, rounds = tmp_path / f"run{rounds}", rounds + 1
        shutil.rmtree("contents/latents", ignore_errors=True)
        kills += kill_until_done(processes, path, draws, how, spent, **values)
        assert_same_end(path, straight)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_an_interrupt_ends_with_a_checkpoint_of_the_last_step(tmp_path, processes, straight, number):
    path = tmp_path / "run"
    process = start(processes, path, save_minutes=60.0)
    while len(list_checkpoints(path)) < 2:
        time.sleep(0.01)
    os.kill(process.pid, number)
    process.join()
    expected = (1,) if number == signal.SIGINT else (143, -number)  # a traceback; what a shell says
    assert process.exitcode in expected
    newest, damaged = load_newest(path)
    assert not damaged and (newest.context["epoch"], newest.context["step"]) > (0, 0)
    finish = start(processes, path, save_minutes=60.0)
    finish.join()
    assert_equal(states(path), states(straight[0]))


@pytest.mark.slow
def test_a_second_process_on_a_run_is_refused_and_does_no_harm(tmp_path, processes, straight, capfd):
    path = tmp_path / "run"
    first = start(processes, path)
    while not (path / ".lock").exists() or not list_checkpoints(path):
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGSTOP)
    with pytest.raises(ThawError, match=f"another process.*{first.pid} on .*is training in"):
        run(configure(**SMALL), path)
    os.kill(first.pid, signal.SIGCONT)
    first.join()
    assert first.exitcode == 0
    assert_same_end(path, straight[0])


def test_a_generator_that_is_dropped_lets_go_of_its_run(tmp_path):
    first = train(configure(**SMALL), tmp_path / "run", progress=False)
    next(first)
    with pytest.raises(ThawError, match="another process"):
        run(configure(**SMALL), tmp_path / "run")
    first.close()
    assert [epoch.epoch for epoch in run(configure(**SMALL | {"epochs": 0}), tmp_path / "run")] == [0]


def flip(path: Path) -> None:
    """Flip one bit of a tensor, or of a number."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a flipped bit": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
}


@pytest.fixture(scope="module")
def half_done(tmp_path_factory, digits):
    """A run that was left after epoch 2."""
    path = tmp_path_factory.mktemp("half") / "run"
    run(configure(**SMALL), path, until=2)
    assert [p.name for p in list_checkpoints(path, partial=True)[-2:]] == ["epoch_0001_step_000002", "epoch_0002"]
    return path


PARTS = ("model.pt", "optimiser.pt", "rng.pt", "ctx.yaml", "SHA256SUMS")
MISSING_SUMS = ("missing", "SHA256SUMS")  # as in runs of earlier versions: not damage


@pytest.mark.parametrize(("damage", "name"), [c for c in itertools.product(DAMAGE, PARTS) if c != MISSING_SUMS])
def test_a_damaged_newest_checkpoint_is_told_and_the_one_before_taken(half_done, tmp_path, name, damage, capsys):
    path = shutil.copytree(half_done, tmp_path / "run", symlinks=True)
    DAMAGE[damage](path / "epoch_0002" / name)
    assert load_newest(path)[0].path.name == "epoch_0001_step_000002" and load_model(path).epoch == 1
    said = capsys.readouterr().out
    assert "epoch_0002 of" in said and name in said and "taking epoch_0001_step_000002" in said
    with pytest.raises(ThawError, match=name):
        load_model(path / "epoch_0002")


def test_training_goes_on_from_before_a_damaged_checkpoint(half_done, tmp_path, straight):
    path = shutil.copytree(half_done, tmp_path / "run", symlinks=True)
    flip(path / "epoch_0002" / "ema.pt")
    (path / "terminal.pt").write_bytes(b"")  # fitted again
    assert [epoch.epoch for epoch in run(configure(**SMALL), path)] == [2, 3, 4]
    shutil.rmtree(path / "damaged_epoch_0002")  # kept until now
    assert_same_end(path, straight[0])


def test_where_no_checkpoint_can_be_read_nothing_is_overwritten(half_done, tmp_path):
    path = shutil.copytree(half_done, tmp_path / "run", symlinks=True)
    for found in list_checkpoints(path, partial=True):
        (found / "model.pt").write_bytes(b"")
    before = sorted(p.name for p in path.iterdir())
    with pytest.raises(ThawError, match="no other checkpoint in .* can be read"):
        run(configure(**SMALL), path)
    assert sorted(p.name for p in path.iterdir()) == before


def test_a_full_disk_stops_with_everything_before_it(half_done, tmp_path, straight):
    """A limit on the size of files stands in for the disk: the writes themselves fail."""
    path = shutil.copytree(half_done, tmp_path / "run", symlinks=True)
    before = sorted(p.name for p in path.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        with pytest.raises(ThawError, match="cannot write.*free space"):
            run(configure(**SMALL), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(p.name for p in path.iterdir()) == before
    run(configure(**SMALL), path)
    assert_same_end(path, straight[0])


def test_a_read_only_run_is_refused_before_anything_is_trained(half_done, tmp_path):
    path = shutil.copytree(half_done, tmp_path / "run", symlinks=True)
    before = json.dumps(losses(path))
    path.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:  # whom permissions do not stop
            for folder in (tmp_path, *tmp_path.parents[:3]):
                os.chmod(folder, folder.stat().st_mode | 0o055)
            os.seteuid(65534)
        with pytest.raises(ThawError, match=f"cannot write in {path}"):
            run(configure(**SMALL), path)
    finally:
        if root:
            os.seteuid(0)
        path.chmod(0o755)
    assert json.dumps(losses(path)) == before
