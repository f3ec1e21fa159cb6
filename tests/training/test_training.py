"""Training: exact resume, checkpoints, the average, and failing loudly."""

import copy
import shutil

import pytest
import torch
import yaml
from cases import few, folder_settings
from runs import VARIANTS, assert_equal, configure, losses, run, states

from thaw.base.errors import ThawError
from thaw.base.machine import machine
from thaw.data.folder import _read_once
from thaw.degradations import Lines
from thaw.store import list_checkpoints, load_checkpoint, load_model, load_tensors, save_release
from thaw.terminal import fit_terminal
from thaw.training import trainer
from thaw.training.loop import train
from thaw.training.optimisers import average, learning_rate
from thaw.training.parallel import build_accelerator


@pytest.mark.parametrize(
    ("variant", "interrupted"), [("hot", 1), ("dropout", 0), ("dropout", 2), ("warm lines", 1), ("cnn", 1)]
)
def test_an_interrupted_run_ends_as_an_uninterrupted_one_to_the_bit(tmp_path, variant, interrupted):
    config = configure(**VARIANTS[variant])
    run(config, tmp_path / "straight")
    run(config, tmp_path / "resumed", until=interrupted)
    torch.manual_seed(987)  # as in a new process, nothing is known of the first part
    torch.rand(17)
    second = run(config, tmp_path / "resumed")
    assert [epoch.epoch for epoch in second] == list(range(interrupted + 1, 4))
    assert_equal(states(tmp_path / "resumed"), states(tmp_path / "straight"))
    assert losses(tmp_path / "resumed") == losses(tmp_path / "straight")


def test_a_trainer_goes_on_from_the_state_of_another_to_the_bit(tmp_path, digits):
    """Within an epoch and at its end; whoever stops looking at the steps leaves a state to go on from."""
    config, images = configure(dropout=0.3, threads=2), digits.subset(64, 0)
    first, second = (trainer.Trainer(config, images, tmp_path / n, build_accelerator(config)) for n in "ab")
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    for wanted in (1, 2):
        for step in first.steps():
            assert step.images == 32 and step.share == 0 and torch.isfinite(step.loss)
            if first.index == wanted:
                break
        state, ends = copy.deepcopy(first.state_dict()), []
        for one in (first, second):
            one.load_state_dict(copy.deepcopy(state))
            assert len(list(one.steps())) == 2 - wanted
            one.end_epoch()
            one.seconds = one.running = 0.0
            ends.append(copy.deepcopy(one.state_dict()))
        assert_equal(*ends)


def test_a_trainer_that_is_stopped_ends_after_the_step(tmp_path, digits):
    config = configure()
    one = trainer.Trainer(config, digits.subset(64, 0), tmp_path / "run", build_accelerator(config))
    for _ in one.steps():
        one.stop()
    assert one.stopped and one.index == 1
    assert len(list(one.steps())) == 1 and not one.stopped and one.index == 2


def test_a_run_of_an_earlier_version_that_measured_its_threads_goes_on(tmp_path):
    path = tmp_path / "run"
    run(configure(epochs=2), path, until=1)
    for checkpoint in list_checkpoints(path):
        (checkpoint / "SHA256SUMS").unlink()
        stored = checkpoint / "cfg.yaml"
        stored.write_text(stored.read_text().replace("threads: 1", "threads: auto"))
    assert load_model(path).epoch == 1
    assert [epoch.epoch for epoch in run(configure(epochs=2), path)] == [2]
    run(configure(epochs=2), tmp_path / "straight")
    assert_equal(states(path), states(tmp_path / "straight"))


def test_the_same_configuration_trains_the_same_weights_and_another_seed_others(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(name))
        run(configure(epochs=1, seed=seed), tmp_path / name)
    assert_equal(states(tmp_path / "a"), states(tmp_path / "b"))
    assert losses(tmp_path / "a") != losses(tmp_path / "c")


def test_a_finished_run_is_left_alone(tmp_path):
    """It yields what it came to once more, as it does where the epochs or the minutes are fewer now; so do none."""
    path = tmp_path / "run"
    for epochs, changes in ((0, {}), (2, {}), (2, {"epochs": 1}), (2, {"epochs": 9, "minutes": 1e-9})):
        trained = run(configure(epochs=epochs), path)[-1]
        files = {p: p.stat().st_mtime_ns for p in path.glob("epoch_*/*")}
        lines, before = (path / "metrics.jsonl").read_text(), states(path)
        (again,) = run(configure(**{"epochs": epochs} | changes), path)
        assert again.before and (again.epoch, again.record, again.path) == (epochs, trained.record, trained.path)
        assert_equal(dict(again.model.network.state_dict()), dict(trained.model.network.state_dict()))
        assert (path / "metrics.jsonl").read_text() == lines and len(lines.splitlines()) == epochs + 1
        assert files == {p: p.stat().st_mtime_ns for p in files}
        assert_equal(states(path), before)


def test_a_run_that_is_cut_short_within_an_epoch_yields_the_last_complete_one(tmp_path, monkeypatch):
    """Its checkpoint is kept, and a longer run still goes on from within the next."""
    values = {"epochs": 3, "save_every": 9, "save_minutes": 0.0}  # a checkpoint every step
    config, path, step, taken = configure(**values), tmp_path / "run", trainer.Trainer.step, []

    def interrupted(self, *arguments):
        taken.append(self.epoch)
        if len(taken) == 4:  # the last of two in epoch 2
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(trainer.Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(config, path)
    assert [p.name for p in list_checkpoints(path, partial=True)][-2:] == ["epoch_0001", "epoch_0001_step_000001"]
    monkeypatch.undo()
    (epoch,) = run(configure(**values | {"epochs": 1}), path)
    assert (epoch.epoch, epoch.path) == (1, path / "epoch_0001")
    expected = load_checkpoint(epoch.path).states["ema"]
    assert_equal(dict(epoch.model.network.state_dict()), {k: expected[k] for k in epoch.model.network.state_dict()})
    run(config, path)
    run(config, tmp_path / "straight")
    assert_equal(states(path), states(tmp_path / "straight"))


def test_a_finished_run_can_be_trained_longer(tmp_path):
    run(configure(epochs=1), tmp_path / "run")
    assert [epoch.epoch for epoch in run(configure(epochs=2), tmp_path / "run")] == [2]
    assert len(losses(tmp_path / "run")) == 3


def test_a_run_starts_from_the_weights_of_another_and_goes_on_without_them(tmp_path):
    before = run(configure(epochs=1), tmp_path / "first")[-1].model
    release = save_release(tmp_path, before, before.network.state_dict())
    for start in (tmp_path / "first", release):
        config, network = configure(epochs=2, start_from=str(start), tau=(0.0, 1.0)), load_model(start).network
        whole, path = tmp_path / f"{start.name} whole", tmp_path / f"{start.name} stopped"
        run(config, whole)
        begun = run(config, path, until=0)[0].model
        x, half, y = torch.randn(4, *begun.process.shape), torch.full((4,), 0.5), torch.arange(4)
        hot = network(x, half, torch.ones(4), y)
        for tau in (0.0, 0.5, 0.99, 1.0):  # all temperatures begin as the one that was trained
            torch.testing.assert_close(begun.network(x, half, torch.full((4,), tau), y), hot, rtol=1e-5, atol=1e-5)
        start.rename(tmp_path / f"{start.name} moved")
        run(config, path)
        assert_equal(states(path), states(whole))


def test_a_network_that_sees_the_degraded_picture_starts_from_one_that_does_not(tmp_path):
    """Old weights are its beginning, to the bit; the way back is refused."""
    rows = {**VARIANTS["warm lines"], "epochs": 0}
    before = run(configure(**rows), tmp_path / "first")[-1].model.network.state_dict()
    seeing = configure(**rows | {"observed": 0.5, "start_from": str(tmp_path / "first"), "epochs": 1})
    begun = run(seeing, tmp_path / "second", until=0)[0].model.network.state_dict()
    assert_equal({name: begun[name] for name in before}, dict(before))
    run(seeing, tmp_path / "second")
    network = load_model(tmp_path / "second").network
    assert network.seen_stem.weight.any() and network.seen_whole[-1].weight.any()
    with pytest.raises(ThawError, match="observed is 0.5 there and 0.0 here"):
        run(configure(**rows | {"start_from": str(tmp_path / "second")}), tmp_path / "third")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"widths": (8, 24)}, r"widths is \(8, 24\) there and \(8, 16\) here"),
        ({"activation": "gelu"}, "activation is 'gelu' there and 'silu' here"),
        ({"network": "cnn", "label_dropout": 1.0}, "network is 'cnn' there and 'unet' here"),
        ({"prediction": "v"}, "prediction is 'v' there and 'x0' here"),
    ],
)
def test_a_run_starts_only_from_a_network_like_its_own(tmp_path, other, message):
    run(configure(epochs=0, **other), tmp_path / "first")
    with pytest.raises(ThawError, match=message):
        run(configure(start_from=str(tmp_path / "first")), tmp_path / "run")
    with pytest.raises(ThawError, match="missing"):
        run(configure(start_from=str(tmp_path / "missing.pth")), tmp_path / "run")


def test_the_loss_goes_down(tmp_path):
    for name in ("hot", "warm lines"):
        epochs = run(configure(epochs=4, limit=192, **VARIANTS[name]), tmp_path / name)
        assert epochs[-1].record["loss"] < 0.8 * epochs[1].record["loss"]


@pytest.mark.parametrize(("every", "kept"), [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 2, 4, 5]), (3, [0, 3, 5]), (9, [0, 5])])
def test_only_the_checkpoints_to_keep_and_the_newest_remain(tmp_path, every, kept):
    path = tmp_path / "run"
    for epoch in train(configure(epochs=5, limit=32, save_every=every), path, progress=False):
        assert epoch.path == list_checkpoints(path)[-1]
    assert [checkpoint.name for checkpoint in list_checkpoints(path)] == [f"epoch_{n:04d}" for n in kept]
    assert (path / ".latest").resolve() == path / "epoch_0005"
    assert (tmp_path / ".latest").resolve() == path
    assert not [p.name for p in path.iterdir() if p.name.startswith(".epoch") or p.name.endswith(".removed")]


def test_a_checkpoint_holds_everything_by_its_name(tmp_path):
    config = configure(epochs=1)
    run(config, tmp_path / "run")
    path = tmp_path / "run" / "epoch_0001"
    _, stored, _, context = load_checkpoint(path)
    assert stored == config and context["epoch"] == 1 and context["classes"] == 10
    names = {"model.pt", "ema.pt", "optimiser.pt", "rng.pt", "cfg.yaml", "ctx.yaml", "perf.yaml", "SHA256SUMS"}
    assert {p.name for p in path.iterdir()} == names
    performance = yaml.safe_load((path / "perf.yaml").read_text())
    assert performance["images_per_second"] > 0 and performance["machine"] == machine()


@pytest.mark.parametrize("where", ["run/epoch_0001", "run", "."], ids=["checkpoint", "run", "runs"])
def test_the_averaged_model_loads_from_a_checkpoint_its_run_or_the_newest_run(tmp_path, where):
    last = run(configure(epochs=1), tmp_path / "run")[-1].model
    model = load_model(tmp_path / where)
    assert model.epoch == 1
    assert_equal(dict(model.network.state_dict()), dict(last.network.state_dict()))
    y = model.labels(3)
    assert torch.equal(model.sample(y), last.sample(y))


def test_another_experiment_in_the_same_directory_is_refused(tmp_path):
    run(configure(epochs=1), tmp_path / "run")
    before = states(tmp_path / "run")
    for changed in ({"lr": 1e-3}, {"seed": 1}, {"widths": (16, 16)}, VARIANTS["warm lines"]):
        with pytest.raises(ThawError, match=f"other settings.*{next(iter(changed))}"):
            run(configure(epochs=1, **changed), tmp_path / "run")
    assert_equal(states(tmp_path / "run"), before)


def test_what_a_crash_left_behind_is_ignored_and_cleaned(tmp_path):
    config, path = configure(epochs=2), tmp_path / "run"
    run(config, path, until=1)
    for leftover in (".epoch_0002.4242", ".epoch_0000.removed"):
        (path / leftover).mkdir()
        (path / leftover / "model.pt").write_bytes(b"half")
    assert [epoch.epoch for epoch in run(config, path)] == [2]
    names = {"epoch_0000", "epoch_0001", "epoch_0002", ".latest", ".lock", "metrics.jsonl", "terminal.pt"}
    assert {p.name for p in path.iterdir()} == names


def test_a_run_that_died_before_its_first_checkpoint_does_not_pass_on_its_terminal(tmp_path):
    """Only terminal.pt was written; then another degradation is trained in the directory."""
    rows, columns = ({"study": "custom", "degradation": axis, "steps": None} for axis in ("row", "col"))
    run(configure(epochs=0, **rows), tmp_path / "rows")
    (tmp_path / "run").mkdir()
    for name in (".lock", "terminal.pt"):
        (tmp_path / "rows" / name).rename(tmp_path / "run" / name)
    first = run(configure(epochs=0, **columns), tmp_path / "run")[0].model
    run(configure(epochs=0, **columns), tmp_path / "fresh")
    expected = load_tensors(tmp_path / "fresh" / "terminal.pt")
    assert_equal(first.terminal.state(), expected)


@pytest.mark.parametrize("name", ["model.pt", "cfg.yaml", "ctx.yaml"])
@pytest.mark.parametrize("content", [None, b"", b"\x00\xff"], ids=["missing", "empty", "noise"])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, name, content):
    run(configure(epochs=0, limit=32), tmp_path / "run")
    path = tmp_path / "run" / "epoch_0000" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ThawError, match=name):
        load_model(tmp_path / "run")


def test_without_decay_the_average_is_the_network(tmp_path):
    run(configure(epochs=1, ema=0.0), tmp_path / "run")
    stored = states(tmp_path / "run")
    assert_equal(stored["ema"], stored["model"])


def test_the_average_follows_its_formula():
    """a <- d a + (1 - d) w, with d = min(decay, (1 + n) / (10 + n)) after n updates."""
    network, decay = torch.nn.Linear(3, 2), 0.3
    averaged, expected = average(network, decay), None
    for n in range(8):
        with torch.no_grad():
            network.weight.add_(torch.randn(2, 3))
        averaged.update_parameters(network)
        keep = min(decay, (1 + n) / (10 + n)) if n else 0.0
        expected = network.weight.detach() * (1 - keep) + (0 if expected is None else keep * expected)
        torch.testing.assert_close(averaged.module.weight.detach(), expected)


def test_a_diverging_run_stops_with_the_last_good_checkpoint(tmp_path):
    with pytest.raises(ThawError, match=r"loss is (nan|inf).*lower lr=1e\+30"):
        run(configure(lr=1e30, warmup=0.0), tmp_path / "run")
    good = list_checkpoints(tmp_path / "run")[-1]
    assert all(torch.isfinite(value).all() for value in load_tensors(good / "model.pt").values())


def test_sampling_and_scoring_do_not_disturb_training(tmp_path, judge):
    quiet = configure(epochs=2, evaluate_every=0)
    busy = configure(epochs=2, evaluate_every=1, evaluate_n=256, sample_every=1, sample_steps=1)
    run(quiet, tmp_path / "quiet")
    epochs = run(busy, tmp_path / "busy", judge)
    assert_equal(states(tmp_path / "busy"), states(tmp_path / "quiet"))
    assert losses(tmp_path / "busy") == losses(tmp_path / "quiet")
    assert all({"fid", "fid_floor", "entropy", "n"} <= set(epoch.record) for epoch in epochs)
    samples = {p.name for p in (tmp_path / "busy" / "samples").iterdir()}
    assert {f"epoch_000{n}.png" for n in range(3)} <= samples
    assert not (tmp_path / "quiet" / "samples").exists()


def test_precision_is_a_setting_of_the_run_and_not_of_the_process(tmp_path):
    """A notebook may train one configuration in float32 and then another in bfloat16."""
    for precision in ("no", "bf16", "no"):
        config = configure(epochs=1, limit=32, mixed_precision=precision)
        for epoch in train(config, tmp_path / f"{precision}", progress=False):
            assert all(p.dtype == torch.float32 for p in epoch.model.network.parameters())


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes in fp16")
def test_a_precision_that_the_device_lacks_is_refused_before_anything_is_written(tmp_path):
    config = configure(epochs=1, limit=32, mixed_precision="fp16")
    with pytest.raises(ThawError, match="mixed_precision=fp16 needs a GPU.*set it to no"):
        next(train(config, tmp_path / "run", progress=False))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("decay", ["cosine", "none"])
def test_the_learning_rate_rises_then_falls_or_stays(decay):
    config = configure(lr=1.0, warmup=0.1, lr_decay=decay)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == pytest.approx(1.0, abs=0.01)
    assert all(a < b for a, b in zip(rates[:9], rates[1:10], strict=True))
    if decay == "none":
        assert rates[10:] == [1.0] * 90
    else:
        assert all(a > b for a, b in zip(rates[10:], rates[11:], strict=False)) and 0 < rates[-1] < 0.01


def test_a_data_set_smaller_than_a_batch_trains(tmp_path):
    assert run(configure(epochs=1, limit=20, batch_size=32), tmp_path / "run")[-1].record["loss"] > 0


def test_the_terminal_of_a_run_is_that_of_its_training_images(tmp_path, digits):
    config = configure(epochs=0, **VARIANTS["warm lines"])
    model = run(config, tmp_path / "run")[0].model
    expected = fit_terminal(Lines((1, 28, 28), "row"), *few(digits, 64), 2)
    assert_equal(model.terminal.state(), expected.state())


class Clock:
    """A clock that is a second later at every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1.0
        return self.now


@pytest.mark.slow
def test_a_time_limit_ends_the_run_with_the_learning_rate_decayed(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "time", Clock())
    config = configure(epochs=1000, minutes=0.5, limit=256, batch_size=32)
    epochs = run(config, tmp_path / "run")
    last = epochs[-1].record
    assert 30 <= last["seconds"] < 34 and last["images"] < 30 * 32
    assert last["lr"] < 0.02 * config.lr < 0.5 * config.lr < epochs[1].record["lr"]
    assert [epoch.before for epoch in run(config, tmp_path / "run")] == [True]  # the time is used up
    longer = run(configure(epochs=1000, minutes=1.0, limit=256, batch_size=32), tmp_path / "run")
    assert longer[0].epoch == epochs[-1].epoch + 1 and longer[-1].record["seconds"] >= 60


def test_epochs_still_end_a_run_that_has_time_left(tmp_path):
    assert run(configure(epochs=2, minutes=60.0), tmp_path / "run")[-1].epoch == 2


def _add(folder):
    shutil.copytree(folder / "class01", folder / "class03")


def _empty(folder):
    for path in (folder / "class01").iterdir():
        path.unlink()


def _remove(folder):
    sorted((folder / "class00").iterdir())[0].unlink()


def _replace(folder):
    one, *_, other = sorted((folder / "class02").iterdir())
    shutil.copy(one, other)


def _relabel(folder):
    one, other = (sorted((folder / f"class0{k}").iterdir())[0] for k in (0, 1))
    saved = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(saved)


@pytest.mark.parametrize(("change", "said"), [
    (_add, "a new class class03"), (_empty, "without the class class01, 2 classes in place of 3"),
    (_remove, "26 images in place of 27"), (_replace, "as many images, but not the same"),
    (_relabel, "as many images, but not the same"),
])  # fmt: skip
@pytest.mark.parametrize("old", [False, True], ids=["", "of an earlier version"])
def test_a_run_whose_images_changed_does_not_go_on(change, said, old, tmp_path, folders):
    """What changed is told; runs of earlier versions know the number of their classes only."""
    folder = tmp_path / "images"
    shutil.copytree(folders[3], folder)
    config = configure(**folder_settings(folders, 3) | {"data_path": str(folder), "limit": None})
    run(config, tmp_path / "run", until=1)
    if old:
        _forget(tmp_path / "run")
    change(folder)
    _read_once.cache_clear()
    if old and change not in (_add, _empty):
        assert run(config, tmp_path / "run")[-1].epoch == 3
        return
    with pytest.raises(ThawError, match=rf"{folder} is not what .*run was trained on: .*{'' if old else said}"):
        run(config, tmp_path / "run")
    assert list_checkpoints(tmp_path / "run")[-1].name == "epoch_0001"


def _forget(run_path):
    """Turn the newest checkpoint into one of an earlier version, without fingerprint and sums."""
    path = list_checkpoints(run_path)[-1]
    context = yaml.safe_load((path / "ctx.yaml").read_text())
    del context["data"]
    (path / "ctx.yaml").write_text(yaml.safe_dump(context))
    (path / "SHA256SUMS").unlink()


def test_a_run_goes_on_to_the_same_bits_where_its_images_were_moved(tmp_path, folders):
    shutil.copytree(folders[2], tmp_path / "there")
    values = folder_settings(folders, 2) | {"limit": None}
    run(configure(**values), tmp_path / "straight")
    run(configure(**values), tmp_path / "moved", until=1)
    run(configure(**values | {"data_path": str(tmp_path / "there")}), tmp_path / "moved")
    assert_equal(states(tmp_path / "moved"), states(tmp_path / "straight"))
