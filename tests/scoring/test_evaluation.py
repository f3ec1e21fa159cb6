"""What stands around the protocol: samples kept, judges of other seeds and data sets, Inception's features."""

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import yaml
from cases import ROOT, folder_settings
from runs import configure, run
from scipy.stats import spearmanr
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.image.fid import NoTrainInceptionV3
from torchmetrics.image.kid import KernelInceptionDistance

from thaw import data
from thaw.base.errors import ThawError
from thaw.base.pixels import to_uint8
from thaw.cli.main import main
from thaw.data import ImageSet
from thaw.data.folder import _read_once
from thaw.data.images import read_images
from thaw.model import Model
from thaw.scoring import (
    NEIGHBOURS,
    damaged,
    draw_samples,
    evaluate,
    evaluate_images,
    evaluate_model,
    labels_in_shares,
    load_judge,
    load_judges,
    load_real,
    real,
    table,
)
from thaw.scoring.damage import NOISE, noisy
from thaw.scoring.floors import alike
from thaw.scoring.inception import Inception, find_weights, load_inception
from thaw.scoring.judge import save_judge
from thaw.scoring.judge_training import train_features
from thaw.scoring.protocol import protocol
from thaw.scoring.real import collect_real, order_of, save_real
from thaw.store import load_model, read_manifest, save_release, save_tensors
from thaw.store.inputs import load_data


@pytest.fixture
def released(tiny, tmp_path) -> Model:
    """A tiny model, read from a file."""
    model = tiny(sample_steps=1)
    return load_model(save_release(tmp_path / "weights", model, model.network.state_dict()))


def test_samples_are_drawn_once_and_can_be_scored_as_a_file(released, tmp_path, monkeypatch):
    first = draw_samples(released, 12, seed=3, cache=tmp_path)
    (path,) = tmp_path.glob("samples_*.npz")
    images, labels = read_images(path)
    assert torch.equal(images, first) and torch.equal(labels, released.labels(12)) and first.dtype == torch.uint8
    monkeypatch.setattr(Model, "sample", None)
    assert torch.equal(draw_samples(released, 12, seed=3, cache=tmp_path), first)
    for other in ({"seed": 4}, {"seed": 3, "eta": 0.5}):
        with pytest.raises(TypeError):
            draw_samples(released, 12, cache=tmp_path, **other)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TypeError):  # damaged: drawn again
        draw_samples(released, 12, seed=3, cache=tmp_path)


@pytest.mark.slow
def test_a_model_is_scored_by_any_judge_on_the_same_samples(released, judge, digits, digits_test, tmp_path):
    saved = load_judge("digits", save_judge(judge, "pretrained").parent)
    save_real(collect_real(saved, digits, digits_test))
    first = evaluate_model(released, 256, judge=saved, cache=tmp_path)
    (samples,) = tmp_path.glob("samples_*.npz")
    images, labels = read_images(samples)
    again = evaluate_images(images, labels, judge=saved, cache=tmp_path)
    assert first.scores == again.scores and first.settings["judge"] == saved.digest
    before = len(list(tmp_path.glob("*.json")))
    unsaved = evaluate_images(images, labels, judge=judge, cache=tmp_path)  # cannot be found again: not kept
    assert len(list(tmp_path.glob("*.json"))) == before
    assert unsaved.scores["fid"].value == pytest.approx(first.scores["fid"].value, rel=1e-6)


def test_classes_are_drawn_in_the_shares_of_the_training_images(released, judge, tmp_path):
    """Every class, rounded to whole images; other labels are other samples, and are told."""
    histogram = judge.references["train"].histogram
    for n in (1, 97, 256, int(histogram.sum())):
        labels = labels_in_shares(judge, n)
        counts = torch.bincount(labels, minlength=len(histogram))
        assert labels.shape == (n,) and (counts - histogram * n / histogram.sum()).abs().max() < 1
    assert torch.equal(counts, histogram)
    labels = labels_in_shares(judge, 12)
    drawn = draw_samples(released, 12, labels=labels, cache=tmp_path)
    (path,) = tmp_path.glob("samples_*.npz")
    assert torch.equal(drawn, to_uint8(released.sample(labels))) and torch.equal(read_images(path)[1], labels)
    assert not torch.equal(drawn, draw_samples(released, 12, cache=tmp_path))  # in turn


@pytest.mark.slow
def test_judges_of_other_seeds_lie_beside_and_agree_on_what_is_worse(digits, judge, capsys, monkeypatch):
    """Trained for an epoch on the built-in digits, through the command line."""
    save_judge(judge, "pretrained")
    shipped = Path("pretrained/features_digits.pth").read_bytes()
    assert main(["features", "--data", "digits", "--epochs", "1", "--seed", "3"]) == 0
    assert "contents/features/seed3/features_digits.pth" in capsys.readouterr().out
    assert Path("pretrained/features_digits.pth").read_bytes() == shipped

    def gone(*_, **__):
        raise ThawError("no data set")

    monkeypatch.setattr(data, "load", gone)
    judges = load_judges("digits")
    assert list(judges) == [0, 3] and judges[0].digest != judges[3].digest
    assert load_real(judges[3]).judge == judges[3].digest
    worse = damaged(digits, 300)["noise"].values()
    distances = [[evaluate(images, found)["fid"].value for images in worse] for found in judges.values()]
    assert all(spearmanr(NOISE, found).statistic == 1 for found in distances)


@pytest.mark.slow
def test_a_judge_of_47_classes_scores_and_says_what_its_numbers_rest_on(tmp_path, monkeypatch):
    try:
        train, test = (data.load("emnist", split, download=False).subset(600, 0) for split in ("train", "test"))
    except ThawError as error:
        pytest.skip(f"needs the EMNIST files: {error}")
    save_judge(train_features(train, test, epochs=1, progress=False), "pretrained")
    judge = load_judge("emnist")
    save_real(collect_real(judge, train, test))
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "nothing"))  # from here on without the data set
    found = evaluate_images(test.images[:300], test.labels[:300], judge="emnist")
    shares = [score.value for name, score in found.scores.items() if name.startswith("share_")]
    assert len(shares) == 47 and sum(shares) == pytest.approx(1)
    assert judge.source == train.source == found.settings.get("source", "")
    listed = json.loads(Path("pretrained/MANIFEST.json").read_text())["features_emnist.pth"]
    assert listed.get("source", "") == train.source
    split_by_us = bool(train.source)  # the files at hand decide
    assert ("bymerge test file, split by a seed into 100,000 training" in table([found])) == split_by_us


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 3, 47])
def test_images_of_ones_own_are_a_data_set_like_any_other(classes, folders, tmp_path, capsys):
    """Judge, training scores, the protocol with novelty, images of anybody, export; two test images are enough.

    What has fewer real images than are scored has no floor: a dash in the table, not a number of other images.
    """
    shutil.copytree(folders[classes], tmp_path / "mine")
    values = folder_settings(folders, classes) | {"data_path": "mine", "limit": None, "evaluate_every": 1, "epochs": 1}
    config = configure(**values, evaluate_n=256)
    Path("mine.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert main(["features", "--config", "mine.yaml", "--epochs", "1"]) == 0
    judge = load_judge("mine")
    assert judge.reading == config.reading and judge.references["test"].count >= 2
    record = run(config, "contents/runs/own", judge)[-1].record
    assert record["fid"] > 0 and record["fid_floor"] is None and json.loads(json.dumps(record)) == record
    capsys.readouterr()
    assert main(["evaluate", "contents/runs/own", "-n", "256", "--out", "scores.json"]) == 0
    said, found = capsys.readouterr().out, json.loads(Path("scores.json").read_text())[0]["scores"]
    assert {"fid", "kid", "novelty", "copies", "accuracy"} <= set(found) and "left out" not in said
    assert ("coverage" in found) == (len(load_data(config, "test")) > NEIGHBOURS)
    assert found["fid"]["floor"] is None
    assert main(["export", "contents/runs/own", "-n", "256", "--epochs", "1"]) == 0
    assert any("fid" in entry for name, entry in read_manifest().items() if name.startswith("ddpm_mine_1_"))
    images = load_data(config, "train").images.repeat(20, 1, 1, 1)[:256]
    assert evaluate_images(images, judge=judge).scores["novelty"].value == 0
    with pytest.raises(ThawError, match="takes images .* train one for them by `thaw features"):
        evaluate_model(load_model("contents/runs/own"), 256, judge=replace(judge, shape=(1, 8, 8)))
    # The folder moved, and then is another: what rests on its pixels is left out, or told.
    for folder in (Path("mine"), Path("contents/evaluation")):
        folder.rename(f"{folder}_before")
    _read_once.cache_clear()
    capsys.readouterr()
    assert main(["evaluate", "contents/runs/own", "-n", "256"]) == 1
    assert "no folder mine; set data_path" in (told := capsys.readouterr().err) and "need the data" in told
    shutil.copytree("mine_before", "mine")
    for name in ("yyy", "zzz"):  # two, so that one more is for training, however many there were
        shutil.copy(next(Path("mine").rglob("*.png")), f"mine/class00/{name}.png")
    assert main(["evaluate", "contents/runs/own", "-n", "256"]) == 1
    assert re.search("mine is not what its judge was trained on: .* in place of", capsys.readouterr().err)


def test_the_real_images_of_a_judge_are_those_that_its_path_leads_to_now(judge, folders, tmp_path, monkeypatch):
    """The same name in another working directory is another folder."""
    own = replace(judge, reading=configure(**folder_settings(folders, 2) | {"data_path": "mine"}).reading)
    for classes in (2, 3):
        (tmp_path / str(classes)).mkdir()
        monkeypatch.chdir(tmp_path / str(classes))
        Path("mine").symlink_to(folders[classes])
        assert real.real_images(own)["train"].classes == classes


@pytest.mark.parametrize(("classes", "said"), [(0, "tell classes apart, .* none"), (1, "tell classes apart, .* 1;")])
def test_a_judge_needs_classes_and_something_to_compare_with(classes, said, folders, tmp_path, capsys):
    """Models of such images are trained and exported without a score, and that is told."""
    values = folder_settings(folders, classes) | {"limit": None, "epochs": 1}
    Path("mine.yaml").write_text(yaml.safe_dump(configure(**values).model_dump(mode="json")))
    assert main(["features", "--config", "mine.yaml"]) == 1
    assert re.search(said, capsys.readouterr().err)
    run(configure(**values), "contents/runs/own")
    assert main(["export", "contents/runs/own"]) == 0
    assert "No score: no feature network" in capsys.readouterr().out
    two = ImageSet("mine", "train", torch.zeros(9, 1, 8, 8).byte(), torch.arange(9) % 2, 2)
    with pytest.raises(ThawError, match="9 training and 1 test images; distances need two of each"):
        train_features(two, two.subset(1, 0))


def test_splits_of_emnist_are_found_by_their_names():
    assert real._by_name("emnistletters") == {"data": "emnist", "emnist_split": "letters"}
    with pytest.raises(ThawError, match="the judge of cats does not tell where its images are"):
        real._by_name("cats")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Inception's network with random weights, in a file as torch-fidelity writes it."""
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", lambda *_, **__: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
        torch.manual_seed(0)
        network = FeatureExtractorInceptionV3("random", ["2048"], str(path))
    save_tensors(path, network.state_dict())
    return path


@pytest.mark.slow
def test_inceptions_features_are_those_that_torchmetrics_takes(weights, digits):
    inception = load_inception(find_weights(weights))
    features = inception.features(digits.images[:4], batch=3)
    metric = KernelInceptionDistance(feature=NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights)))
    metric.update(digits.images[:4].expand(-1, 3, -1, -1), real=False)
    torch.testing.assert_close(features, metric.fake_features[0], rtol=1e-4, atol=1e-5)
    logits = NoTrainInceptionV3("inception-v3-compat", ["logits_unbiased"], str(weights))(
        digits.images[:4].expand(-1, 3, -1, -1)
    )
    torch.testing.assert_close(inception.logits(features), logits, rtol=1e-4, atol=1e-4)


def test_inceptions_scores_are_named_and_stand_beside_those_of_real_images(digits, judge, tmp_path, monkeypatch):
    """With a small network in Inception's place: its own takes an hour."""

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 16, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.fc = nn.Linear(16, 8)

        def forward(self, images):
            return self.body(images / 255)

    monkeypatch.setattr("thaw.scoring.inception.NUM", 16)
    small, cache = Inception(Small(), "0123456789ab"), tmp_path / "cache"
    ordered = digits.take(order_of(len(digits), "train"))
    drawn = alike(ordered.labels, torch.bincount(ordered.labels[:64]))[0]
    images, labels = {0: ordered.images[drawn], 100: noisy(ordered.images[drawn], 100)}, ordered.labels[drawn]
    common = {"network": small, "cache": cache, "seed": 5}
    clean, worse = (protocol(images[level], judge, labels, **common) for level in images)
    assert set(clean) == {"inception_fid", "inception_kid", "inception_is"}
    for name, score in clean.items():
        assert (score.name, score.n, score.seed, score.features) == (name, 64, 5, "0123456789ab")
        assert score.value == pytest.approx(score.floor, rel=1e-6)  # the same real images
    assert worse["inception_fid"].value > worse["inception_fid"].floor > 0
    monkeypatch.setattr(data, "load", None)  # kept from here on
    order = torch.randperm(64)
    assert protocol(images[0][order], judge, labels, **common) == clean


def test_without_inceptions_weights_a_sentence_says_where_to_put_them(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def offline(url, *_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    with pytest.raises(ThawError, match=r"no route.*weights-inception-2015-12-05-6726825d\.pth.*torch.*--weights"):
        find_weights()
    assert not list((tmp_path / "torch").rglob("*.pth"))
    with pytest.raises(ThawError, match=r"no file nothing\.pth; download"):
        find_weights("nothing.pth")
    save_tensors(tmp_path / "other.pth", {"weight": torch.zeros(3)})
    with pytest.raises(ThawError, match=r"other\.pth does not hold torch-fidelity's"):
        load_inception(tmp_path / "other.pth")
    (tmp_path / "pickle.pth").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    with pytest.raises(ThawError, match="not loaded"):
        load_inception(tmp_path / "pickle.pth")
    assert not Path("hacked").exists()
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)  # not installed
    with pytest.raises(ThawError, match=r"thaw-diffusion\[inception\]"):
        find_weights(weights)


def test_the_command_asks_inception(digits, weights, capsys):
    """And says what is wrong before it scores: scoring itself, an hour for the command, is tested above."""
    Path("pretrained").symlink_to(ROOT / "pretrained")
    np.savez("few.npz", images=digits.images[:300, 0].numpy())
    command = ["evaluate", "--images", "few.npz", "--features", "inception", "--weights"]
    assert main([*command, str(weights)]) == 1
    assert "at least 4096 images, got 300" in capsys.readouterr().err
    np.savez("few.npz", images=digits.images[:1, 0].expand(4096, -1, -1).numpy())
    assert main([*command, "nothing.pth"]) == 1
    assert "no file nothing.pth; download" in capsys.readouterr().err


def test_the_choice_of_features_is_checked(digits, judge, weights):
    saved = replace(judge, digest="0123456789ab")
    with pytest.raises(ThawError, match="at least 4096 images, got 300"):
        evaluate_images(digits.images[:300], judge=saved, features="inception", weights=weights)
    with pytest.raises(ThawError, match="no features 'vgg'; choose one of own, inception"):
        evaluate_images(digits.images[:300], judge=saved, features="vgg")
    with pytest.raises(ThawError, match=r"random\.pth belong to features inception"):
        evaluate_images(digits.images[:300], judge=saved, weights=weights)
    with pytest.raises(ThawError, match="float32"):
        Inception(None, "").features(digits.images[:300] / 255)
