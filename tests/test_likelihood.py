"""Likelihoods against closed forms, and Bayes' rule against the true posterior."""

import math

import pytest
import torch
from cases import make_process
from torch import Tensor
from torch.distributions import MultivariateNormal

from thaw.base.errors import ThawError
from thaw.data import ImageSet
from thaw.likelihood import (
    bits_per_dimension,
    class_posterior,
    class_shares,
    divergence,
    draw_probes,
    elbo,
    gaussian_log_probability,
    log_likelihood,
)
from thaw.scoring import classify

SHAPE = (1, 2, 3)
D = 6


def gaussian(seed: int, spread: float = 1.0) -> MultivariateNormal:
    """Return a correlated Gaussian in six dimensions."""
    draws = torch.Generator().manual_seed(seed)
    root = 0.4 * torch.randn(D, D, generator=draws, dtype=torch.float64)
    mean = spread * torch.randn(D, generator=draws, dtype=torch.float64)
    return MultivariateNormal(mean, root @ root.T + 0.3 * torch.eye(D, dtype=torch.float64))


def closed_form(process, known: MultivariateNormal):
    """Return restore(x_t, t) = E[x_0 given x_t] for Gaussian x_0: m + a S (a^2 S + s^2)^-1 (x_t - a m)."""
    S, m, eye = known.covariance_matrix, known.mean, torch.eye(D, dtype=torch.float64)

    def restore(x_t: Tensor, t: Tensor) -> Tensor:
        a, s = process.degradation.alpha(t[:1])[0], process.sigma[t[0]]
        gain = a * S @ torch.linalg.inv(a**2 * S + s**2 * eye)
        return (m + (x_t.flatten(1) - a * m) @ gain.T).view_as(x_t)

    return restore


def flow(steps: int = 1000):
    return make_process(("scale", {"schedule": "flow"}), steps, SHAPE, tau=(1.0, 1.0))


def points(known: MultivariateNormal, n: int = 8, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return known.sample((n,)).view(n, *SHAPE)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_log_likelihood_of_a_gaussian_flow_is_the_true_one(seed):
    known, process = gaussian(seed), flow()
    x = points(known)
    found = log_likelihood(process, closed_form(process, known), x)
    assert (found - known.log_prob(x.flatten(1))).abs().max() < 1e-3


@pytest.mark.parametrize("seed", [0, 1])
def test_the_integration_is_of_fourth_order(seed):
    known, process = gaussian(seed), flow(8000)
    x = points(known)
    true, restore = known.log_prob(x.flatten(1)), closed_form(process, known)
    coarse, fine = ((log_likelihood(process, restore, x, steps=n) - true).abs().max() for n in (4, 10))
    assert coarse > (10 / 4) ** 4 * fine


def test_without_the_divergence_it_would_not_be():
    known, process = gaussian(0), flow()
    x = points(known)
    none = log_likelihood(process, closed_form(process, known), x, steps=50, probes=None)
    blind = log_likelihood(process, lambda x_t, t: closed_form(process, known)(x_t, t).detach(), x, steps=50)
    assert (none - blind).abs().min() > 0.5


def warped(x: Tensor) -> Tensor:
    """Return a smooth field with a full Jacobian, each point for itself."""
    torch.manual_seed(3)
    weights = torch.randn(D, D, dtype=x.dtype)
    return (torch.sin(x.flatten(1) @ weights.T) * x.flatten(1).square().sum(dim=1, keepdim=True)).view_as(x)


def test_the_exact_trace_is_that_of_the_full_jacobian():
    x = points(gaussian(0), 4)
    value, trace = divergence(warped, x, draw_probes(SHAPE, None))
    for one, found in zip(x, trace, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda p: warped(p[None])[0].flatten(), one).reshape(D, D)
        torch.testing.assert_close(found, jacobian.trace())
    assert torch.equal(value, warped(x))


def test_hutchinsons_trace_is_right_on_average_within_its_error():
    x, draws = points(gaussian(0), 4), torch.Generator().manual_seed(0)
    _, exact = divergence(warped, x, draw_probes(SHAPE, None))
    each = torch.stack([divergence(warped, x, draw_probes(SHAPE, 1, draws))[1] for _ in range(200)])
    error = each.std(dim=0) / math.sqrt(len(each))
    assert ((each.mean(dim=0) - exact).abs() < 4 * error).all()
    _, many = divergence(warped, x, draw_probes(SHAPE, 200, draws))
    assert ((many - exact).abs() < 4 * error).all()


def test_bayes_on_known_gaussians_is_the_true_posterior_by_either_route():
    known = [gaussian(seed, 0.5) for seed in range(3)]
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    process, x = flow(), torch.cat([points(one, 4, seed=7) for one in known])
    true = torch.stack([one.log_prob(x.flatten(1)) + p.log() for one, p in zip(known, prior, strict=True)], dim=1)
    restorers = [closed_form(process, one) for one in known]
    found = torch.stack([log_likelihood(process, restore, x) for restore in restorers], dim=1)
    torch.testing.assert_close(class_posterior(found, prior), true.softmax(dim=1), atol=2e-3, rtol=0)

    def denoise(x_t: Tensor, t: Tensor, y: Tensor) -> Tensor:
        parts = zip(restorers, x_t.chunk(3), t.chunk(3), strict=True)
        return torch.cat([restore(x, t) for restore, x, t in parts])

    draws = torch.Generator().manual_seed(0)
    bound = elbo(process, denoise, x, [0, 1, 2], draws=1000, first=50, levels=None, generator=draws)
    assert (class_posterior(bound, prior) - true.softmax(dim=1)).abs().max() < 0.1


def expected_bound(process, known: MultivariateNormal, x: Tensor, first: int) -> Tensor:
    """Return the bound without any draws: the expected squared error of the perfect denoiser is in closed form."""
    S, eye, d = known.covariance_matrix, torch.eye(D, dtype=torch.float64), x.flatten(1) - known.mean
    t = torch.arange(first, process.steps + 1)
    a, s = process.degradation.alpha(t)[:, None, None], process.sigma[t][:, None, None]
    gain = a * S @ torch.linalg.inv(a**2 * S + s**2 * eye)  # (T, D, D)
    error = (d @ (eye - a * gain).mT).square().sum(dim=2) + (s * gain).square().sum(dim=(1, 2))[:, None]  # (T, B)
    snr, std = (a / s).square()[:, :, 0], s[0, 0, 0] / a[0, 0, 0]
    steps = (0.5 * (snr[:-1] - snr[1:]) * error[1:]).sum(dim=0)
    return -0.5 * error[0] / std**2 - D * (std.log() + 0.5 * math.log(2 * math.pi)) - steps


def test_the_bound_is_on_average_the_expected_one_and_with_many_steps_the_likelihood():
    known, process = gaussian(0), flow()
    x, restore = points(known), closed_form(process, known)
    settings = {"draws": 100, "first": 20, "levels": None, "generator": torch.Generator().manual_seed(0)}
    each = torch.stack([elbo(process, lambda x_t, t, y: restore(x_t, t), x, [0], **settings) for _ in range(16)])
    expected = expected_bound(process, known, x, first=20)
    means = each.mean(dim=(1, 2))  # over the points, (16,)
    error = float(means.std()) / 4
    assert abs(float(means.mean() - expected.mean())) < 4 * error and error < 0.4
    true = known.log_prob(x.flatten(1))
    coarse, fine = true - expected, true - expected_bound(flow(8000), known, x, first=160)
    assert (coarse > fine).all() and (fine > 0).all() and (fine < 0.05).all()  # what T steps cost, and no more


def test_probabilities_of_grey_levels_sum_to_one_and_are_the_density_times_the_spacing():
    greys = torch.linspace(-1, 1, 256)
    for mean, std in ((-1.0, 0.003), (0.2, 0.05), (0.99, 0.5), (0.0, 3.0)):
        told = gaussian_log_probability(greys, torch.tensor(mean), std, 256)
        torch.testing.assert_close(told.exp().sum(), torch.ones((), dtype=torch.float64), atol=1e-6, rtol=0)
        assert torch.isfinite(told).all()
    inner = slice(1, -1)
    fine = gaussian_log_probability(greys, torch.tensor(0.2), 0.3, 256)[inner]
    density = gaussian_log_probability(greys, torch.tensor(0.2), 0.3, None)[inner]
    torch.testing.assert_close(fine, density + math.log(2 / 255), atol=1e-3, rtol=0)


def test_bits_shares_and_priors():
    assert bits_per_dimension(torch.full((5,), -8 * 3 * math.log(2)), 3) == pytest.approx(8)
    torch.testing.assert_close(class_shares(torch.tensor([0, 0, 2]), 3), torch.tensor([3, 1, 2]).double() / 6)
    with pytest.raises(ThawError, match="sum to 1"):
        class_posterior(torch.zeros(2, 3), torch.tensor([0.5, 0.4, 0.3]))


def test_what_has_no_such_likelihood_is_refused():
    linear = make_process(("scale", {"schedule": "linear"}), 100, SHAPE, tau=(1.0, 1.0))
    x = torch.zeros(1, *SHAPE)
    with pytest.raises(ThawError, match="schedule: flow"):
        log_likelihood(linear, lambda x, t: x, x)
    with pytest.raises(ThawError, match=r"even and 2 \* steps divide T=1000, got steps=30"):
        log_likelihood(flow(), lambda x, t: x, x, steps=30)
    rows = make_process(("row", {"group": 4}), shape=(1, 28, 28))
    with pytest.raises(ThawError, match="degradation: scale"):
        elbo(rows, lambda x, t, y: x, torch.zeros(1, 1, 28, 28), [0])


def test_a_model_classifies_with_the_same_numbers_whatever_the_batch_of_classes(tiny, digits_test):
    model, few = tiny(steps=20), digits_test.subset(6, 0)
    first, again = (classify(model, few, route="elbo", draws=3) for _ in range(2))
    assert torch.equal(first.log_likelihoods, again.log_likelihoods)
    assert first.posterior.shape == (6, 10) and first.confusion.sum() == 6
    torch.testing.assert_close(first.posterior.sum(dim=1), torch.ones(6, dtype=torch.float64))
    assert first.record()["n"] == 6 and math.isfinite(first.bits) and 0 <= first.calibration_error <= 1
    latents = ImageSet("digits", "test", torch.zeros(2, 1, 7, 7), torch.zeros(2).long(), 10)
    with pytest.raises(ThawError, match="thaw.store.inputs.load_latents"):
        classify(model, latents)
    with pytest.raises(ThawError, match="not told the class"):
        classify(tiny(network="cnn"), few)
