"""The full protocol: each measure against another implementation, and the laws that all of them follow."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import chisquare
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from thaw import data
from thaw.checkpoint import load_tensors, save_tensors
from thaw.damage import damaged, noisy
from thaw.errors import ThawError
from thaw.features import load_judge
from thaw.metrics import Score, chi_squared, evaluate, floor_at, inception_score, kid, restoration
from thaw.neighbours import densities, manifolds, nearest, radii
from thaw.protocol import protocol
from thaw.real import _load, choose, collect_real, load_real, save_real

K = 5


@pytest.fixture(scope="session")
def real(judge, digits, digits_test):
    return collect_real(judge, digits, digits_test)


@pytest.fixture(scope="session")
def splits(digits, digits_test):
    return {"train": digits.images, "test": digits_test.images}


@pytest.fixture(scope="session")
def score(judge, real, tmp_path_factory):
    """The full protocol on digits, floors kept for the session."""
    saved, cache = replace(judge, digest="0123456789ab"), tmp_path_factory.mktemp("floors")

    def run(images, labels=None, **settings) -> dict[str, Score]:
        return protocol(images, saved, labels, **{"real": real, "cache": cache, **settings})

    return run


def brute_force(real: torch.Tensor, generated: torch.Tensor) -> tuple[float, float, float, float]:
    """Precision, recall, density and coverage, point by point from their definitions."""

    def distance(a, b):
        return math.dist(a.tolist(), b.tolist())

    def ball(index, points):
        others = sorted(distance(points[index], other) for i, other in enumerate(points) if i != index)
        return others[K - 1]

    real_balls = [ball(i, real) for i in range(len(real))]
    generated_balls = [ball(j, generated) for j in range(len(generated))]
    between = [[distance(r, g) for g in generated] for r in real]
    held = [[between[i][j] <= real_balls[i] for j in range(len(generated))] for i in range(len(real))]
    recalled = [any(between[i][j] <= generated_balls[j] for j in range(len(generated))) for i in range(len(real))]
    columns = list(zip(*held, strict=True))
    return (
        sum(map(any, columns)) / len(generated),
        sum(recalled) / len(real),
        sum(map(sum, held)) / (K * len(generated)),
        sum(map(any, held)) / len(real),
    )


@pytest.mark.parametrize(("n", "m", "spread"), [(60, 60, 1.0), (50, 80, 0.5), (80, 50, 1.6)])
def test_precision_recall_density_and_coverage_are_their_definitions(n, m, spread, monkeypatch):
    monkeypatch.setattr("thaw.neighbours.BLOCK", 32)
    draws = torch.Generator().manual_seed(n)
    points, others = torch.randn(n, 4, generator=draws), 0.3 + spread * torch.randn(m, 4, generator=draws)
    assert list(vars(manifolds(points, others, K)).values()) == pytest.approx(brute_force(points, others), rel=1e-12)


def test_the_density_of_each_point_is_the_balls_that_hold_it(monkeypatch):
    monkeypatch.setattr("thaw.neighbours.BLOCK", 16)
    points, others = torch.randn(50, 4), 0.5 + torch.randn(30, 4)
    balls = [sorted((points[i] - p).norm().item() for p in points)[K] for i in range(len(points))]
    held = [sum((point - points[i]).norm().item() <= balls[i] for i in range(len(points))) for point in others]
    found, whole = densities(points, others, K), manifolds(points, others, K)
    assert found.tolist() == pytest.approx([count / K for count in held])
    assert float(found.mean()) == pytest.approx(whole.density)
    assert float((found > 0).double().mean()) == pytest.approx(whole.precision)


def test_a_set_lies_in_its_own_manifold_and_one_far_away_does_not():
    points = torch.randn(100, 8)
    own = manifolds(points, points)
    assert (own.precision, own.recall, own.coverage) == (1, 1, 1)
    assert own.density == pytest.approx((K + 1) / K)  # the ball of each point holds it and its k neighbours
    assert list(vars(manifolds(points, points + 100)).values()) == [0, 0, 0, 0]


def test_one_mode_keeps_precision_and_loses_recall_and_coverage():
    """Sajjadi et al.'s reason for two numbers: dropping half of the modes."""
    real = torch.randn(400, 4) + torch.tensor([0.0, 50.0]).repeat(200)[:, None]
    one = manifolds(real, torch.randn(400, 4))
    assert one.precision > 0.8 and one.recall < 0.5 and one.coverage < 0.55


def test_a_point_needs_k_others():
    assert radii(torch.arange(6.0)[:, None].double(), 5)[0] == 5
    with pytest.raises(ThawError, match="at least 6 points, got 5"):
        radii(torch.zeros(5, 2).double(), 5)


def test_the_nearest_image_is_the_nearest_and_a_copy_is_at_distance_zero(digits, monkeypatch):
    monkeypatch.setattr("thaw.neighbours.BLOCK", 7)
    images = torch.cat([noisy(digits.images[:20], 60), digits.images[500:510]])
    distances, index = nearest(images, digits.images)
    everything = torch.cdist(images.flatten(1).double() / 255, digits.images.flatten(1).double() / 255)
    torch.testing.assert_close(distances, everything.amin(dim=1), atol=1e-6, rtol=1e-6)
    assert torch.equal(distances[20:], torch.zeros(10).double()) and index[20:].tolist() == list(range(500, 510))


def test_kid_is_that_of_torchmetrics_on_the_images_themselves(judge, digits, digits_test):
    images = noisy(digits.images[:280], 30)
    metric = KernelInceptionDistance(feature=judge.network, subsets=3, subset_size=280)
    metric.update(digits_test.images[:280], real=True)
    metric.update(images, real=False)
    ours = kid(judge.features(images), judge.features(digits_test.images[:280]))
    assert ours == pytest.approx(float(metric.compute()[0]), rel=1e-4)


def test_the_inception_score_is_that_of_torchmetrics_and_counts_sure_and_equal_classes(judge, digits):
    logits = judge.network.logits(judge.features(digits.images[:300])).detach()

    class Logits(torch.nn.Module):
        def forward(self, images):
            return judge.network.logits(judge.network(images))

    torch.manual_seed(0)
    metric = InceptionScore(feature=Logits(), splits=1)
    metric.update(digits.images[:300])
    assert inception_score(logits[:1].expand(300, -1)) == pytest.approx(1)
    assert inception_score(logits) <= float(metric.compute()[0]) * (1 + 1e-4)  # ten splits see less of the spread
    assert inception_score(100 * torch.eye(10).repeat(100, 1)) == pytest.approx(10, rel=0.05)


def test_the_global_generator_is_left_alone(judge, real):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    kid(real.features("train"), real.features("test"))
    inception_score(torch.randn(300, 10, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.rand(3), expected)


def test_chi_squared_is_scipys_for_a_large_reference_and_knows_equal_shares():
    histogram = torch.tensor([90, 110, 100])
    large = 10**9 * torch.ones(3, dtype=torch.int64)
    expected = chisquare(histogram.numpy(), [100, 100, 100])
    assert chi_squared(histogram, large) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-4)
    assert chi_squared(histogram, 7 * histogram) == pytest.approx((0, 1))
    assert chi_squared(torch.tensor([300, 0, 0]), large)[1] < 1e-9


def test_restoration_is_perfect_for_the_originals_and_falls_with_noise(digits):
    images = digits.images[:20]
    scores = [restoration(noisy(images, level), images, seed=3) for level in (5, 20, 60)]
    for name in ("ssim", "psnr"):
        values = [score[name].value for score in scores]
        assert values == sorted(values, reverse=True)
        assert (scores[0][name].n, scores[0][name].seed, scores[0][name].reference) == (20, 3, "originals")
    errors = (noisy(images, 20).double() - images.double()).square().mean()
    assert scores[1]["psnr"].value == pytest.approx(10 * math.log10(255**2 / errors), rel=1e-4)
    assert restoration(images, images)["ssim"].value == pytest.approx(1)
    with pytest.raises(ThawError, match="uint8.*float32"):
        restoration(images.float(), images)
    with pytest.raises(ThawError, match=r"\(19, 1, 28, 28\)"):
        restoration(images[:19], images)


def test_the_protocol_is_a_record_for_each_measure(score, judge, digits, splits):
    images, labels = noisy(digits.images[:290], 10), digits.labels[:290]
    scores = score(images, labels, splits=splits, seed=5)
    shares = {f"share_{k}" for k in range(10)}
    few = {"fid", "kid", "is", "precision", "recall", "density", "coverage", "entropy", "chi2", "chi2_p", "confidence"}
    assert set(scores) == few | shares | {"accuracy", "novelty", "copies"}
    assert set(score(images)) == few | shares
    for name, found in scores.items():
        assert (found.name, found.n, found.seed, found.features) == (name, 290, 5, "0123456789ab")
        assert math.isfinite(found.value) and (found.floor is not None or name == "chi2_p"), name
        trained = name.startswith(("share_", "chi2", "novelty", "copies"))
        assert found.reference == ("train" if trained else "test")
    assert sum(scores[name].value for name in shares) == pytest.approx(1)
    assert scores["fid"].floor == floor_at(judge, 290) and scores["accuracy"].floor == judge.accuracy
    quick = evaluate(images, judge, labels)
    for name in quick:
        assert scores[name].value == pytest.approx(quick[name].value, rel=1e-6)


def test_real_images_get_the_floor(score, judge, real, digits, splits):
    """As many training images against the test reference, which is what the floor says it is."""
    found = score(choose(digits.images, "train", 300), splits=splits)
    for name in ("kid", "is", "precision", "recall", "density", "coverage", "entropy", "chi2", "confidence"):
        assert found[name].value == pytest.approx(found[name].floor, abs=0.02, rel=0.05), name
    assert found["novelty"].value == 0 and found["copies"].value == 1  # training images are copies of themselves
    test = score(choose(splits["test"], "test", 290), splits=splits)
    assert (test["novelty"].value, test["copies"].value) == (test["novelty"].floor, test["copies"].floor)
    assert score(digits.images[:290], reference="train")["coverage"].floor is not None
    few = score(digits.images[:300], reference="train", splits=splits)  # the test split has 297: not as many
    known = {name for name, found in few.items() if found.floor is not None}
    assert known == {f"share_{k}" for k in range(10)}


def test_scores_follow_neither_the_order_of_the_images_nor_the_call(score, digits, splits):
    images, labels = noisy(digits.images[:300], 10), digits.labels[:300]
    order = torch.randperm(300)
    first = score(images, labels, splits=splits)
    assert first == score(images, labels, splits=splits) == score(images[order], labels[order], splits=splits)


def test_floors_are_computed_once(judge, real, digits, tmp_path, monkeypatch):
    saved = replace(judge, digest="0123456789ab")
    images = digits.images[:300]
    first = protocol(images, saved, real=real, cache=tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 1
    monkeypatch.setattr("thaw.protocol._floors", None)
    assert protocol(images, saved, real=real, cache=tmp_path) == first
    with pytest.raises(TypeError):
        protocol(images[:290], saved, real=real, cache=tmp_path)  # another n has other floors


@pytest.mark.parametrize(
    ("images", "named"),
    [
        (torch.zeros(255, 1, 28, 28, dtype=torch.uint8), "256.*255"),
        (torch.zeros(300, 1, 28, 28), "uint8.*float32.*to_uint8"),
        (torch.zeros(300, 1, 28, 28, dtype=torch.int64), "uint8.*int64"),
        (torch.zeros(300, 3, 28, 28, dtype=torch.uint8), "300, 3, 28, 28"),
        (torch.zeros(300, 1, 32, 32, dtype=torch.uint8), "300, 1, 32, 32"),
        (torch.ones(300, 1, 28, 28, dtype=torch.uint8), "largest pixel is 1.*255"),
    ],
    ids=["too few", "floats", "integers", "colour", "too large", "zeros and ones"],
)
def test_images_that_cannot_be_scored_are_refused(score, images, named):
    with pytest.raises(ThawError, match=named):
        score(images)


def test_labels_and_references_must_fit(score, digits):
    with pytest.raises(ThawError, match="299"):
        score(digits.images[:300], digits.labels[:299])
    with pytest.raises(ThawError, match="validation.*test, train"):
        score(digits.images[:300], reference="validation")


def test_rounding_real_features_costs_little(judge, real, digits_test):
    exact = judge.features(choose(digits_test.images, "test"))
    assert real.features("test").shape == exact.shape
    assert (real.features("test") - exact).abs().max() <= real.scales["test"].max()


def test_real_features_are_shipped_kept_or_computed(judge, real, tmp_path, monkeypatch):
    saved = replace(judge, digest="0123456789ab")
    cache = tmp_path / "cache"
    assert not cache.exists() and load_real(judge, tmp_path, cache).judge == "" and not cache.exists()
    computed = load_real(saved, tmp_path, cache)
    assert [path.name for path in cache.iterdir()] == ["real_digits_0123456789ab.pth"]
    monkeypatch.setattr(data, "load", None)  # from here on without the data set
    kept = load_real(saved, tmp_path, cache)
    path = save_real(computed, tmp_path)
    shipped = load_real(saved, tmp_path, None)
    for again in (kept, shipped):
        assert torch.equal(again.features("train"), computed.features("train"))
    content = load_tensors(path)
    for part in ({"format": "other"}, {"codes": {}}, {"judge": "other"}):
        save_tensors(cache / "real_digits_0123456789ab.pth", content | part)
        with pytest.raises(ThawError, match="does not hold the real features of judge 0123456789ab"):
            load_real(saved, tmp_path / "nothing", cache)
    save_tensors(path, content | {"data": "other"})
    with pytest.raises(ThawError, match="checksum"):
        load_real(saved, tmp_path, None)


def test_real_features_that_are_nowhere_are_told(judge, tmp_path, monkeypatch):
    def missing(name, split, **_):
        raise ThawError("no mnist in here; set THAW_DATA")

    monkeypatch.setattr(data, "load", missing)
    _load.cache_clear()
    with pytest.raises(ThawError, match="real features of judge 0123456789ab.*THAW_DATA"):
        load_real(replace(judge, digest="0123456789ab"), tmp_path, tmp_path)


def test_scores_get_worse_with_noise_blur_and_a_lost_class(mnist, repository, tmp_path, monkeypatch):
    """On MNIST, with the judge and the real features that are shipped."""
    monkeypatch.setattr("thaw.metrics.KID_SUBSETS", 3)  # the subsets are the same for all
    judge = load_judge("mnist", repository / "pretrained")
    real = load_real(judge, repository / "pretrained", None)
    worse = damaged(data.load("mnist", "train", download=False), 500)

    def values(kind: str, names: str) -> dict[str, list[float]]:
        found = [protocol(images, judge, real=real, cache=tmp_path) for images in worse[kind].values()]
        return {name: [scores[name].value for scores in found] for name in names.split()}

    seen = "fid kid precision density coverage"  # but not the confidence: what is sure can be wrong
    noise = values("noise", f"{seen} is")
    blur = values("blur", seen)  # the inception score does not see half a pixel
    lost = values("lost classes", "fid kid is recall coverage entropy chi2")
    up = ("fid", "kid", "chi2")
    for kind, found in (("noise", noise), ("blur", blur), ("lost classes", lost)):
        wrong = {name: x for name, x in found.items() if x != sorted(x, reverse=name not in up) or x[0] == x[-1]}
        assert not wrong, f"not worse and worse with {kind}"
    assert noise["fid"][0] == pytest.approx(evaluate(worse["noise"][0], judge)["fid"].value, rel=1e-6)
