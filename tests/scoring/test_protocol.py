"""The full protocol: each measure against another implementation, and the laws that all of them follow."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import chisquare
from skimage.metrics import structural_similarity
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from thaw import data
from thaw.base.errors import ThawError
from thaw.scoring import (
    Evaluation,
    Score,
    damaged,
    densities,
    evaluate,
    load_judge,
    load_real,
    nearest,
    restoration,
    table,
)
from thaw.scoring.damage import noisy
from thaw.scoring.floors import Classes, alike, draws_like, shares_like
from thaw.scoring.metrics import chi_squared, entropy, inception_score, kid, ssim
from thaw.scoring.neighbours import manifolds, radii
from thaw.scoring.protocol import protocol
from thaw.scoring.real import choose, chosen, collect_real, order_of, save_real
from thaw.store import load_tensors, save_tensors

K = 5


@pytest.fixture(scope="session")
def real(judge, digits, digits_test):
    return collect_real(judge, digits, digits_test)


@pytest.fixture(scope="session")
def splits(digits, digits_test):
    return {"train": digits, "test": digits_test}


@pytest.fixture(scope="session")
def trained(digits, digits_test, repository):
    """A judge that knows digits, and the real features beside it."""
    judge = load_judge("digits", repository / "pretrained")
    return judge, collect_real(judge, digits, digits_test)


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
    monkeypatch.setattr("thaw.scoring.neighbours.BLOCK", 32)
    draws = torch.Generator().manual_seed(n)
    points, others = torch.randn(n, 4, generator=draws), 0.3 + spread * torch.randn(m, 4, generator=draws)
    assert list(vars(manifolds(points, others, K)).values()) == pytest.approx(brute_force(points, others), rel=1e-12)


def test_the_density_of_each_point_is_the_balls_that_hold_it(monkeypatch):
    monkeypatch.setattr("thaw.scoring.neighbours.BLOCK", 16)
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
    monkeypatch.setattr("thaw.scoring.neighbours.BLOCK", 7)
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


@pytest.mark.filterwarnings(r"ignore:std\(\). degrees of freedom:UserWarning")  # of the one split
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


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (3, 3, 12, 40), (2, 1, 11, 11)])
def test_structural_similarity_is_that_of_scikit_image(shape):
    """Whose border is left out, as Wang et al. leave it out; one window at least must fit."""
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    others = noisy(images, 30)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    pairs = zip(images.numpy(), others.numpy(), strict=True)
    expected = [structural_similarity(*pair, data_range=255, **settings) for pair in pairs]
    assert ssim(images, others).tolist() == pytest.approx(expected, rel=1e-9)
    assert restoration(others, images)["ssim"].value == pytest.approx(sum(expected) / len(expected), rel=1e-9)
    small = images[..., :10]
    with pytest.raises(ThawError, match=rf"11 x 11.*{shape[2]} x 10 hold none"):
        ssim(small, small)
    assert set(restoration(small, small)) == {"psnr"}


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
    quick = evaluate(images, judge, labels)
    for name in quick:
        assert scores[name].value == pytest.approx(quick[name].value, rel=1e-6)
        assert quick[name].floor is None or scores[name].floor == pytest.approx(quick[name].floor, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("wanted", [[30] * 10, [100, 100, 100, *[0] * 7], [3, 5, 10, 20, 30, 40, 50, 60, 70, 70]])
def test_real_images_get_their_own_floor_however_many_of_each_class_they_are(trained, digits, wanted, labelled):
    """Counted by class as the scored ones are: what is left is which of them were drawn."""
    judge, real = trained
    images = digits.take(order_of(len(digits), "train"))
    classes = images.labels if labelled else judge.predict(judge.features(images.images))
    drawn = alike(classes, torch.tensor(wanted))[0]
    labels = images.labels[drawn] if labelled else None
    found = protocol(images.images[drawn], judge, labels, real=real, cache=None)
    assert found["kid"].value == pytest.approx(found["kid"].floor, abs=0.05)
    for name in ("fid", "is", "precision", "recall", "density", "coverage", "confidence"):
        assert found[name].value == pytest.approx(found[name].floor, abs=0.03, rel=0.25), name
    if labelled:
        for name in ("entropy", "chi2", *(f"share_{k}" for k in range(10))):
            assert found[name].value == pytest.approx(found[name].floor, abs=0.03, rel=0.25), name
    else:  # beside themselves they would always be right
        training = torch.bincount(digits.labels)
        assert found["entropy"].floor == pytest.approx(entropy(training))
        assert found["share_3"].floor == pytest.approx(int(training[3]) / len(digits))


@pytest.mark.slow
def test_floors_of_single_images_are_in_the_scored_shares_of_the_classes(score, judge, real, splits):
    """Novelty and accuracy are of single images: two classes asked for, and only those beside them."""
    few = splits["test"].take((splits["test"].labels < 2).nonzero()[:, 0].repeat(10)[:260])
    found = score(few.images, few.labels, splits=splits)
    labels, predicted = real.labels["test"], judge.predict(real.features("test"))
    shares = [int((few.labels == k).sum()) / 260 for k in (0, 1)]
    right = [float((predicted[labels == k] == k).double().mean()) for k in (0, 1)]
    assert found["accuracy"].floor == pytest.approx(sum(a * b for a, b in zip(shares, right, strict=True)))
    assert found["novelty"].value == pytest.approx(found["novelty"].floor, rel=0.05)
    everything = score(splits["test"].images, splits["test"].labels, splits=splits)
    assert everything["novelty"].value == pytest.approx(everything["novelty"].floor)
    assert everything["copies"].value == pytest.approx(everything["copies"].floor)
    copied = score(splits["train"].images[:300], splits=splits)
    assert (copied["novelty"].value, copied["copies"].value) == (0, 1)  # copies of themselves


def test_a_class_with_too_few_real_images_leaves_no_floor(score, judge, digits, digits_test, monkeypatch):
    images = digits.take((digits.labels == 3).nonzero()[:, 0].repeat(3)[:300])
    assert int((digits.labels == 3).sum()) < 300
    found = score(images.images, images.labels)
    assert found["fid"].floor is None and found["entropy"].floor is None and found["accuracy"].floor is not None
    assert evaluate(images.images, judge, images.labels)["fid"].floor is None
    shown = table([Evaluation("threes", {}, found)])
    assert "No brackets: there are too few real images of a class" in shown and "None" not in shown


def test_where_too_few_are_stored_the_data_set_is_asked(trained, tmp_path, monkeypatch):
    judge, real = trained
    cut = {part: {split: rows[:40] for split, rows in getattr(real, part).items()} for part in ("codes", "labels")}
    few = replace(real, **cut)
    for seen in (False, True):
        classes = Classes(torch.full((10,), 26), seen)
        assert draws_like(classes, judge, few, "train") == []
        (drawn,) = draws_like(classes, judge, few, "train", whole=True)
        assert len(drawn) == 260 and (not seen or torch.equal(torch.bincount(judge.predict(drawn)), classes.counts))
    monkeypatch.setenv("THAW_DATA", str(tmp_path))
    assert draws_like(classes, replace(judge, data="mnist"), few, "train", whole=True) == []


def test_draws_are_disjoint_and_hold_what_is_asked_for():
    classes = torch.randint(0, 4, (1000,))
    for counts in ([50, 0, 20, 10], [200, 200, 200, 200], [1, 0, 0, 0], [120, 10, 10, 10]):
        drawn = alike(classes, torch.tensor(counts))
        least = min(int((classes == k).sum()) // count for k, count in enumerate(counts) if count)
        assert len(drawn) == min(3, least) and len(torch.cat(drawn).unique()) == len(drawn) * sum(counts)
        assert all(torch.bincount(classes[index], minlength=4).tolist() == counts for index in drawn)
    assert alike(classes, torch.tensor([1000, 0, 0, 0])) == alike(classes, torch.tensor([1, 0, 0, 0, 1])) == []


def test_weights_give_images_the_scored_shares():
    of = torch.tensor([0, 0, 0, 1, 2, 2])
    assert shares_like(Classes(torch.tensor([1, 1, 2])), of).tolist() == pytest.approx([1 / 12] * 3 + [1 / 4] * 3)
    assert shares_like(Classes(torch.tensor([0, 4, 0])), of).tolist() == [0, 0, 0, 1, 0, 0]
    assert shares_like(Classes(torch.tensor([1, 1, 1, 1])), of) is None


@pytest.mark.parametrize("skewed", [False, True])
def test_what_is_stored_is_a_random_draw_and_enough_of_each_class(skewed, monkeypatch):
    """For as many images in equal classes, and in the shares of the split, as the random draw has."""
    monkeypatch.setattr("thaw.scoring.real.MOST", 1000)
    shares = torch.tensor([0.4, 0.3, 0.2, 0.1] if skewed else [0.25] * 4)
    labels = torch.multinomial(shares, 6000, replacement=True)
    index = chosen(labels, "train", 4)
    assert torch.equal(index[:1000], order_of(6000, "train")[:1000])
    assert len(index.unique()) == len(index) < 1600
    stored = labels[index]
    for counts in (torch.full((4,), 250), (torch.bincount(labels) * 1000 / 6000).round().long()):
        assert len(alike(stored, counts)) >= 1


@pytest.mark.slow
def test_scores_follow_neither_the_order_of_the_images_nor_the_call(score, digits, splits):
    images, labels = noisy(digits.images[:300], 10), digits.labels[:300]
    order = torch.randperm(300)
    first = score(images, labels, splits=splits)
    assert first == score(images, labels, splits=splits) == score(images[order], labels[order], splits=splits)


@pytest.mark.slow
def test_floors_are_computed_once(judge, real, digits, tmp_path, monkeypatch):
    saved = replace(judge, digest="0123456789ab")
    images = digits.images[:300]
    first = protocol(images, saved, real=real, cache=tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 1
    assert protocol(images.flip(0), saved, digits.labels[:300].flip(0), real=real, cache=tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2  # asked for, not seen
    monkeypatch.setattr("thaw.scoring.protocol._floors", None)
    assert protocol(images, saved, real=real, cache=tmp_path) == first
    with pytest.raises(TypeError):
        protocol(images[:290], saved, real=real, cache=tmp_path)  # other counts have other floors


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
    assert [path.name for path in cache.iterdir()] == ["real2_digits_0123456789ab.pth"]
    monkeypatch.setattr(data, "load", None)  # from here on without the data set
    kept = load_real(saved, tmp_path, cache)
    path = save_real(computed, tmp_path)
    shipped = load_real(saved, tmp_path, None)
    for again in (kept, shipped):
        assert torch.equal(again.features("train"), computed.features("train"))
    content = load_tensors(path)
    foreign = {"format": "other"}, "is not a Thaw real features file"
    wrong = "does not hold the real features of judge 0123456789ab"
    for part, named in (foreign, ({"codes": {}}, wrong), ({"labels": {}}, wrong), ({"judge": "other"}, wrong)):
        save_tensors(cache / "real2_digits_0123456789ab.pth", content | part)
        with pytest.raises(ThawError, match=named):
            load_real(saved, tmp_path / "nothing", cache)
    save_tensors(path, content | {"data": "other"})
    with pytest.raises(ThawError, match="checksum"):
        load_real(saved, tmp_path, None)


def test_real_features_that_are_nowhere_are_told(judge, tmp_path, monkeypatch):
    def missing(name, split, **_):
        raise ThawError("no mnist in here; set THAW_DATA")

    monkeypatch.setattr(data, "load", missing)
    with pytest.raises(ThawError, match="real features of judge 0123456789ab.*THAW_DATA"):
        load_real(replace(judge, digest="0123456789ab"), tmp_path, tmp_path)


@pytest.mark.slow
def test_scores_get_worse_with_noise_blur_and_a_lost_class(mnist, repository, tmp_path, monkeypatch):
    """On MNIST, with the judge and the real features that are shipped."""
    monkeypatch.setattr("thaw.scoring.metrics.KID_SUBSETS", 3)  # the subsets are the same for all
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
