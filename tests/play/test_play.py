"""Load and play: plain functions, what is offered, errors as sentences, runs that are stopped or superseded."""

import json
import re
import shutil
import subprocess
import sys
import threading

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from cases import open_picture

import thaw
from examples import choose_examples
from thaw import play
from thaw.autoencoder import Coder
from thaw.base.errors import ThawError
from thaw.base.files import write_json
from thaw.experiment.build import build_model, build_network, build_process
from thaw.play.classifying import answers
from thaw.play.degrading import own_config, own_trainer, trained_model
from thaw.play.drawing import draw_in_steps
from thaw.play.panels.canvas import BOX, Canvas, to_picture
from thaw.play.panels.classify import ClassifyPanel
from thaw.play.panels.compare import ComparePanel
from thaw.play.panels.controls import ModelChooser, SamplerSettings, suitable_samplers
from thaw.play.panels.own import OwnPanel
from thaw.play.panels.panel import RESTART, Panel, Update, sentence
from thaw.play.panels.picker import Picker
from thaw.play.panels.restore import RestorePanel, cached_prior
from thaw.play.panels.sample import SamplePanel
from thaw.play.panels.watch import WatchPanel
from thaw.play.pictures import Tile, as_html, as_picture
from thaw.play.restoring import SPREAD, restorations, rows_of, spread_of, ways
from thaw.sampling import SAMPLERS, check_sampler
from thaw.store import released, weights
from thaw.store.examples import load_examples
from thaw.store.inputs import Latents
from thaw.terminal import fit_terminal

SHIPPED = ("ddpm_mnist_20_default", "ddpm_mnist_100_default", "custom_mnist_25_row_default_28")
SHIPPED += ("custom_mnist_10_row_default_cold", "examples_mnist", "classes_mnist", "features_mnist", "real_mnist")


@pytest.fixture
def folder(tmp_path, repository):
    """A folder with some of the released weights, which a test may damage."""
    folder = tmp_path / "pretrained"
    folder.mkdir()
    for name in SHIPPED:
        shutil.copy(repository / "pretrained" / f"{name}.pth", folder)
    shutil.copy(repository / "pretrained" / "MANIFEST.json", folder)
    return folder


@pytest.fixture
def curtain():
    @thaw.register("curtain")
    class Curtain(thaw.Degradation):
        def __init__(self, shape, steps=14):
            super().__init__(shape, steps)

        def forward(self, x0, t, z=None):
            covered = torch.arange(self.shape[1]) < t[:, None] * self.shape[1] / self.steps
            return torch.where(covered[:, None, :, None], 0.0, x0)

    return "curtain"


def text(panel: Panel) -> str:
    return re.sub(r"<[^>]+>", "", panel.message.value)


def pressed(panel: Panel, button: widgets.Button | None = None) -> str:
    """Press a button, wait for the end of the run, and return what the panel says; nothing may be stuck."""
    (button or panel.button).click()
    panel.wait()
    assert panel.stop_button.disabled and panel.bar.layout.visibility == "hidden" and not panel.button.disabled
    assert "Traceback" not in panel.message.value
    return text(panel)


# What can be loaded.


def test_only_weights_that_are_there_and_can_be_sampled_from_are_offered(folder):
    entry = json.loads((folder / "MANIFEST.json").read_text())["ddpm_mnist_100_default.pth"]
    coder = entry | {"config": entry["config"] | {"study": "autoencoder"}}
    released.add_to_manifest(folder, "autoencoder_mnist_5_vae.pth", coder)
    (folder / "autoencoder_mnist_5_vae.pth").write_bytes(b"")
    found = play.catalogue(folder)
    assert [(one.process, one.set, one.epochs) for one in found] == [
        ("hot", "default", (20, 100)),
        ("row", "default_28", (25,)),
        ("row", "default_cold", (10,)),
    ]
    assert play.shipped(folder)["mnist", "row_default_28"] == [25]


def test_examples_are_two_real_digits_of_every_class(repository, mnist):
    found = load_examples("mnist", repository / "pretrained")
    assert found.labels.tolist() == [label for label in range(10) for _ in range(2)]
    assert torch.equal(found.images, choose_examples(mnist).images)


# What is offered suits the model.


@pytest.mark.parametrize("label", ["default", "row_default_28", "row_default_cold"])
def test_every_combination_that_is_offered_draws(label, folder):
    model = play.open_model(label, folder=folder)
    for sampler in suitable_samplers(model.process):
        for tau in SAMPLERS[sampler].temperatures_within(*model.process.tau):
            check_sampler(model.process, sampler, tau, 1.0)
            images = model.sample(model.labels(1), sampler=sampler, tau=tau, steps=2)
            assert images.shape == (1, 1, 28, 28)


def test_what_does_not_suit_is_disabled_and_the_reason_said(folder, tiny):
    settings = SamplerSettings()
    settings.fit(play.open_model("default", folder=folder))
    assert settings.tau.disabled and settings.tau.value == 1 and "always hot" in settings.hint.value
    settings.steps.value = 3
    settings.fit(play.open_model("default", 20, folder=folder))
    assert settings.values()["steps"] == 3  # another epoch of the same
    assert "algorithm2" not in [name for _, name in settings.sampler.options]
    assert settings.digit.label == "all" and settings.only is None
    settings.digit.value = 3
    settings.fit(play.open_model("row_default_28", folder=folder))
    assert settings.only == 3 and not settings.tau.disabled
    settings.sampler.value = "algorithm2"
    assert settings.tau.disabled and settings.values()["tau"] == 0 and settings.eta.disabled
    assert "Algorithm 2 is cold" in settings.hint.value and "eta" not in settings.values()
    settings.sampler.value = "ddim"
    assert not settings.tau.disabled and settings.tau.min > 0
    settings.sampler.value = "direct"
    assert settings.steps.disabled and "steps" not in settings.values()
    settings.fit(play.open_model("row_default_cold", folder=folder))
    assert settings.tau.disabled and settings.values()["tau"] == 0
    unconditional = tiny(label_dropout=1.0)
    settings.fit(unconditional)
    assert settings.digit.disabled and settings.guidance.disabled and len(settings.digit.options) == 1


@pytest.mark.parametrize("taus", [(1.2, 1.5), (1.5, 1.5), (0.1, 0.2), (0.0, 2.0)])
def test_the_temperature_moves_where_a_model_was_trained(taus, tiny):
    settings = SamplerSettings()
    for one in (taus, (0.0, 0.1), taus):
        settings.fit(
            tiny(study="custom", degradation="row", options={"group": 4}, steps=None, tau=one, sample_tau=one[1])
        )
        assert settings.values()["tau"] == one[1] and settings.tau.disabled == (one[0] == one[1])


# Drawing.


def test_drawing_in_steps_draws_what_sample_draws(warm_rows):
    y = warm_rows.labels(270)
    states = list(draw_in_steps(warm_rows, y, seed=3, steps=3, tau=1.0))
    assert torch.equal(states[-1].images, warm_rows.sample(y, seed=3, steps=3, tau=1.0))
    assert states[-1].done == states[-1].total == len(states)


def test_the_sample_panel_draws_scores_and_saves(folder, tmp_path):
    one = SamplePanel(tmp_path / "out", folder)
    one.settings.steps.value, one.count.value = 2, 10
    assert "not scored" in one.note.value
    assert "10 digits" in pressed(one)
    assert bytes(one.picture.value[:4]) == b"\x89PNG" and one.picture.layout.display == "block"
    for button in one.save.buttons.values():
        button.click()
    png, gif, npz = (next((tmp_path / "out").glob(f"*.{kind}")) for kind in ("png", "gif", "npz"))
    assert png.stem == gif.stem == npz.stem == "ddpm_default_warm_epoch100_seed0"
    model = play.open_model("default", folder=folder)
    expected = thaw.to_uint8(model.sample(model.labels(10), steps=2))
    assert np.array_equal(np.load(npz)["images"], expected[:, 0].numpy())
    assert open_picture(gif).n_frames == 3 and png.stat().st_size > 500
    one.count.value = 256
    pressed(one)
    assert "Fréchet distance" in one.scores.value and "(real " in one.scores.value and "n = 256" in one.scores.value


def test_watching_saves_a_strip_of_states_and_guesses(warm_rows, tmp_path):
    picture = play.watch(warm_rows, tmp_path, n=2, steps=4, tau=1.0)
    assert picture.size == (2 * (5 * 29 + 1), 2 * (4 * 29 + 1))  # five states; two rows a digit
    assert open_picture(next(tmp_path.glob("*.gif"))).n_frames == 5


def test_the_watch_panel_scrubs_and_saves(folder, tmp_path):
    one = WatchPanel(tmp_path / "out", folder)
    one.settings.steps.value = 3
    assert "4 states" in pressed(one)
    shown = set()
    for state in range(4):
        one.scrub.value = state
        shown.add(one.now.value)
    assert len(shown) == 4 and "t = 0" in one.now.value
    one.save.buttons["GIF and PNG"].click()
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".gif", ".png"}


# Destroying and restoring.


@pytest.mark.parametrize(("label", "count"), [("default", 6), ("row_default_28", 8), ("row_default_cold", 3)])
def test_only_restorations_that_suit_are_made_and_all_are_measured(label, count, folder):
    model = play.open_model(label, folder=folder)
    picture, digit = play.example(3, folder=folder)
    assert digit == 1 and len(ways(model.process)) == count
    t = max(1, model.process.steps // 2)
    *_, (tiles, total) = restorations(model, picture, t)
    rows = rows_of(tiles)
    assert total == count and len(rows[0]) + max(0, len(sum(rows[1:], [])) - 1) == count + 2
    measured = [tile for tile in tiles[1:] if tile.title != SPREAD]
    assert all(re.fullmatch(r"SSIM -?[\d.]+\nPSNR [\d.]+ dB", tile.text) for tile in measured)
    warm = [tile.image for tile in tiles if tile.title.startswith("warm")]
    assert all(not torch.equal(one, other) for one, other in zip(warm, warm[1:], strict=False))
    assert [tile.title for row in rows[1:] for tile in row][-1:] == ([SPREAD] if warm else [])


def test_the_spread_of_restorations_is_a_heat_map_bright_where_they_differ():
    images = torch.full((4, 1, 5, 6), 200, dtype=torch.uint8)
    assert (spread_of(images).image.permute(1, 2, 0).reshape(-1, 3).unique(dim=0)).shape == (1, 3)
    images[1, 0, 2, 3] = 0
    tile = spread_of(images)
    brightness = tile.image.double().mean(dim=0)
    assert tile.image.shape == (3, 5, 6) and brightness.argmax() == 2 * 6 + 3
    expected = float((images[:, 0, 2, 3].double() / 127.5).std())
    assert tile.text == f"0 to {expected:.2f}"


def test_a_step_that_is_none_is_refused(warm_rows):
    with pytest.raises(ThawError, match="t must be between 1 and T=7, got 8"):
        play.restore(warm_rows, torch.zeros(1, 1, 28, 28), t=8)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda model: play.compare([]), "there is nothing to compare"),
        (lambda model: play.draw(model, "out", n=2, columns=0), "a grid has at least one column, got 0"),
        (lambda model: play.watch(model, "out", n=0), "at least one image is drawn, got n=0"),
        (lambda model: play.classify(torch.zeros(2, 1, 28, 28), model), r"expected images of shape \(1, 1, 28, 28\)"),
        (lambda model: play.classify(torch.zeros(1, 1, 28, 28), model, draws=0), "at least one draw of noise, got 0"),
        (lambda model: play.own("nothing", "out"), "unknown degradation 'nothing'"),
        (lambda model: play.own("row", "out", minutes=0), "'minutes'.*greater than 0"),
    ],
    ids=range(7),
)
def test_what_no_panel_would_ask_for_is_a_sentence_and_leaves_nothing(warm_rows, call, said, tmp_path):
    with pytest.raises(ThawError, match=said):
        call(warm_rows)
    assert not list(tmp_path.glob("**/*.*"))


def test_the_restore_panel_takes_a_drawing(folder):
    one = RestorePanel(folder)
    one.picker.kind.value = "draw"
    assert "canvas is empty" in pressed(one)
    one.picker.canvas.strokes = [[[0.5, 0.2], [0.5, 0.8]]]
    assert "Restored with row_default_28" in pressed(one)
    assert one.gallery.value.count("<img") == 11 and "SSIM" in one.gallery.value
    before, one.t.value, one.true.value = one.gallery.value, one.t.max, True
    assert "Restored with row_default_28" in pressed(one) and one.gallery.value != before


def test_the_hot_prior_stands_beside_what_was_trained(folder, monkeypatch):
    monkeypatch.setattr("thaw.play.panels.restore.DRAWS", 20)
    cached_prior.cache_clear()
    one = RestorePanel(folder)
    one.untrained.value = True
    assert "Restored with row_default_28" in pressed(one)
    assert one.gallery.value.count("hot prior, seed") == 6 and not one.untrained.disabled
    one.models.process.value = "hot"
    assert one.untrained.disabled
    cached_prior.cache_clear()


# Your own degradation.


def test_an_own_degradation_is_shown_trained_and_drawn(curtain, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "nothing"))
    one = OwnPanel(tmp_path / "out", folder)
    assert one.name.value == curtain and "<img" in one.strip.value and one.again.disabled
    one.minutes.min = one.minutes.value = 0.02
    assert "draws as it has learnt" in pressed(one)
    assert "trained on digits" in one.result.value and not one.again.disabled
    one.tau.value = 0.5
    assert "40 digits at temperature 0.5" in pressed(one, one.again)


def test_stopping_a_training_keeps_what_was_learnt(curtain, tmp_path):
    trainer = own_trainer(own_config(curtain, data="digits", widths=(8, 16)), tmp_path)
    for _ in zip(trainer.all_steps(), range(3), strict=False):
        pass
    assert trained_model(trainer).sample(torch.arange(2), steps=2).shape == (2, 1, 28, 28)
    with pytest.raises(ThawError, match="stopped before the first step"):
        trained_model(own_trainer(own_config(curtain, data="digits"), tmp_path))


def test_an_own_degradation_begins_with_the_hot_weights_where_they_are_shipped(curtain, folder, tmp_path):
    hot = play.open_model("default", folder=folder)
    config = own_config(curtain, data="mnist", folder=folder)
    assert config.start_from == str(folder / hot.info["file"]) and config.tau == (0.0, 1.0)
    assert config.network_options() == hot.config.network_options()
    for other in (
        own_config(curtain, data="mnist", folder=folder, widths=(8, 16)),
        own_config(curtain, data="mnist", folder=tmp_path),
        own_config(curtain, data="digits", folder=folder),
    ):
        assert other.start_from is None


def test_mistakes_in_an_own_degradation_are_sentences(folder, tmp_path):
    @thaw.register("broken")
    class Broken(thaw.Degradation):
        def __init__(self, shape, steps=4):
            super().__init__(shape, steps)

        def forward(self, x0, t, z=None):
            return x0 + x0.no_such_thing

    one = OwnPanel(tmp_path, folder)
    assert "The degradation broken fails (AttributeError" in text(one)
    assert "change its cell" in pressed(one)
    Broken.forward = lambda self, x0, t, z=None: 0 * x0
    assert "D(x, 0) must be x" in pressed(one)
    Broken.forward = lambda self, x0, t, z=None: x0[:, :, :14]
    assert "must keep the shape" in pressed(one)


# Classifying.


@pytest.fixture
def flow(folder):
    """A released, untrained flow in the latent of an untrained autoencoder: the laws do not depend on their weights."""
    config = thaw.Config(study="autoencoder", network="vae", set="vae", data="mnist", widths=(8,), patch=4, alpha=0.1)
    network = build_network(config, (1, 28, 28), 0).eval()
    coder = Coder(config, (1, 28, 28), network, torch.zeros(1, 7, 7), torch.ones(1, 7, 7), "0" * 64)
    config = thaw.Config(study="latent", network="latent", set="flow", autoencoder="x", widths=(8, 8), steps=1000)
    latents = Latents("mnist", "train", torch.randn(40, 1, 7, 7), torch.arange(40) % 10, 10)
    process = build_process(config, (1, 7, 7))
    network = build_network(config, (1, 7, 7), 10).eval()
    terminal = fit_terminal(process.degradation, latents.batches(), latents.labels, 1)
    model = build_model(config, process, network, terminal, 10, epoch=3, coder=coder)
    weights.save_release(folder, model, network.state_dict())
    return model


def test_answers_get_surer_and_sum_to_one(folder):
    model = play.open_model("default", folder=folder)
    picture, digit = play.example(14, folder=folder)
    found = list(answers(model, picture, draws=12))
    assert [answer.draws for answer in found] == [5, 10, 12]
    assert all(abs(float(answer.posterior.sum()) - 1) < 1e-6 for answer in found)
    assert int(found[-1].posterior.argmax()) == digit == 7 and "pixels" in found[-1].how
    again = list(answers(model, picture, draws=12))
    assert torch.equal(again[-1].posterior, found[-1].posterior)


def test_without_a_flow_the_panel_classifies_on_pixels(folder):
    one = ClassifyPanel(folder)
    one.draws.value, one.picker.number.value = 5, 4
    assert "hot model on pixels answers instead" in one.note.value
    assert re.search(r"Most likely a \d, \d+ %\. It is a 2\.", pressed(one))
    assert "bound on pixels, 5 draws" in one.answer.value


def test_with_a_flow_the_picture_is_encoded_first(flow, folder):
    one = ClassifyPanel(folder)
    assert one.models.weights.process == "latent" and "instead" not in one.note.value
    one.draws.value = 5
    one.picker.kind.value = "draw"
    one.picker.canvas.strokes = [[[0.5, 0.2], [0.5, 0.8]]]
    assert re.search(r"Most likely a \d, \d+ %\.$", pressed(one))
    assert "bound on the latent, 5 draws" in one.answer.value
    figure = play.classify(one.picker.canvas.picture(), play.open_model("flow", folder=folder), draws=5)
    assert len(figure.axes) == 2


# Comparing.


def test_models_and_epochs_are_compared(folder):
    picture = play.compare(play.epochs_of("default", folder=folder), n=2, columns=2, folder=folder)
    assert picture.height > 2 * 56
    one = ComparePanel(folder)
    one.count.value = 10
    assert "10 digits each" in pressed(one)
    assert "default, epoch 100" in one.gallery.value and "row_default_28, epoch 25" in one.gallery.value
    one.kind.value = "epochs of one"
    assert one.other.layout.display == "none" and one.one.epoch.disabled
    pressed(one)
    assert "default, epoch 20" in one.gallery.value and "row" not in one.gallery.value


@pytest.mark.parametrize(("before", "epoch", "after"), [("hot", 30, 25), ("hot", 5, 5), ("row", 25, 30)])
def test_another_process_begins_with_its_last_epoch_unless_an_earlier_one_was_chosen(before, epoch, after, tmp_path):
    """However many that is: after the last of one, epoch 5 say, comes the last of another, epoch 30."""
    entry, listed = {"study": "ddpm", "set": "default"}, {}
    for process, shipped in (("hot", (5, 30)), ("row", (5, 25)), ("blur", (5,))):
        config = entry if process == "hot" else entry | {"study": "custom", "degradation": process}
        for at in shipped:
            listed[f"{process}_{at}.pth"] = {"epoch": at, "config": config}
            (tmp_path / f"{process}_{at}.pth").touch()
    write_json(tmp_path / "MANIFEST.json", listed)
    one = ModelChooser(tmp_path)
    one.process.value, other = before, {"hot": "row", "row": "hot"}[before]
    one.epoch.value = epoch
    one.process.value = other
    assert one.epoch.value == after and one.epoch.value in one.weights.epochs
    one.process.value = "blur"
    one.process.value = other
    assert one.epoch.value == one.weights.epochs[-1]


# Whatever goes wrong ends as a sentence.


def test_missing_unknown_and_damaged_weights_are_sentences(folder, tmp_path):
    one = SamplePanel(tmp_path, folder)
    one.count.value = 10
    damaged = folder / "ddpm_mnist_20_default.pth"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    one.models.epoch.value = 20
    assert "truncated or damaged" in text(one)
    assert "truncated or damaged" in pressed(one)
    (folder / "ddpm_mnist_100_default.pth").unlink()
    one.models.epoch.value = 100
    assert "epoch 100 of default was not shipped; choose one of 20" in pressed(one).replace("Epoch", "epoch")
    one.models.process.value = "row"
    assert "10 digits" in pressed(one)  # and the panel goes on working


def test_an_empty_folder_is_a_sentence(tmp_path):
    for view in (play.sample_panel, play.watch_panel):
        assert "git checkout" in view(tmp_path, tmp_path).value
    for view in (play.restore_panel, play.classify_panel, play.compare_panel):
        assert "git checkout" in view(tmp_path).value
    (tmp_path / "MANIFEST.json").write_text("{damaged")
    assert "MANIFEST.json" in play.sample_panel(tmp_path, tmp_path).value


@pytest.mark.slow
def test_whoever_only_samples_does_not_wait_for_what_trains_and_scores():
    slow = "{'torchmetrics', 'accelerate', 'sklearn', 'torchvision', 'matplotlib', 'timm'}"
    command = f"import sys, thaw, thaw.play; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ThawError("no file `x`; get <it>"), "No file <code>x</code>; get &lt;it&gt;."),
        (OSError(28, "No space left on device", "a.png"), "No space left on device: a.png."),
        (ValueError("odd\nthing"), "Something unexpected happened (ValueError: odd thing); run all cells again."),
    ],
)
def test_errors_are_one_sentence_of_html(error, said):
    assert sentence(error) == said


def test_every_panel_says_what_to_do_after_a_restart(folder):
    assert RESTART in str([child.value for child in RestorePanel(folder).controls.children if hasattr(child, "value")])


# Runs in the background.


def blocked():
    """A panel whose runs take steps until they are let go."""
    go, seen = threading.Event(), []
    number = widgets.IntSlider(1, 0, 9)

    def steps(value):
        while not go.is_set():
            go.wait(0.01)
            yield Update(0.5)
        yield Update(1.0, draw=lambda: seen.append(value), always=True)
        return f"done {value}"

    return Panel([number], [], lambda: steps(number.value)), number, go, seen


def test_a_run_is_stopped_between_two_steps():
    panel, _, _, seen = blocked()
    panel.button.click()
    assert not panel.stop_button.disabled and panel.bar.layout.visibility == "visible"
    panel.stop_button.click()
    panel.wait()
    assert text(panel) == "Stopped." and panel.stop_button.disabled and not seen


def test_a_slider_moved_during_a_run_changes_the_next_run_only():
    panel, number, go, seen = blocked()
    panel.button.click()
    number.value = 5
    go.set()
    panel.wait()
    assert seen == [1] and text(panel) == "done 1"
    assert pressed(panel) == "done 5"


def test_a_run_that_is_superseded_shows_nothing_any_more():
    panel, number, go, seen = blocked()
    panel.button.click()
    first = panel.thread
    number.value = 2
    panel.button.click()
    first.join(10)
    assert not first.is_alive() and not panel.stop_button.disabled  # the second one goes on
    go.set()
    panel.wait()
    assert seen == [2] and text(panel) == "done 2"


def test_a_model_chosen_during_a_run_breaks_nothing(folder, tmp_path):
    one = SamplePanel(tmp_path, folder)
    one.count.value = 60
    one.button.click()
    one.models.process.value = "row"
    one.models.process.value = "hot"
    one.settings.steps.value = 3
    one.wait()
    assert "60 digits" in text(one) and "steps 20" in one.caption.value
    assert not one.save.buttons["PNG"].disabled
    one.settings.steps.value = 20
    one.button.click()
    one.stop_button.click()
    one.wait()
    assert text(one) == "Stopped."


def test_an_unfinished_picture_is_not_taken_for_the_last_finished_one(folder, tmp_path):
    one = SamplePanel(tmp_path, folder)
    one.settings.steps.value, one.count.value = 2, 10
    pressed(one)
    states = one._start(20)
    next(states).draw()  # as in a run that is stopped after its first step
    assert all(button.disabled for button in one.save.buttons.values()) and one.caption.value == ""
    assert "10 digits" in pressed(one) and not one.save.buttons["PNG"].disabled


def test_an_error_in_the_thread_leaves_nothing_stuck():
    def steps():
        yield Update(0.5)
        raise RuntimeError("boom")

    assert "boom" in pressed(Panel([], [], steps))


# Pictures.


def test_a_drawing_is_centred_as_mnist_is():
    for strokes in ([[[0.1, 0.1], [0.1, 0.9]]], [[[0.6, 0.7], [0.95, 0.7], [0.7, 0.98]]], [[[0.3, 0.3]]]):
        picture = to_picture(strokes)
        assert picture.shape == (1, 1, 28, 28) and float(picture.min()) == -1 and float(picture.max()) > 0.6
        grey = (picture[0, 0] + 1) / 2
        places = torch.arange(28.0)
        mass = torch.stack([(grey.sum(dim=1 - axis) * places).sum() / grey.sum() for axis in (0, 1)])
        assert (mass - 13.5).abs().max() <= 0.5
        rows = (grey > 0.05).any(dim=1).nonzero()
        assert rows.max() - rows.min() < BOX + 1


def test_strokes_are_as_thick_as_mnists_whatever_their_size(repository):
    examples = load_examples("mnist", repository / "pretrained").pixels()

    def ink(picture):
        return float((picture + 1).sum()) / 2

    small, large = ([[[0.5, 0.5 - s], [0.5, 0.5 + s]]] for s in (0.2, 0.45))
    assert torch.equal(to_picture(small), to_picture(large))
    ones = [ink(examples[i]) for i in (2, 3)]
    assert 0.6 * min(ones) < ink(to_picture(large)) < 1.7 * max(ones)


def test_the_canvas_clears_and_an_empty_one_is_told():
    canvas = Canvas()
    canvas.strokes = [[[0.5, 0.5]]]
    canvas.clear()
    with pytest.raises(ThawError, match="canvas is empty"):
        canvas.picture()


def test_the_data_set_is_offered_only_where_it_is(folder, tmp_path, monkeypatch, mnist):
    assert "data set" in Picker(folder).kind.options
    picker = Picker(folder)
    picker.kind.value, picker.index.value = "data set", 5
    picture, label = picker.read()()
    assert torch.equal(picture, mnist.pixels(slice(5, 6))) and label == int(mnist.labels[5])
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "nothing"))
    picker = Picker(folder)
    assert "data set" not in picker.kind.options and "nothing is downloaded" in picker.note.value


def test_pictures_are_enlarged_by_whole_pixels():
    image = torch.arange(28 * 28).reshape(1, 28, 28).to(torch.uint8)
    page = np.asarray(as_picture([[Tile(image, "a title", "a text")]], scale=3).convert("L"))
    block = np.kron(image[0].numpy(), np.ones((3, 3), np.uint8))
    assert any(np.array_equal(page[top : top + 84, 12:96], block) for top in range(page.shape[0] - 84))
    assert "&lt;b&gt;" in as_html([Tile(image, "<b>")])
