"""Laws of the exact restorers: what a sampler keeps of Gaussian data, and what it must lose at a jump."""

import itertools

import pytest
import torch

from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.degradations import Degradation, Softened, build
from thaw.oracle import RIDGE, Affine, Gaussian, data_oracle, gaussian_oracle
from thaw.process import Process
from thaw.sampling import coefficients, final, reverse
from thaw.schedules import noise_schedule
from thaw.scoring.metrics import error_ratio, spread_skill

SHAPE = (1, 4, 4)
N = 20_000


class Shrinking(Degradation):
    """D_t(x0) = (1 - t/T) x0 on the left half of the image: continuous, affine, not a multiple of the identity."""

    def __init__(self, shape, steps):
        super().__init__(shape, steps)
        self.register_buffer("left", (torch.arange(shape[2]) < shape[2] // 2).float())

    def forward(self, x0, t, z=None):
        return x0 * (1 - self.left * (t / self.steps)[:, None, None, None])


def gaussian(seed=0):
    """Return normal data of correlated pixels."""
    mix = 0.2 * torch.randn(16, 16, generator=generator(seed, "mix"))
    return Gaussian.of((0.3 * torch.randn(4000, 16, generator=generator(seed, "data")) @ mix).view(-1, *SHAPE), 16)


def sampled(degradation, data, steps=None, tau=1.0, eta=1.0, schedule="flow", n=N):
    """Return the numbers of what the sampler ends with, from exact starts; and the process."""
    process = Process(degradation, noise_schedule(schedule, degradation.steps)[1], tau=(0.0, 2.0), bounded=False)
    draws = generator(0, "draws")
    x0 = data.draw(n, draws)
    noise = torch.randn(x0.shape, generator=draws)
    x_T = process(x0, torch.full((n,), process.steps), torch.full((n,), tau), noise)
    restore = gaussian_oracle(process, Affine(degradation, data), tau)
    return data.numbers(final(reverse(process, restore, x_T, tau=tau, eta=eta, steps=steps, generator=draws))), process


def lost(h, data):
    """Return the share of the variance that samples have lost."""
    return 1 - float(h.var(dim=0).sum() / data.variance.sum())


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_of_a_continuous_family_nothing_is_lost_as_the_steps_grow(eta):
    """Euler's method on the probability-flow ODE (eta 0), or the ancestral chain (eta 1): errors of first order."""
    data = gaussian()
    losses = [lost(sampled(Shrinking(SHAPE, 160), data, steps, eta=eta)[0], data) for steps in (5, 20, 80, 160)]
    assert losses[0] > 0.4 and losses[-1] < 0.06
    assert all(after < 0.65 * before for before, after in itertools.pairwise(losses))


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_at_jumps_more_steps_do_not_help_and_softening_does(eta):
    data, jumping = gaussian(), build("mask", SHAPE, steps=4)
    as_it_is = lost(sampled(jumping, data, eta=eta)[0], data)
    soft = [lost(sampled(Softened(jumping, parts), data, eta=eta)[0], data) for parts in (4, 16, 64)]
    assert as_it_is > 0.2
    assert all(after < 0.65 * before for before, after in itertools.pairwise([as_it_is, *soft])) and soft[-1] < 0.04


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_what_one_step_loses_at_a_jump_is_what_the_linear_algebra_says(tau, eta):
    """x_s = (D_s G + kappa (I - D_t G)) x_t + nu eps, G the exact restorer: covariances follow."""
    data, steps = gaussian(), 4
    degradation = build("mask", SHAPE, steps=steps)
    h, process = sampled(degradation, data, tau=tau, eta=eta)
    affine, prior = Affine(degradation, data), torch.diag(data.variance)
    covariance = None
    for t in range(steps, 0, -1):
        offset, ahead = affine.at(t)
        here, there = ahead, affine.at(t - 1)[1]
        noise = (tau * float(process.sigma[t])) ** 2
        if covariance is None:
            covariance = here @ prior @ here.mT + noise * torch.eye(16)
        gain = torch.linalg.solve(torch.diag((noise + RIDGE) / data.variance) + here.mT @ here, here.mT)
        kappa, nu = coefficients(process, "warm", t, t - 1, tau, eta)
        move = there @ gain + kappa * (torch.eye(16) - here @ gain)
        covariance = move @ covariance @ move.mT + nu**2 * torch.eye(16)
    expected = data.basis.mT @ covariance @ data.basis
    scale = float(data.variance.max())
    torch.testing.assert_close(torch.cov(h.mT) / scale, expected / scale, rtol=0, atol=0.05)


def test_restorations_become_draws_from_the_posterior_as_steps_grow():
    """With an exact restorer that sees what is given: twice the error of the mean, and spread as far as they err.

    What they lack is what a sampler of few steps loses, whatever it restores.
    """
    data, n, found = gaussian(), 1500, []
    x0 = data.draw(n, generator(1, "data"))
    for parts in (1, 4, 32):
        rows = Softened(build("row", SHAPE), parts)
        process, affine = Process(rows, noise_schedule("flow", rows.steps)[1], bounded=False), Affine(rows, data)
        given, noise = rows(x0, torch.full((n,), rows.steps)), 1e-3 * float(data.variance.min())

        def told(x, t, level, affine=affine):
            """What x = D_t(x0) + noise of that variance tells of x0: the precision, and that times the mean."""
            offset, matrix = affine.at(t)
            return matrix.mT @ matrix / level, (x.flatten(1) - offset) @ matrix / level

        def exact(*known):
            precision = torch.diag(1 / data.variance) + sum(one for one, _ in known)
            return data.images(torch.linalg.solve(precision.double(), sum(x for _, x in known).double().mT).mT.float())

        clean = told(given, rows.steps, noise)

        def restore(x_t, t, process=process, clean=clean, exact=exact, told=told, noise=noise):
            return exact(clean, told(x_t, int(t[0]), float(process.sigma[t[0]]) ** 2 + noise))

        starts = (given + torch.randn(x0.shape, generator=generator(seed, "noise")) for seed in range(4))
        drawn = torch.stack([final(reverse(process, restore, start, eta=0.0)) for start in starts])
        found.append((error_ratio(drawn[0], x0, exact(clean)), spread_skill(drawn, x0)))
    (few, narrow), (more, wider), (ratio, spread) = found
    assert few < more < ratio == pytest.approx(2, abs=0.1)
    assert narrow < wider < spread == pytest.approx(1, abs=0.05)


def test_the_exact_restorer_is_the_best_linear_guess():
    """The orthogonality of least squares: its error is uncorrelated with what it saw."""
    data, degradation = gaussian(), Shrinking(SHAPE, 10)
    process = Process(degradation, noise_schedule("flow", 10)[1], bounded=False)
    draws = generator(1, "draws")
    x0 = data.draw(N, draws)
    t = torch.full((N,), 7)
    x_t = process(x0, t, torch.ones(N), torch.randn(x0.shape, generator=draws))
    error = (gaussian_oracle(process, Affine(degradation, data), 1.0)(x_t, t) - x0).flatten(1)
    seen = (x_t - x_t.mean(dim=0)).flatten(1)
    assert float((error.mT @ seen / N).abs().max()) < 0.035 * float(x_t.std() * x0.std())


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("family", ["row", "mask", "snow"])
def test_the_ideal_restorer_of_a_set_draws_its_images(family, eta):
    """Smalldiffusion's ideal denoiser: with the whole sampler and any D_t, every sample is one of the images."""
    images = torch.rand(20, 1, 8, 8, generator=generator(0, "images")) * 2 - 1
    degradation = build(family, (1, 8, 8))
    process = Process(degradation, noise_schedule("flow", degradation.steps)[1], bounded=False)
    draws = generator(2, "draws")
    z = degradation.draw_z(1, draws)
    chosen = torch.randint(20, (50,), generator=draws)
    fixed = None if z is None else z.expand(50, *z.shape[1:])
    last = torch.full((50,), process.steps)
    x_T = process(images[chosen], last, torch.ones(50), torch.randn(50, 1, 8, 8, generator=draws), fixed)
    drawn = final(reverse(process, data_oracle(process, images, 1.0, z), x_T, eta=eta, z=fixed, generator=draws))
    nearest = torch.cdist(drawn.flatten(1), images.flatten(1)).min(dim=1).values
    assert float(nearest.quantile(0.8)) < 0.05
    assert len(torch.cdist(drawn.flatten(1), images.flatten(1)).argmin(dim=1).unique()) > 5


def test_what_no_oracle_can_do_is_said():
    class Squared(Degradation):
        def forward(self, x0, t, z=None):
            return torch.where((t > 0)[:, None, None, None], x0**2, x0)

    data = gaussian()
    with pytest.raises(ThawError, match="Squared is not affine in x0 at step 1"):
        Affine(Squared(SHAPE, 2), data).at(1)
    process = Process(build("mask", SHAPE), noise_schedule("flow", 14)[1], noise_in="destroyed")
    with pytest.raises(ThawError, match="noise on every pixel"):
        gaussian_oracle(process, Affine(process.degradation, data), 1.0)
    with pytest.raises(ThawError, match="set tau above 0"):
        data_oracle(Process(build("mask", SHAPE), noise_schedule("flow", 14)[1]), torch.zeros(2, *SHAPE), 0.0)


@pytest.mark.parametrize("tau", [1.0, 2.0])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_on_a_bridge_the_noise_is_that_of_the_schedule_at_every_step(tau, eta):
    """With a restorer that knows x0, x_s - D_s(x0) is noise of tau sigma_s, also where it grows on the way back."""
    degradation = build("mask", SHAPE, steps=8)
    process = Process(degradation, noise_schedule("bridge", 8)[1], tau=(0.0, 2.0), bounded=False)
    x0 = torch.zeros(N, *SHAPE)
    x_T = degradation(x0, torch.full((N,), 8))  # clean
    draws = generator(3, "draws")
    for step in reverse(process, lambda x, t: x0, x_T, tau=tau, eta=eta, generator=draws):
        noise = step.x_t - degradation(x0, torch.full((N,), step.t))
        assert float(noise.std()) == pytest.approx(tau * float(process.sigma[step.t]), rel=0.02, abs=1e-6)


def test_corrective_noise_is_added_to_that_of_the_step():
    """With a restorer that knows x0, x_s - D_s(x0) has the variance of the schedule and what was asked for on top."""
    degradation = build("mask", SHAPE, steps=4)
    process = Process(degradation, noise_schedule("flow", 4)[1], bounded=False)
    x0, draws = torch.zeros(N, *SHAPE), generator(4, "draws")
    x_T = torch.randn(N, *SHAPE, generator=draws)
    first, then, *_, last = reverse(process, lambda x, t: x0, x_T, generator=draws, corrective=lambda t, s: 0.25)
    assert float(then.x_t.var()) == pytest.approx(float(process.sigma[3]) ** 2 + 0.25, rel=0.02)
    assert float(last.x_t.abs().max()) == 0  # at 0 there is no noise
