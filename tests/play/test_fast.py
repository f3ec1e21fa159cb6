"""Fast weights where a hand moves a slider: sketches while it does, the whole sampler where it rests."""

import shutil

import pytest
import torch

import thaw
from thaw.cli.main import main
from thaw.cli.scoring import quickly
from thaw.experiment.build import build_model, build_network, build_process
from thaw.experiment.variants import fast
from thaw.play.panels import panel as panels
from thaw.play.panels.classify import can_classify
from thaw.play.panels.compare import ComparePanel
from thaw.play.panels.controls import SamplerSettings
from thaw.play.panels.panel import Panel, Update
from thaw.play.panels.sample import SamplePanel
from thaw.play.panels.watch import WatchPanel
from thaw.store.catalogue import catalogue, fast_of, open_model
from thaw.store.weights import load_model, save_release

TEACHER = "ddpm_mnist_100_default"


@pytest.fixture
def folder(tmp_path, repository):
    """A folder with the hot weights, and fast ones as they are before they learn."""
    folder = tmp_path / "pretrained"
    folder.mkdir()
    for name in (TEACHER, "ddpm_mnist_20_default", "features_mnist", "real_mnist"):
        shutil.copy(repository / "pretrained" / f"{name}.pth", folder)
    shutil.copy(repository / "pretrained" / "MANIFEST.json", folder)
    teacher = load_model(folder / f"{TEACHER}.pth")
    config = fast(teacher.config, f"pretrained/{TEACHER}.pth")
    process = build_process(config, teacher.shape)
    network = build_network(config, teacher.shape, 10)
    state = network.state_dict() | teacher.network.state_dict()
    save_release(folder, build_model(config, process, network, teacher.terminal, 10, 1), state)
    return folder


@pytest.fixture
def at_once(monkeypatch):
    """A hand that has let go as soon as the first sketch is there."""
    monkeypatch.setattr(panels, "REST", 0.0)
    monkeypatch.setattr(panels, "REDRAW", 0.0)


def seen(one: SamplePanel, monkeypatch) -> list[torch.Tensor]:
    """Return a list that every picture that a panel shows is added to."""
    shown, publish = [], one._publish
    monkeypatch.setattr(one, "_publish", lambda images, *how: (shown.append(images.clone()), publish(images, *how)))
    return shown


def test_fast_weights_know_their_teacher_and_no_other(folder):
    found = fast_of(open_model("default", folder=folder), folder)
    assert found.config.label == "fast" and found.sampling.steps == 4
    assert fast_of(open_model("default", 20, folder=folder), folder) is None and fast_of(found, folder) is None
    assert [one.label for one in catalogue(folder) if not can_classify(one)] == ["fast"]


def test_a_moving_slider_sketches_and_where_it_rests_all_is_drawn(folder, tmp_path, at_once, monkeypatch):
    one = SamplePanel(tmp_path, folder)
    one.count.value, one.settings.steps.value = 40, 2  # before anything is to be seen
    one.wait()
    shown = seen(one, monkeypatch)
    one.settings.guidance.value = 1.5
    one.wait()
    quick, slow = fast_of(open_model("default", folder=folder), folder), open_model("default", folder=folder)
    y = slow.labels(40)
    start = quick.start(y, thaw.base.seeding.generator(0, "sample")).first(20)
    assert torch.equal(shown[0], thaw.to_uint8(quick.sample(y[:20], start=start, guidance=1.5, eta=0.0)))
    assert torch.equal(shown[-1], thaw.to_uint8(slow.sample(y, guidance=1.5, steps=2)))
    assert "40 digits" in one.message.value


def test_the_other_panels_follow_too(folder, tmp_path, at_once):
    watch = WatchPanel(tmp_path, folder)
    watch.settings.steps.value = 3
    watch.wait()
    assert "4 states" in watch.message.value  # the last are those of the whole sampler
    compare = ComparePanel(folder)
    compare.count.value = 20
    compare.wait()
    assert "20 digits each" in compare.message.value
    compare.other.set.value = "fast"  # a choice is no slider: nothing is drawn by itself
    assert compare.current is compare.following or "20 digits each" in compare.message.value


def test_nothing_follows_where_there_are_no_fast_weights(folder, tmp_path):
    one = SamplePanel(tmp_path, folder)
    one.models.epoch.value = 20
    one.settings.guidance.value = 2.0
    assert one.thread is None and one.message.value == ""


def test_moves_within_a_sketch_are_drawn_next_and_a_rest_ends_them():
    """Without threads and clocks: the run itself."""
    panel, drawn = Panel([], [], lambda: iter(())), []

    def sketch():
        drawn.append("sketch")
        yield Update(0.0)

    def start():
        drawn.append("all")
        yield Update(1.0)
        return "done"

    panel.moved = 0.0
    run = panel._follow(sketch(), sketch, start)
    next(run)
    panel.moved = float("inf")  # while the first is drawn
    next(run)
    panel.moved = 0.0
    assert list(run) and drawn == ["sketch", "sketch", "all"]


def test_sliders_offer_what_fast_weights_know(folder):
    settings = SamplerSettings()
    settings.fit(open_model("fast", folder=folder))
    assert (settings.guidance.min, settings.guidance.max) == (1.0, 2.0) and settings.steps.value == 4
    settings.fit(open_model("default", folder=folder))
    assert (settings.guidance.min, settings.guidance.max) == (0.0, 4.0)
    settings.guidance.value = 3.0
    assert settings.fast(open_model("fast", folder=folder))["guidance"] == 2.0


def test_what_is_shipped_is_found_by_its_teacher_and_sketches_at_every_temperature(repository):
    folder = repository / "pretrained"
    shipped = [one for one in catalogue(folder) if one.teacher]
    assert {"fast", "row_fast", "mask_fast", "blur_fast"} <= {one.label for one in shipped}
    for one in shipped:
        teacher, settings = load_model(folder / one.teacher), SamplerSettings()
        quick = fast_of(teacher, folder)
        assert quick.config.label == one.label
        settings.fit(teacher)
        for tau in {settings.tau.min, settings.tau.max}:
            settings.tau.value = tau
            assert bool(quick.sample(quick.labels(2), **settings.fast(quick)).isfinite().all())


def test_an_evaluation_takes_them_where_asked_and_says_so(folder, monkeypatch, capsys):
    monkeypatch.setenv("THAW_PRETRAINED", str(folder))
    name, model = quickly("default", open_model("default"))
    assert name == "default, fast" and model.process.flow_map
    said = capsys.readouterr().out
    assert "by its fast weights ddpm_mnist_1_fast.pth: 4 evaluations an image in place of 35" in said
    assert main(["evaluate", "fast", "--fast"]) == 1
    assert "thaw distill fast" in capsys.readouterr().err
