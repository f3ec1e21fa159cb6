"""Laws of the hot model as a prior: exact for Gaussian data, and with an ideal model of few images it finds them."""

import pytest
import torch
from cases import full
from torch import nn

from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.degradations import Degradation, Scale, build
from thaw.model import Model
from thaw.oracle import Affine, Gaussian, data_oracle, gaussian_oracle
from thaw.prior import Prior, conditioned
from thaw.process import Process
from thaw.sampling import Sampling, final, reverse
from thaw.schedules import noise_schedule
from thaw.terminal import fit_terminal

SHAPE = (1, 6, 6)
AFFINE = [("row", 6), ("row", 3), ("mask", 2), ("pixelate", 2), ("blur", 20), ("zoom_bilinear", 1)]


def gaussian():
    """Return normal data of 36 correlated pixels within [-1, 1], nearly."""
    mix = torch.randn(36, 36, generator=generator(0, "mix")) / 6
    return Gaussian.of((0.3 * torch.randn(4000, 36, generator=generator(0, "data")) @ mix).view(-1, *SHAPE), 36)


def hot(steps=100, shape=SHAPE, bounded=False):
    """Return a hot process, and its signal and noise levels."""
    alpha, sigma = noise_schedule("flow", steps)
    return Process(Scale(shape, steps), sigma, tau=(1.0, 1.0), bounded=bounded), alpha, sigma


def measurement(name, t, noise, n):
    """Return data, D_t as a function and as a matrix, x0, and a noisy measurement of it."""
    data, degradation, draws = gaussian(), build(name, SHAPE), generator(1, "measured")
    x0 = data.draw(n, draws)
    offset, matrix = Affine(degradation, data).at(t)
    made = offset.view(SHAPE) + (data.numbers(x0) @ matrix.mT).view(-1, *SHAPE)
    return data, degradation, (offset, matrix), x0, made + noise * torch.randn(made.shape, generator=draws)


@pytest.mark.parametrize("name, t", AFFINE)
@pytest.mark.parametrize("at", [5, 50, 95])
def test_of_gaussian_data_every_guess_is_the_exact_mean_given_both_the_state_and_the_picture(name, t, at):
    data, degradation, (offset, matrix), x0, measured = measurement(name, t, 0.05, 6)
    process, alpha, sigma = hot()
    x_t = process(x0, full(6, at), torch.ones(6), torch.randn(x0.shape, generator=generator(2, "noise")))
    denoise = gaussian_oracle(process, Affine(process.degradation, data), 1.0)

    def degrade(x):  # as the laws ask for pixels in [-1, 1], and these may leave it
        return offset.view(SHAPE) + (data.numbers(x) @ matrix.mT).view(-1, *SHAPE)

    restore = conditioned(process, denoise, degrade, measured, noise=0.05, floor=0.0, iterations=80)
    a, b, variance = float(alpha[at]), float(sigma[at]) ** 2, data.variance.double()
    precision = torch.diag(1 / variance + a**2 / b) + matrix.double().mT @ matrix.double() / 0.05**2
    told = (x_t - a * data.mean).flatten(1).double() @ data.basis.double() * a / b
    told = told + (measured.flatten(1) - offset).double() @ matrix.double() / 0.05**2
    expected = data.images(torch.linalg.solve(precision, told.mT).mT.float())
    torch.testing.assert_close(restore(x_t, full(6, at)), expected, rtol=0, atol=0.01)


@pytest.mark.parametrize("name, t", [AFFINE[0], AFFINE[2]])
def test_of_gaussian_data_the_draws_have_the_exact_mean_and_covariance_as_the_steps_grow(name, t):
    """What is lost of the variance is what ancestral steps lose: of first order in their number."""
    data, degradation, (offset, matrix), x0, measured = measurement(name, t, 0.1, 1)
    covariance = torch.linalg.inv(torch.diag(1 / data.variance) + matrix.mT @ matrix / 0.1**2)
    mean = covariance @ matrix.mT @ (measured.flatten() - offset) / 0.1**2
    variance, directions = torch.linalg.eigh(covariance)

    def degrade(x):
        return offset.view(SHAPE) + (data.numbers(x) @ matrix.mT).view(-1, *SHAPE)

    lost = []
    for steps in (25, 100):
        process, n, draws = hot(steps)[0], 400, generator(3, "draws")
        denoise = gaussian_oracle(process, Affine(process.degradation, data), 1.0)
        restore = conditioned(process, denoise, degrade, measured.expand(n, *SHAPE), noise=0.1, floor=0, iterations=20)
        h = data.numbers(final(reverse(process, restore, torch.randn(n, *SHAPE, generator=draws), generator=draws)))
        found = ((h - mean) @ directions) / variance.sqrt()
        assert float(found.mean(dim=0).square().mean().sqrt()) < 0.1  # n = 400 leaves 0.05
        lost.append(1 - float(found.var(dim=0).mean()))
    assert lost[1] < 0.3 and lost[1] < 0.5 * lost[0]


class Ideal(nn.Module):
    """A network that knows all images there are, and their classes."""

    conditional = True

    def __init__(self, process, images, labels):
        super().__init__()
        groups = [*(images[labels == k] for k in range(10)), images]
        self.of_class, self.steps = [data_oracle(process, group, 1.0) for group in groups], process.steps

    def forward(self, x, time, tau, y):
        """Return E[x0 | x_t] over the images of a class, or over all for the null class."""
        t = (time * self.steps).round().long()
        guesses = torch.stack([restore(x, t) for restore in self.of_class])
        return guesses[y, torch.arange(len(x))]


@pytest.fixture(scope="module")
def prior():
    """A prior whose model draws the first hundred of scikit-learn's digits, and nothing else."""
    from thaw.data import load

    images = load("digits", "train").subset(100, 0)
    x0 = images.pixels()
    process, *_ = hot(50, images.shape, bounded=True)
    terminal = fit_terminal(process.degradation, x0, images.labels, components=1)
    return Prior(Model(process, Ideal(process, x0, images.labels), terminal, 10, Sampling(steps=20)), draws=300), x0


class Lens(Degradation):
    """A degradation of one's own, not linear: greys are squared, and a random corner, which is z, goes dark."""

    def draw_z(self, n, generator):
        return torch.randint(0, 2, (n, 1, *self.shape[1:]), generator=generator).float()

    def forward(self, x0, t, z=None):
        share = (t / self.steps)[:, None, None, None]
        return (1 - share) * x0 + share * ((x0 + 1).square() / 2 - 1) * (1 - 0.5 * z)


class Steps(Degradation):
    """One that has no gradient: only black and white is left."""

    def forward(self, x0, t, z=None):
        return torch.where((t > 0)[:, None, None, None], x0.detach().sign(), x0)


class Foreign(Degradation):
    """One that takes no tensor that has a gradient."""

    def forward(self, x0, t, z=None):
        return torch.from_numpy(x0.numpy() * (1 - t.numpy() / (2 * self.steps))[:, None, None, None]).float()


@pytest.mark.parametrize("kind", ["row", "col", "pixelate", "blur", "zoom_nearest", "snow", Lens, Steps, Foreign])
def test_what_the_model_can_draw_is_found_again_by_any_degradation(prior, kind):
    """At half of the way two of a hundred pictures seldom look alike, so that the posterior is the picture itself."""
    prior, images = prior
    x0 = images[:20]
    degradation = build(kind, x0.shape[1:]) if isinstance(kind, str) else kind(x0.shape[1:], 4)
    t = max(1, degradation.steps // 2)
    z = degradation.draw_z(20, generator(0, "z"))
    x_t = degradation(x0, full(20, t), z)
    found = prior.restore(x_t, degradation, t, z=z)
    assert found.shape == x0.shape and float(found.abs().max()) <= 1
    near = torch.cdist(found.flatten(1), images.flatten(1)).argmin(dim=1)
    assert float((near == torch.arange(20)).float().mean()) > 0.85


def test_a_class_that_is_told_is_chosen_among(prior):
    """Nothing is left of the pictures, and each is restored as what it was told to be."""
    prior, images = prior
    degradation = build("mask", images.shape[1:])
    x_t, y = -torch.ones_like(images[:20]), torch.arange(20) % 10
    x_t = degradation(x_t, full(20, degradation.steps))
    found = prior.restore(x_t, degradation, degradation.steps, y=y)
    nearest = torch.cdist(found.flatten(1), prior.images.flatten(1)).argmin(dim=1)
    assert torch.equal(prior.labels[nearest], y)
    assert torch.equal(found, prior.restore(x_t, degradation, degradation.steps, y=y))
    assert not torch.equal(found, prior.restore(x_t, degradation, degradation.steps, y=y, seed=1))


def test_the_class_is_told_by_what_is_left_and_by_nothing_where_nothing_is(prior):
    prior, images = prior
    for name, least in (("row", 0.7), ("mask", 0.0)):
        degradation = build(name, images.shape[1:])
        T = degradation.steps
        p = prior.posterior(degradation(prior.images, full(300, T)), degradation, T)
        torch.testing.assert_close(p.sum(dim=1).double(), torch.ones(300).double())
        of_own = p[torch.arange(300), prior.labels].mean()
        assert least < of_own if least else torch.allclose(p, p[:1])


def test_parts_of_many_pictures_have_noise_of_their_own(prior, monkeypatch):
    prior, images = prior
    degradation = build("mask", images.shape[1:])
    x_t = degradation(images[:1], full(1, degradation.steps)).expand(8, -1, -1, -1)
    monkeypatch.setattr("thaw.prior.BATCH", 4)
    found = prior.restore(x_t, degradation, degradation.steps)
    assert not torch.equal(found[:4], found[4:])


def test_what_no_prior_can_do_is_said(prior, warm_rows):
    prior, images = prior
    row = build("row", images.shape[1:])
    with pytest.raises(ThawError, match="a prior is a hot model, such as `default`"):
        Prior(warm_rows)
    with pytest.raises(ThawError, match="t must be between 1 and T=28, got 29"):
        prior.restore(images[:2], row, 29)
    with pytest.raises(ThawError, match="expected images of shape"):
        prior.restore(torch.zeros(2, 1, 9, 9), row, 2)
