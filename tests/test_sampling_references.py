"""The reverse loop against others' implementations: diffusers, the papers' algorithms, an exact solution."""

import itertools
import math

import pytest
import torch
from cases import LINES, full, make_process, name_of, pictures
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from thaw.base.seeding import generator
from thaw.process import Process
from thaw.sampling import Step, reverse
from thaw.schedules import noise_schedule

T = 1000
SMALL = (1, 6, 6)
PREDICTIONS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
SPACINGS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}


def network(x: Tensor, t: int) -> Tensor:
    """A fixed network of moderate output."""
    return torch.tanh(0.7 * x.roll(1, dims=3) - 0.2 * x) + 0.3 * math.cos(t / 100)


def hot(schedule: str, prediction: str) -> Process:
    return make_process(("scale", {"schedule": schedule}), T, SMALL, prediction=prediction, tau=(1.0, 1.0))


def restorer(process: Process, clip: bool):
    def restore(x_t: Tensor, t: Tensor) -> Tensor:
        raw = network(x_t, int(t[0]) - 1)  # diffusers counts from 0
        x0_hat = process.predict(raw, x_t, t, torch.ones(len(x_t)))
        return x0_hat.clamp(-1, 1) if clip else x0_hat

    return restore


def in_double_precision(scheduler, schedule: str):
    """Give a scheduler of diffusers our table in float64; that the tables agree is its own test."""
    scheduler.alphas_cumprod = noise_schedule(schedule, T)[0][1:].square()
    return scheduler


def compare(states: list[Step], expected: list[Tensor]) -> None:
    for step, x in zip(states[:-1], expected[:-1], strict=True):
        torch.testing.assert_close(step.x_t, x, rtol=1e-8, atol=1e-8, msg=lambda m, t=step.t: f"at t = {t}: {m}")
    torch.testing.assert_close(states[-1].x_t, expected[-1].clamp(-1, 1), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("schedule", SPACINGS)
def test_the_schedules_are_those_of_diffusers(schedule):
    alpha, _ = noise_schedule(schedule, T)
    theirs = DDPMScheduler(T, beta_schedule=SPACINGS[schedule]).alphas_cumprod.double().sqrt()
    torch.testing.assert_close(alpha[1:], theirs, rtol=2e-4, atol=1e-6)  # theirs is float32


@pytest.mark.parametrize(
    ("schedule", "prediction", "clip", "steps"),
    [*itertools.product(SPACINGS, PREDICTIONS, [False, True], [50]), ("linear", "eps", True, 1000)],
)
def test_ddim_equals_diffusers_at_every_step(schedule, prediction, clip, steps):
    process = hot(schedule, prediction)
    scheduler = DDIMScheduler(
        T, beta_schedule=SPACINGS[schedule], prediction_type=PREDICTIONS[prediction], clip_sample=clip,
        timestep_spacing="trailing",
    )  # fmt: skip
    in_double_precision(scheduler, schedule).set_timesteps(steps)
    x = torch.randn(2, *SMALL, dtype=torch.float64)
    states = list(reverse(process, restorer(process, clip), x, sampler="ddim", steps=steps))
    expected = [x]
    for t in scheduler.timesteps.tolist():
        x = scheduler.step(network(x, t), t, x, use_clipped_model_output=clip).prev_sample
        expected.append(x)
    assert [state.t for state in states[:-1]] == [t + 1 for t in scheduler.timesteps.tolist()]
    compare(states, expected)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_warm_with_eta_equals_ddim_with_eta(eta):
    process = hot("linear", "v")
    scheduler = DDIMScheduler(T, prediction_type="v_prediction", clip_sample=False, timestep_spacing="trailing")
    in_double_precision(scheduler, "linear").set_timesteps(40)
    x, draws = torch.randn(2, *SMALL, dtype=torch.float64), generator(0)
    states = list(reverse(process, restorer(process, False), x, eta=eta, steps=40, generator=generator(0)))
    expected = [x]
    for t in scheduler.timesteps.tolist():
        x = scheduler.step(network(x, t), t, x, eta=eta, generator=draws).prev_sample
        expected.append(x)
    compare(states, expected)


@pytest.mark.parametrize(
    ("schedule", "prediction", "clip"),
    [
        ("linear", "eps", False),
        ("linear", "eps", True),
        ("linear", "v", True),
        ("cosine", "v", False),
        ("cosine", "x0", True),
    ],
)
def test_ddpm_equals_diffusers_over_all_thousand_steps_with_the_same_noise(schedule, prediction, clip):
    process = hot(schedule, prediction)
    scheduler = DDPMScheduler(
        T, beta_schedule=SPACINGS[schedule], prediction_type=PREDICTIONS[prediction], clip_sample=clip,
        variance_type="fixed_small",
    )  # fmt: skip
    in_double_precision(scheduler, schedule).set_timesteps(T)
    x, draws = torch.randn(2, *SMALL, dtype=torch.float64), generator(0)
    states = list(reverse(process, restorer(process, clip), x, sampler="ddpm", generator=generator(0)))
    expected = [x]
    for t in scheduler.timesteps.tolist():
        x = scheduler.step(network(x, t), t, x, generator=draws).prev_sample
        expected.append(x)
    compare(states, expected)


def imperfect(x: Tensor, t: Tensor) -> Tensor:
    return torch.tanh(0.6 * x + 0.3 * x.roll(1, dims=3) + 0.01 * t[:, None, None, None])


@pytest.mark.parametrize("case", LINES, ids=name_of)
def test_algorithms_1_and_2_equal_the_paper(case):
    """Bansal et al. 2022: x_{s-1} = D(R(x_s, s), s-1); and x_{s-1} = x_s - D(R(x_s, s), s) + D(R(x_s, s), s-1)."""
    process = make_process(case)
    degrade, total = process.degradation, process.steps
    first = second = x_T = degrade(pictures(2), full(2, total))
    naive, improved = [x_T], [x_T]
    for s in range(total, 0, -1):
        first = degrade(imperfect(first, full(2, s)), full(2, s - 1))
        x0_hat = imperfect(second, full(2, s))
        second = second - degrade(x0_hat, full(2, s)) + degrade(x0_hat, full(2, s - 1))
        naive.append(first)
        improved.append(second)
    for sampler, expected in (("algorithm1", naive), ("algorithm2", improved)):
        states = list(reverse(process, imperfect, x_T, sampler=sampler, tau=0.0))
        for state, x in zip(states, expected, strict=True):
            x = x.clamp(-1, 1) if state.t == 0 else x
            torch.testing.assert_close(state.x_t, x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", [("blur", {}), ("mask", {})], ids=name_of)
def test_eta_1_is_the_momentum_sampler_with_the_noise_of_its_level(case):
    """Daras et al. 2022: z = x_t - (sigma_s^2 / sigma_t^2 - 1)(C_t x0_hat - x_t) + sqrt(sigma_t^2 - sigma_s^2) eps,
    x_s = z + C_s x0_hat - C_t x0_hat. What it carries is ours; its fresh noise is sigma_t / sigma_s times ours, so that
    x_s is noisier than the forward process at s, by less and less as steps grow small.
    """
    process = make_process(case, tau=(0.0, 1.0))
    draws, noise = generator(0), torch.randn(2, *process.shape)
    x_T = process(pictures(2), full(2, process.steps), torch.ones(2), noise)
    states = list(reverse(process, imperfect, x_T, eta=1.0, generator=generator(0)))
    for (t, x_t, x0_hat), (s, x_s, _) in itertools.pairwise(states[:-1]):
        after, before = (process.degradation(x0_hat, full(2, step)) for step in (s, t))
        ratio, noise = float(process.sigma[s] / process.sigma[t]), torch.randn(x_t.shape, generator=draws)
        noise = noise * float(process.sigma[t].square() - process.sigma[s].square()) ** 0.5
        momentum = x_t - (ratio**2 - 1) * (before - x_t) + noise + after - before
        torch.testing.assert_close(x_s, momentum - (1 - ratio) * noise, rtol=1e-5, atol=1e-5)


def test_ddim_on_the_flow_is_eulers_method():
    """x_s = x_t + (s - t) / T v, with the velocity v = (x_t - x0_hat) / (t / T)."""
    process = make_process(("scale", {"schedule": "flow"}), 20, SMALL)
    x = torch.randn(2, *SMALL, dtype=torch.float64)
    states = list(reverse(process, imperfect, x, sampler="ddim"))
    for t in range(20, 1, -1):
        velocity = (x - imperfect(x, full(2, t))) / (t / 20)
        x = x - velocity / 20
        torch.testing.assert_close(states[21 - t].x_t, x)


# Gaussian data N(0, c^2) have the posterior mean and the flow's solution in closed form:
# E[x0 | x_t] = alpha c^2 / (alpha^2 c^2 + sigma^2) x_t,  and  x_t / sqrt(alpha_t^2 c^2 + sigma_t^2) is constant.

C, LONG = 0.4, 3840


def errors(order: int, counts: list[int], at: int) -> list[float]:
    """Return the largest error at step `at` for several numbers of steps."""
    process = make_process(("scale", {"schedule": "flow"}), LONG, (1, 1, 9))
    alpha, sigma = process.degradation.table, process.sigma
    spread = (alpha**2 * C**2 + sigma**2).sqrt()

    def posterior_mean(x: Tensor, t: Tensor) -> Tensor:
        return (alpha[t] * C**2 / spread[t] ** 2)[:, None, None, None] * x

    x_T = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(1, 1, 1, 9)
    found = []
    for count in counts:
        states = reverse(process, posterior_mean, x_T, sampler="ddim", steps=count, order=order)
        x = {state.t: state.x_t for state in states}[at]
        found.append(float((x - x_T * spread[at] / spread[-1]).abs().max()))
    return found


@pytest.mark.parametrize(
    ("order", "at", "least"), [(1, LONG // 2, 0.9), (2, LONG // 2, 1.9), (1, 0, 0.95), (2, 0, 1.7)]
)
def test_samplers_converge_at_the_order_they_claim(order, at, least):
    """Halving the step divides the error by 2^order; at t = 0, order 2 is h^2 log(1/h), a little less."""
    counts = [40, 80, 160]
    found = errors(order, counts, at)
    rates = [math.log2(a / b) for a, b in zip(found, found[1:], strict=False)]
    assert all(least < rate < order + 0.15 for rate in rates), (found, rates)


def test_a_second_evaluation_is_worth_its_cost():
    """At the same number of evaluations, order 2 is closer to the exact solution."""
    assert errors(2, [20], 0)[0] < errors(1, [40], 0)[0]
