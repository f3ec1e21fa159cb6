"""The terminal distribution: where sampling starts."""

import math
from dataclasses import replace

import pytest
import torch
from cases import SHAPE, few, full

from thaw import data, degradations
from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.degradations import Degradation
from thaw.store.tensors import load_tensors, save_tensors
from thaw.terminal import Terminal, fit_classifier, fit_terminal, terminal_coordinates

PARTS = ["mean", "basis", "weights", "labels", "centres", "factors"]


@pytest.fixture(scope="module")
def rows(digits) -> Degradation:
    return degradations.build("row", SHAPE, group=4)


@pytest.fixture(scope="module")
def fitted(digits, rows) -> Terminal:
    return fit_terminal(rows, digits.pixels(), digits.labels, components=3)


@pytest.fixture
def made_by_hand() -> Terminal:
    """Two classes on a plane in three dimensions: class 0 at x = -1, class 1 at x = +1 and x = +3."""
    return Terminal(
        mean=torch.tensor([0.0, 0.0, 5.0]),
        basis=torch.eye(3)[:, :2],
        weights=torch.tensor([0.5, 0.25, 0.25]),
        labels=torch.tensor([0, 1, 1]),
        centres=torch.tensor([[-1.0, 0.0], [1.0, 0.0], [3.0, 0.0]]),
        factors=1e-3 * torch.eye(2).repeat(3, 1, 1),
    )


def test_samples_of_a_class_come_from_its_components_only(made_by_hand):
    y = torch.arange(2).repeat(500)
    drawn = made_by_hand.sample(y, generator(0))
    assert drawn.shape == (1000, 3) and drawn.dtype == torch.float32
    centre = drawn[:, 0].round()
    assert set(centre[y == 0].tolist()) == {-1.0}
    assert set(centre[y == 1].tolist()) == {1.0, 3.0}
    assert centre[y == 1].mean().item() == pytest.approx(2, abs=0.2)


def test_samples_stay_in_the_directions_that_vary(made_by_hand):
    assert (made_by_hand.sample(torch.zeros(50).long(), generator(0))[:, 2] == 5).all()


def test_the_null_class_draws_from_all_components_by_their_weights(made_by_hand):
    centre = made_by_hand.sample(full(4000, 2), generator(0))[:, 0].round()
    shares = [(centre == at).double().mean().item() for at in (-1, 1, 3)]
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.03)


def test_the_posterior_is_bayes_rule_over_the_components(made_by_hand):
    """Halfway between two components the weights decide; what lies off the basis tells nothing."""
    wide = replace(made_by_hand, factors=torch.eye(2).repeat(3, 1, 1))
    asked = torch.tensor([[-5.0, 0.0, 5.0], [0.0, 0.0, 7.0], [9.0, 1.0, 5.0]])
    p = wide.posterior(asked, 3)  # a third class was never seen
    near, far = (math.exp(-(d**2) / 2) for d in (1, 3))
    right = math.sqrt(0.5 * near), math.sqrt(0.25 * near + 0.25 * far)  # tempered
    torch.testing.assert_close(p.sum(dim=1), torch.ones(3).double())
    assert p[0, 0] > 0.99 and p[2, 1] > 0.99 and (p[:, 2] == 0).all()
    assert p[1, 0].item() == pytest.approx(right[0] / sum(right))
    assert (Terminal.point(torch.zeros(4)).posterior(torch.zeros(2, 4), 5) == 0.2).all()


def test_the_classes_of_digits_can_be_told_from_their_row_means(digits, rows, fitted):
    p = fitted.posterior(terminal_coordinates(rows, digits.pixels()).float(), 10)
    assert (p.argmax(dim=1) == digits.labels).double().mean() > 0.5


def test_a_classifier_stands_before_the_mixture_and_is_stored_with_it(digits, rows, fitted, tmp_path):
    """It is fitted for its log loss, and so is sure of itself where it may be."""
    terminal = fit_terminal(rows, digits.pixels(), digits.labels, components=3, classify=True)
    asked = terminal_coordinates(rows, data.load("digits", "test").pixels())
    true = data.load("digits", "test").labels
    told, mixture = terminal.posterior(asked, 10), fitted.posterior(asked.float(), 10)
    torch.testing.assert_close(told.sum(dim=1), torch.ones(len(asked)).double())
    losses = [-p[range(len(true)), true].log().mean() for p in (told, mixture)]
    assert losses[0] < losses[1] and (told.argmax(dim=1) == true).double().mean() > 0.7
    assert all(torch.equal(getattr(terminal, part), getattr(fitted, part)) for part in PARTS)
    save_tensors(tmp_path / "terminal.pt", terminal.state())
    stored = load_tensors(tmp_path / "terminal.pt")
    again = Terminal.from_state(stored | {"later": 1})  # what a later version may add
    torch.testing.assert_close(again.posterior(asked, 10), told, rtol=0, atol=0.01)  # half precision
    assert stored.keys() == {*PARTS, "classifier"} and fitted.state().keys() == set(PARTS)
    found = replace(fitted, find=lambda: terminal.classifier)  # where none was fitted; it is not stored
    assert torch.equal(found.posterior(asked, 10), told) and found.state().keys() == set(PARTS)
    for damaged in ({"mean": stored["mean"]}, stored["classifier"] | {"mean": torch.zeros(3)}):
        with pytest.raises(ThawError, match="stored classifier lacks a part"):
            Terminal.from_state(stored | {"classifier": damaged})


@pytest.mark.parametrize("labels", [[0, 2], [1, 2, 4]])
def test_a_classifier_knows_the_classes_there_are(labels):
    """Of two, too, of which sklearn keeps one logit."""
    y = torch.tensor(labels).repeat(100)
    classifier = fit_classifier(y[:, None] + 0.1 * torch.randn(len(y), 1, generator=generator(0)), y)
    p = classifier(torch.tensor(labels)[:, None].float(), 5)
    assert p.argmax(dim=1).tolist() == labels and p.gather(1, torch.tensor(labels)[:, None]).min() > 0.8
    assert (p[:, [k for k in range(5) if k not in labels]] == 0).all()


def test_too_few_images_leave_the_class_to_the_mixture(digits, rows):
    assert fit_terminal(rows, *few(digits, 50), classify=True).classifier is None
    assert fit_terminal(rows, digits.pixels(), torch.zeros_like(digits.labels), classify=True).classifier is None


def test_factors_shape_the_noise(made_by_hand):
    factor = torch.tensor([[2.0, 0.0], [1.0, 0.5]])
    terminal = Terminal(**{**vars(made_by_hand), "factors": factor.repeat(3, 1, 1)})
    drawn = terminal.sample(full(20_000, 0), generator(0))[:, :2]
    torch.testing.assert_close(drawn.T.cov(), factor @ factor.T, rtol=0.05, atol=0.05)


def test_the_same_generator_gives_the_same_start(fitted):
    y = torch.arange(10)
    assert torch.equal(fitted.sample(y, generator(1)), fitted.sample(y, generator(1)))
    assert not torch.equal(fitted.sample(y, generator(1)), fitted.sample(y, generator(2)))


def test_samples_have_the_moments_of_the_data(digits, rows, fitted):
    coordinates = terminal_coordinates(rows, digits.batches()).float()
    for y in (full(40_000, digits.classes), digits.labels[torch.randint(len(digits), (40_000,))]):
        drawn = fitted.sample(y, generator(0))
        scale = coordinates.std(dim=0).max().item()
        torch.testing.assert_close(drawn.mean(dim=0), coordinates.mean(dim=0), rtol=0, atol=0.03 * scale)
        torch.testing.assert_close(drawn.T.cov(), coordinates.T.cov(), rtol=0, atol=0.03 * scale**2)


def test_samples_of_a_class_have_the_mean_of_that_class(digits, rows, fitted):
    coordinates = terminal_coordinates(rows, digits.batches()).float()
    for label in range(digits.classes):
        drawn = fitted.sample(full(4000, label), generator(label))
        expected = coordinates[digits.labels == label].mean(dim=0)
        torch.testing.assert_close(drawn.mean(dim=0), expected, rtol=0, atol=0.1 * coordinates.std().item())


def test_a_fit_is_a_probability_with_orthonormal_directions(fitted):
    assert fitted.weights.sum().item() == pytest.approx(1, abs=1e-6) and (fitted.weights > 0).all()
    torch.testing.assert_close(fitted.basis.T @ fitted.basis, torch.eye(fitted.rank), rtol=0, atol=1e-5)
    assert set(fitted.labels.tolist()) == set(range(10))
    assert torch.equal(fitted.factors, fitted.factors.tril())
    assert (fitted.factors.diagonal(dim1=1, dim2=2) > 0).all()


def test_the_fit_follows_its_seed(digits, rows, fitted):
    again = fit_terminal(rows, digits.pixels(), digits.labels, components=3)
    assert all(torch.equal(getattr(again, part), getattr(fitted, part)) for part in PARTS)


@pytest.mark.parametrize("least", [1, 2, 5])
def test_a_class_of_few_images_gets_one_component(digits, rows, least):
    """Small limits and many classes (EMNIST has 47) leave classes of a single image."""
    few = torch.cat([(digits.labels == label).nonzero()[: least + label, 0] for label in range(10)])
    images = data.ImageSet("digits", "train", digits.images[few], digits.labels[few], 10)
    terminal = fit_terminal(rows, images.batches(), images.labels, components=10)
    assert torch.bincount(terminal.labels).tolist() == [1] * 10
    assert torch.isfinite(terminal.sample(torch.arange(10), generator(0))).all()


@pytest.mark.parametrize("axis", ["row", "col"])
@pytest.mark.parametrize(("group", "most"), [(1, 28), (4, 7)])
def test_on_digits_the_rank_is_at_most_the_number_of_lines(digits, axis, group, most):
    degradation = degradations.build(axis, SHAPE, group=group)
    terminal = fit_terminal(degradation, *few(digits, 500), components=1)
    assert 0 < terminal.rank <= most
    assert terminal.mean.shape == (most,)


@pytest.mark.parametrize(("group", "rank"), [(1, 28), (4, 7)])
def test_on_mnist_every_averaged_row_counts(mnist, group, rank):
    images = data.load("mnist", "train", download=False)
    assert (
        fit_terminal(degradations.build("row", SHAPE, group=group), images.batches(), images.labels, components=1).rank
        == rank
    )


def test_the_hot_process_ends_in_nothing(digits):
    scale = degradations.build("scale", SHAPE)
    terminal = fit_terminal(scale, *few(digits, 100))
    assert terminal.rank == 0
    start = scale.from_coordinates(terminal.sample(torch.arange(10), generator(0)))
    assert start.shape == (10, *SHAPE) and not start.any()


def test_a_degradation_to_one_fixed_picture_always_starts_there(digits):
    class Black(Degradation):
        def forward(self, x0, t, z=None):
            return torch.where((t == self.steps)[:, None, None, None], -torch.ones_like(x0), x0)

    black = Black(SHAPE, 2)
    terminal = fit_terminal(black, *few(digits, 100))
    assert terminal.rank == 0
    assert (black.from_coordinates(terminal.sample(torch.arange(3), generator(0))) == -1).all()


def test_drawn_starts_are_fully_degraded_images(rows, fitted):
    """They are in range, and averaging them again changes nothing."""
    x_T = rows.from_coordinates(fitted.sample(full(200, 10), generator(0)))
    assert x_T.abs().max() <= 1
    assert torch.equal(rows(x_T, full(200, rows.steps)), x_T)


@pytest.mark.parametrize("degradation", ["row", "scale"])
def test_a_stored_terminal_is_read_back_as_it_was(digits, degradation):
    terminal = fit_terminal(
        degradations.build(degradation, SHAPE),
        *few(digits, 200),
        components=2,
    )
    state = terminal.state()
    assert set(state) == set(PARTS) and all(isinstance(part, torch.Tensor) for part in state.values())
    again = Terminal.from_state(state)
    for part in PARTS:
        assert torch.equal(getattr(again, part), getattr(terminal, part)), part
    assert torch.equal(again.sample(torch.arange(10), generator(0)), terminal.sample(torch.arange(10), generator(0)))


@pytest.mark.parametrize("degradation", ["row", "scale"])
def test_parts_have_their_documented_shapes(digits, degradation):
    terminal = fit_terminal(
        degradations.build(degradation, SHAPE),
        *few(digits, 200),
        components=2,
    )
    D, R, M = *terminal.basis.shape, len(terminal.weights)
    assert terminal.mean.shape == (D,) and terminal.labels.shape == (M,)
    assert terminal.centres.shape == (M, R) and terminal.factors.shape == (M, R, R)


def test_only_half_of_the_triangular_factors_is_stored(fitted):
    R = fitted.rank
    assert fitted.state()["factors"].shape == (len(fitted.weights), R * (R + 1) // 2)


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_refused_by_name(fitted, part):
    state = fitted.state()
    del state[part]
    with pytest.raises(ThawError, match=part):
        Terminal.from_state(state)


def test_coordinates_do_not_depend_on_the_batch_size(digits, rows):
    images = digits.subset(70, 0)
    once, parts = terminal_coordinates(rows, images.batches()), terminal_coordinates(rows, images.batches(32))
    assert once.dtype == torch.float64 and once.shape == (70, 7)
    torch.testing.assert_close(once, parts, rtol=0, atol=2.0**-12)
