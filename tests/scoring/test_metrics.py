"""Scores, and the judge they rest on."""

import math
from dataclasses import replace

import pytest
import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from thaw.base.errors import ThawError
from thaw.base.files import sha256
from thaw.scoring import evaluate, floor_at, judge_path, load_judge, score_model
from thaw.scoring.damage import noisy
from thaw.scoring.judge import save_judge
from thaw.scoring.judge_training import train_features
from thaw.scoring.metrics import entropy
from thaw.store import load_tensors, read_manifest, save_tensors


def fid(images: torch.Tensor, judge, **settings) -> float:
    return evaluate(images, judge, **settings)["fid"].value


def test_the_distance_is_that_of_torchmetrics_on_the_images_themselves(judge, digits, digits_test):
    images = noisy(digits.images[:300], 30)
    metric = FrechetInceptionDistance(feature=judge.network)
    metric.update(digits_test.images, real=True)
    metric.update(images, real=False)
    assert fid(images, judge) == pytest.approx(float(metric.compute()), rel=1e-4)


def test_the_distance_is_the_papers_formula(judge, digits, digits_test):
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), Heusel et al. 2017."""
    images = noisy(digits.images[:300], 30)
    a, b = (judge.features(x).double() for x in (images, digits_test.images))
    first, second = a.T.cov(), b.T.cov()
    root = torch.linalg.eigvals(first @ second).real.clamp(min=0).sqrt().sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * root
    assert fid(images, judge) == pytest.approx(float(expected), rel=1e-3)


def test_the_reference_images_themselves_score_nothing(judge, digits, digits_test):
    scale = fid(noisy(digits.images[:300], 60), judge)
    assert abs(fid(digits_test.images, judge)) < 1e-3 * scale
    assert fid(digits.images[:300], judge, reference="train") < scale


def test_the_score_grows_with_the_noise(judge, digits):
    scores = [fid(noisy(digits.images[:300], level), judge) for level in (0, 20, 40, 80)]
    assert scores == sorted(scores) and scores[-1] > 10 * scores[0]


def test_one_class_instead_of_all_costs_distance_and_entropy(judge, digits):
    all_classes = evaluate(digits.images[:280], judge)
    images = digits.images[digits.labels < 2]
    assert evaluate(images, judge)["fid"].value > all_classes["fid"].value


def test_the_same_images_get_the_same_score_to_the_last_digit(judge, digits):
    first, again = (evaluate(digits.images[:300], judge, digits.labels[:300]) for _ in range(2))
    assert first == again


def test_the_order_of_the_images_and_the_batch_size_do_not_matter(judge, digits):
    images = digits.images[:300]
    assert fid(images.flip(0), judge) == pytest.approx(fid(images, judge), rel=1e-5)
    torch.testing.assert_close(judge.features(images, batch=7), judge.features(images))


def test_a_score_is_a_record_of_what_it_depends_on(judge, digits):
    scores = evaluate(digits.images[:300], judge, digits.labels[:300], seed=5)
    assert set(scores) == {"fid", "entropy", "confidence", "accuracy"}
    for name, score in scores.items():
        assert (score.name, score.n, score.seed, score.reference) == (name, 300, 5, "test")
        assert score.record()["value"] == score.value and name in str(score)
    assert scores["fid"].floor == floor_at(judge, digits.labels[:300])
    assert 0 < scores["confidence"].value <= 1 and 0 <= scores["accuracy"].value <= 1
    assert set(evaluate(digits.images[:300], judge)) == {"fid", "entropy", "confidence"}


@pytest.mark.parametrize(
    ("images", "named"),
    [
        (torch.zeros(255, 1, 28, 28, dtype=torch.uint8), "256.*255"),
        (torch.zeros(0, 1, 28, 28, dtype=torch.uint8), "256.*0"),
        (torch.zeros(300, 1, 28, 28), "uint8.*float32.*to_uint8"),
        (torch.zeros(300, 1, 28, 28, dtype=torch.int64), "uint8.*int64"),
        (torch.zeros(300, 3, 28, 28, dtype=torch.uint8), "300, 3, 28, 28"),
        (torch.zeros(300, 28, 28, dtype=torch.uint8), "300, 28, 28"),
        (torch.zeros(300, 1, 32, 32, dtype=torch.uint8), "300, 1, 32, 32"),
    ],
    ids=["too few", "none", "floats", "integers", "colour", "no channel", "too large"],
)
def test_images_that_cannot_be_scored_are_refused(judge, images, named):
    with pytest.raises(ThawError, match=named):
        evaluate(images, judge)


def test_an_unknown_reference_is_refused_with_the_known_ones(judge, digits):
    with pytest.raises(ThawError, match="validation.*train, test"):
        evaluate(digits.images[:300], judge, reference="validation")


def test_labels_must_be_as_many_as_the_images(judge, digits):
    with pytest.raises(ThawError, match="299"):
        evaluate(digits.images[:300], judge, digits.labels[:299])


@pytest.mark.parametrize("classes", [2, 10, 47])
def test_the_entropy_of_a_uniform_histogram_is_the_logarithm_of_its_size(classes):
    assert entropy(torch.full((classes,), 7)) == pytest.approx(math.log(classes))


def test_the_accuracy_is_the_share_that_is_what_was_asked_for(mnist, repository):
    """Real digits with the shipped judge: their own labels, those of the next class, and half of each."""
    judge, images, labels = load_judge("mnist", repository / "pretrained"), mnist.images[:1000], mnist.labels[:1000]
    half = torch.where(torch.arange(1000) < 500, labels, (labels + 1) % 10)
    found = [evaluate(images, judge, asked)["accuracy"] for asked in (labels, (labels + 1) % 10, half)]
    assert [score.value for score in found] == pytest.approx([judge.accuracy, 0, judge.accuracy / 2], abs=0.01)
    assert [score.floor for score in found] == pytest.approx([judge.accuracy] * 3, abs=0.002)


def test_the_entropy_of_one_class_is_nothing_and_of_a_biased_coin_in_between():
    assert entropy(torch.tensor([0, 12, 0])) == 0
    assert entropy(torch.tensor([1, 3])) == pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.75))


def test_floors_shrink_with_the_number_of_images_and_follow_the_classes(judge, digits):
    in_turn = [floor_at(judge, torch.arange(n) % 10) for n in (260, 400, 600, 1000)]
    assert in_turn == sorted(in_turn, reverse=True) and in_turn[-1] > 0
    assert floor_at(judge, torch.arange(300) % 3) > 1.2 * floor_at(judge, torch.arange(300) % 10)
    assert floor_at(judge, torch.arange(300) % 10, "train") != floor_at(judge, torch.arange(300) % 10)
    assert floor_at(judge, torch.arange(3000) % 10) is None  # there are only 1500


def test_a_judge_without_real_features_leaves_no_floor(judge, digits, tmp_path, monkeypatch):
    monkeypatch.setenv("THAW_DATA", str(tmp_path))
    scores = evaluate(digits.images[:300], replace(judge, data="nowhere"), digits.labels[:300])
    assert all(score.floor is None for score in scores.values()) and "real images" not in str(scores["fid"])


def test_a_model_is_scored_on_its_samples(tiny, judge):
    model = tiny(sample_steps=1)
    scores = score_model(model, judge, 256, seed=1)
    assert scores == score_model(model, judge, 256, seed=1)
    assert scores["fid"].n == 256 and scores["fid"].seed == 1 and "accuracy" in scores
    assert "accuracy" not in score_model(tiny(sample_steps=1, label_dropout=1.0), judge, 256)


def test_a_stored_judge_is_read_back(judge, digits, tmp_path):
    path = save_judge(judge, tmp_path)
    again = load_judge("digits", tmp_path)
    assert path == judge_path("digits", tmp_path) and again.digest == sha256(path)[:12]
    assert (again.data, again.shape, again.accuracy) == (judge.data, judge.shape, judge.accuracy)
    for split, reference in judge.references.items():
        assert all(
            torch.equal(torch.as_tensor(getattr(again.references[split], part)), torch.as_tensor(value))
            for part, value in vars(reference).items()
        )
    images = digits.images[:300]
    assert torch.equal(again.features(images), judge.features(images))
    assert fid(images, again) == fid(images, judge)


def test_distances_are_in_units_of_the_spread_of_real_images(judge):
    """The variances of the features over the training set sum to the number of features, up to fp16."""
    real = judge.references["train"]
    mean = real.total / real.count
    variance = (real.outer.diagonal() / real.count - mean.square()) * real.count / (real.count - 1)
    assert float(variance.sum()) == pytest.approx(judge.num, rel=2e-3)


def test_a_stored_judge_that_is_missing_changed_or_foreign_is_refused(judge, tmp_path):
    with pytest.raises(ThawError, match="features_digits.pth.*python -m thaw features"):
        load_judge("digits", tmp_path)
    path = save_judge(judge, tmp_path)
    assert read_manifest(tmp_path)[path.name]["sha256"] == sha256(path)
    content = load_tensors(path)
    save_tensors(path, content | {"accuracy": 1.0})
    with pytest.raises(ThawError, match="checksum"):
        load_judge("digits", tmp_path)
    (tmp_path / "MANIFEST.json").unlink()
    for part, value in (("format", "other"), ("network", {}), ("network", 3), ("shape", None), ("references", None)):
        save_tensors(path, content | {part: value})
        with pytest.raises(ThawError, match="features_digits.pth"):
            load_judge("digits", tmp_path)


def test_training_a_judge_follows_its_seed(digits, digits_test):
    train, test = digits.subset(128, 0), digits_test.subset(128, 0)
    first, again, other = (train_features(train, test, 1, seed, progress=False) for seed in (0, 0, 1))
    outer = [judge.references["test"].outer for judge in (first, again, other)]
    assert torch.equal(outer[0], outer[1]) and not torch.equal(outer[0], outer[2])
