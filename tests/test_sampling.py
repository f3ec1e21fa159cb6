"""Laws of the reverse loop, on restorers whose answer is known."""

import math

import pytest
import torch
from cases import ALL, LINES, SCALES, SHAPE, draw, full, make, make_process, name_of, pictures

from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.consistency import fitted
from thaw.process import Process
from thaw.sampling import SAMPLERS, Step, coefficients, final, reverse, time_steps
from thaw.start import slerp

ROW = ("row", {"group": 4})
FLOW, LINEAR = ("scale", {"schedule": "flow"}), ("scale", {"schedule": "linear"})
SETTINGS = [
    {"sampler": "warm", "tau": tau, "eta": eta, "order": order}
    for tau in (0.0, 0.3, 1.0) for eta in (0.0, 0.5, 1.0) for order in (1, 2)
]  # fmt: skip
SETTINGS += [{"sampler": sampler, "tau": 0.0} for sampler in ("algorithm1", "algorithm2", "direct")]
SETTINGS += [{"sampler": sampler, "tau": tau} for sampler in ("ddpm", "ddim", "direct") for tau in (0.3, 1.0)]


def blur(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """A fixed, imperfect restorer."""
    time = t.to(x.dtype)[:, None, None, None] / 10
    return torch.tanh(0.6 * x + 0.3 * x.roll(1, dims=3) + 0.1 * torch.cos(time)).clamp(-1, 1)


def begin(process: Process, x0: torch.Tensor, tau: float, t: int | None = None) -> tuple:
    """Return (x_t, z) as the forward process makes them, at t = T by default."""
    t, n = process.steps if t is None else t, len(x0)
    z = process.degradation.draw_z(n, generator(0, "z"))
    noise = torch.randn(x0.shape, dtype=x0.dtype, generator=generator(0, "start"))
    return process(x0, full(n, t), torch.full((n,), tau), noise, z), z


def walk(process: Process, restore=blur, n: int = 3, seed: int = 0, **settings) -> list[Step]:
    x_T, z = begin(process, pictures(n), settings.get("tau", 1.0))
    return list(reverse(process, restore, x_T, z=z, generator=generator(seed), **settings))


@pytest.mark.parametrize(("low", "high"), [(0.0, 2.0), (0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (0.0, 0.0)])
def test_what_is_held_on_to_is_restored_as_hot_as_was_trained(low, high):
    """In one step as cold as was trained, by a cold sampler at 0; what suits no temperature at none."""
    for name, row in SAMPLERS.items():
        within = row.temperatures_within(low, high)
        expected = within and (low if name == "direct" else 0.0 if name.startswith("algorithm") else high)
        assert row.restores_at(low, high) == expected


@pytest.mark.parametrize("steps", [None, 1, 3])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("case", [FLOW, LINEAR, ROW, ("col", {"order": "edges-in"})], ids=name_of)
def test_an_oracle_restores_the_image_under_every_sampler(case, settings, steps):
    process, x0 = make_process(case), pictures(2)
    x_T, z = begin(process, x0, settings["tau"])
    trajectory = reverse(process, lambda x, t: x0, x_T, z=z, steps=steps, generator=generator(1), **settings)
    torch.testing.assert_close(final(trajectory), x0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("tau", [0.0, 0.5])
@pytest.mark.parametrize("case", ALL, ids=name_of)
def test_an_oracle_restores_half_degraded_images_of_every_degradation(case, tau):
    process, x0 = make_process(case), pictures(2)
    start = max(1, process.steps // 2)
    x_t, z = begin(process, x0, tau, start)
    states = list(reverse(process, lambda x, t: x0, x_t, z=z, tau=tau, start=start, generator=generator(1)))
    assert states[0].t == start
    torch.testing.assert_close(states[-1].x_t, x0, rtol=0, atol=1e-6)


@pytest.mark.parametrize("tau", [0.3, 1.0])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("case", [FLOW, LINEAR, ("scale", {"schedule": "cosine"}), ROW], ids=name_of)
def test_every_state_has_the_noise_level_of_its_step(case, eta, tau):
    """x_s - D_s(x0) has standard deviation tau sigma_s: warm sampling stays on the forward process."""
    process, x0 = make_process(case), pictures(16)
    x_T, _ = begin(process, x0, tau)
    for t, x_t, _ in reverse(process, lambda x, t: x0, x_T, tau=tau, eta=eta, generator=generator(1)):
        noise = x_t - process.degradation(x0, full(16, t))
        assert noise.std().item() == pytest.approx(tau * float(process.sigma[t]), rel=0.04, abs=1e-6)
        assert noise.mean().item() == pytest.approx(0, abs=0.04 * tau)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("case", [*SCALES, LINES[0]], ids=name_of)
def test_old_and_fresh_noise_add_up_to_the_noise_of_the_next_step(case, eta):
    """kappa^2 (tau sigma_t)^2 + nu^2 = (tau sigma_s)^2"""
    process, tau = make_process(case), 0.7
    for t in range(1, process.steps + 1):
        for s in range(t):
            kappa, nu = coefficients(process, "warm", t, s, tau, eta)
            before, after = (tau * float(process.sigma[step]) for step in (t, s))
            assert kappa * kappa * before**2 + nu * nu == pytest.approx(after**2, abs=1e-12)
            drawn = before == 0 < after  # a bridge begins without noise
            assert (nu == 0) if (eta == 0 and not drawn) or s == 0 else (0 < nu <= after)


@pytest.mark.parametrize("case", SCALES, ids=name_of)
def test_full_eta_is_the_posterior_of_the_noise(case):
    """Ho et al. 2020, equation 7: the noise added from s to t, times sigma_s / sigma_t."""
    process = make_process(case)
    alpha, sigma = process.degradation.table.tolist(), process.sigma.tolist()
    for t in (t for t in range(2, process.steps + 1) if sigma[t]):
        s = t - 1
        of_step = sigma[t] ** 2 - (alpha[t] / alpha[s]) ** 2 * sigma[s] ** 2  # noise added from s to t
        expected = math.sqrt(of_step) * sigma[s] / sigma[t]
        assert coefficients(process, "ddpm", t, s, 1.0)[1] == pytest.approx(expected)
        assert coefficients(process, "warm", t, s, 1.0, 0.5)[1] == pytest.approx(expected / 2)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("case", [ROW, FLOW], ids=name_of)
def test_warm_without_temperature_is_algorithm_2_to_the_bit(case, eta):
    process = make_process(case)
    warm = walk(process, sampler="warm", tau=0.0, eta=eta)
    cold = walk(process, sampler="algorithm2", tau=0.0)
    assert all(torch.equal(a.x_t, b.x_t) for a, b in zip(warm, cold, strict=True))


@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", 1.0), ("ddim", 0.0)])
def test_ddpm_and_ddim_are_rows_of_warm_whatever_eta_says(sampler, eta):
    process = make_process(LINEAR)
    named, warm = walk(process, sampler=sampler, eta=0.3), walk(process, sampler="warm", eta=eta)
    assert all(torch.equal(a.x_t, b.x_t) for a, b in zip(named, warm, strict=True))


@pytest.mark.parametrize("sampler", ["algorithm1", "algorithm2", "direct", "ddim"])
def test_deterministic_samplers_ignore_the_generator(sampler):
    process, tau = make_process(ROW), float(sampler == "ddim")
    assert torch.equal(
        walk(process, sampler=sampler, tau=tau, seed=1)[-1].x_t, walk(process, sampler=sampler, tau=tau, seed=2)[-1].x_t
    )


def test_the_same_seed_gives_the_same_images_and_another_seed_others():
    process = make_process(ROW)
    first, again, other = (walk(process, seed=seed)[-1].x_t for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_direct_takes_one_step_and_returns_the_restoration():
    process = make_process(ROW)
    states = walk(process, sampler="direct", steps=5)
    assert [state.t for state in states] == [7, 0]
    assert torch.equal(states[-1].x_t, states[0].x0_hat)


@pytest.mark.parametrize(("order", "expected"), [(1, [5, 4, 2, 1]), (2, [5, 4, 4, 2, 2, 1, 1])])
def test_evaluations_are_one_a_step_or_two_with_the_corrector_but_for_the_last(order, expected):
    asked = []

    def counting(x, t):
        asked.extend(t[:1].tolist())
        return blur(x, t)

    walk(make_process(ROW, steps=5), counting, steps=4, order=order)
    assert asked == expected


def test_steps_go_evenly_from_the_last_to_zero():
    assert time_steps(5) == [5, 4, 3, 2, 1, 0]
    assert time_steps(1000, 4) == [1000, 750, 500, 250, 0]
    for total, count in ((28, 9), (1000, 28), (7, 7), (1, 1)):
        steps = time_steps(total, count)
        assert steps[0] == total and steps[-1] == 0 and len(set(steps)) == count + 1
        gaps = [a - b for a, b in zip(steps, steps[1:], strict=False)]
        assert max(gaps) - min(gaps) <= 1


def test_the_caller_sees_every_state_and_the_start_is_left_alone():
    process = make_process(ROW)
    x_T, z = begin(process, pictures(2), 1.0)
    before = x_T.clone()
    states = list(reverse(process, blur, x_T, z=z, generator=generator(0)))
    assert [state.t for state in states] == list(range(7, -1, -1))
    assert torch.equal(states[0].x_t, before) and torch.equal(x_T, before)
    assert torch.equal(states[0].x0_hat, blur(x_T, full(2, 7)))
    assert torch.equal(states[-1].x_t, states[-1].x0_hat) and states[-1].x_t.abs().max() <= 1


def test_the_last_state_is_clamped_to_the_range_of_pixels():
    states = walk(make_process(ROW), lambda x, t: torch.full_like(x, 3.0), sampler="direct")
    assert (states[-1].x_t == 1).all()


@pytest.mark.parametrize(
    ("range_", "settings", "named"),
    [
        ((0.0, 1.0), {"sampler": "euler"}, "euler.*" + ".*".join(SAMPLERS)),
        ((0.2, 0.8), {"tau": 0.1}, "0.2 to 0.8.*0.1"),
        ((0.2, 0.8), {"tau": 1.0}, "0.2 to 0.8.*tau=1"),
        ((0.0, 1.0), {"sampler": "algorithm1", "tau": 0.5}, "algorithm1.*cold.*0.5"),
        ((0.0, 1.0), {"sampler": "algorithm2", "tau": 0.5}, "algorithm2.*cold.*0.5"),
        ((0.0, 1.0), {"sampler": "ddpm", "tau": 0.0}, "ddpm.*noise"),
        ((0.0, 1.0), {"sampler": "ddim", "tau": 0.0}, "ddim.*noise"),
        ((0.0, 1.0), {"eta": 1.5}, "eta.*1.5"),
        ((0.0, 1.0), {"order": 3}, "order.*3"),
        ((0.0, 1.0), {"steps": 8}, "T=7.*8"),
        ((0.0, 1.0), {"steps": 0}, "T=7.*0"),
        ((0.0, 1.0), {"start": 8}, "T=7.*8"),
        ((0.0, 1.0), {"start": 0}, "T=7.*0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(range_, settings, named):
    process = make_process(ROW, tau=range_)
    with pytest.raises(ThawError, match=named):
        list(reverse(process, blur, torch.zeros(1, *SHAPE), **{"tau": 0.5, **settings}))


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("case", [(name, {}) for name in ("row", "col", "mask", "zoom_nearest", "zoom_bilinear")]
                         + [("pixelate", {}), ("blur", {})], ids=name_of)  # fmt: skip
def test_any_guess_is_moved_to_where_a_linear_degradation_makes_of_it_what_was_measured(case, share):
    """At T, and of projections at any step, to 1e-3 in every pixel; what fits already stays; all within [-1, 1]."""
    degradation = make(case)
    t = full(3, round(share * degradation.steps))
    x0, guess = pictures(3), pictures(3, seed=1)
    measured = degradation(x0, t)
    found = fitted(guess, lambda x: degradation(x, t), measured, rounds=6, iterations=20)
    missed = (degradation(found, t) - measured).abs()
    exact = share == 1.0 or case[0] in ("row", "col", "mask", "zoom_nearest")
    assert missed.max() < 1e-3 if exact else missed.square().mean().sqrt() < 0.02
    assert found.abs().max() <= 1
    torch.testing.assert_close(fitted(x0, lambda x: degradation(x, t), measured), x0, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["fade", "snow", "eraser", "morph"])
def test_a_guess_is_fitted_to_what_depends_on_z_too(name):
    degradation = make((name, {"data": "digits"} if name == "morph" else {}))
    t, z, x0 = full(3, degradation.steps // 3), draw(degradation, 3), pictures(3)
    measured = degradation(x0, t, z)
    found = fitted(pictures(3, seed=1), lambda x: degradation(x, t, z), measured, rounds=6, iterations=20)
    assert (degradation(found, t, z) - measured).square().mean().sqrt() < 0.02


def test_what_has_no_gradient_moves_nothing():
    guess, measured = pictures(2), pictures(2, seed=1)
    for degrade in (lambda x: torch.zeros_like(x), lambda x: x.detach().sign()):
        assert torch.equal(fitted(guess, degrade, measured), guess)


def test_what_is_certain_moves_least_where_a_guess_is_fitted():
    """A row's mean is too low: its grey pixel brightens, its black ones hardly."""
    rows = make(("row", {}))
    guess = torch.full((1, *SHAPE), -1.0)
    guess[..., 14] = 0.0
    moved = fitted(guess, lambda x: rows(x, full(1, 28)), rows(guess, full(1, 28)) + 0.02, rounds=2) - guess
    assert moved[..., 14].min() > 10 * moved[..., :14].max() > 0


def test_slerp_meets_its_ends_and_keeps_the_strength_of_noise():
    one, other = (torch.randn(5, 1, 28, 28, generator=generator(seed)) for seed in (0, 1))
    weight = torch.linspace(0, 1, 5)
    between = slerp(one, other, weight)
    torch.testing.assert_close(between[0], one[0])
    torch.testing.assert_close(between[-1], other[-1])
    radius = torch.lerp(one.flatten(1).norm(dim=1), other.flatten(1).norm(dim=1), weight)
    torch.testing.assert_close(between.flatten(1).norm(dim=1), radius, rtol=0.03, atol=0)
    torch.testing.assert_close(slerp(one, one, weight), one)
    torch.testing.assert_close(slerp(one, 2 * one, weight), one * (1 + weight)[:, None, None, None])


def test_slerp_turns_by_equal_angles():
    one, other = torch.tensor([[1.0, 0.0]]).expand(3, 2), torch.tensor([[0.0, 1.0]]).expand(3, 2)
    third = math.pi / 6
    expected = [[math.cos(k * third), math.sin(k * third)] for k in (1, 2, 3)]
    torch.testing.assert_close(slerp(one, other, torch.tensor([1, 2, 3]) / 3), torch.tensor(expected))
