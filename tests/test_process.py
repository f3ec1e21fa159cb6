"""Laws of the forward process and of what the network predicts."""

import pytest
import torch
from cases import ALL, SHAPE, full, make, make_process, name_of, pictures
from torch import nn

from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.process import Draws, Process
from thaw.schedules import noise_schedule

ROW = ("row", {"group": 4})
HOT = [
    (("scale", {"schedule": schedule}), prediction)
    for schedule, predictions in {
        "linear": ("x0", "eps", "v"), "cosine": ("x0", "eps", "v"), "flow": ("x0", "v"),
    }.items()
    for prediction in predictions
]  # fmt: skip
hot = pytest.mark.parametrize(("case", "prediction"), HOT, ids=lambda value: name_of(value) or value)


class Oracle(nn.Module):
    """Outputs the right answer for known draws, plus an error."""

    def __init__(self, process: Process, x0: torch.Tensor, draws: Draws, error: torch.Tensor | float = 0.0):
        super().__init__()
        self.answer = process.target(x0, draws.t, draws.tau, draws.noise) + error

    def forward(self, x, time, tau, y):
        return self.answer


@pytest.mark.parametrize("case", ALL, ids=name_of)
def test_at_step_zero_the_image_is_clean_at_any_temperature(case):
    process, x0 = make_process(case), pictures(3)
    z = process.degradation.draw_z(3, generator(0, "z"))
    x_0 = process(x0, full(3, 0), torch.tensor([0.0, 0.5, 1.0]), torch.randn_like(x0), z)
    assert torch.equal(x_0, x0)


@pytest.mark.parametrize("case", ALL, ids=name_of)
def test_the_forward_process_is_degradation_plus_noise(case):
    """x_t = D_t(x0; z) + tau sigma_t eps"""
    process = make_process(case)
    n = process.steps + 1
    x0, t, tau, noise = pictures(n), torch.arange(n), torch.rand(n), torch.randn(n, *SHAPE)
    z = process.degradation.draw_z(n, generator(0, "z"))
    clean, x_t = process.degradation(x0, t, z), process(x0, t, tau, noise, z)
    sigma = noise_schedule(case[1].get("schedule", "flow"), process.steps)[1]
    for i in range(n):
        torch.testing.assert_close(x_t[i], clean[i] + float(tau[i]) * float(sigma[i]) * noise[i])


@pytest.mark.parametrize("case", ALL, ids=name_of)
def test_mixed_precision_of_the_network_does_not_touch_the_forward_process(case):
    """Training makes x_t under autocast, sampling does not: both must see the same images to the bit."""
    process, x0 = make_process(case), pictures(3)
    z = process.degradation.draw_z(3, generator(0, "z"))
    arguments = (x0, full(3, process.steps), torch.ones(3), torch.randn_like(x0), z)
    expected = process(*arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(process(*arguments), expected)


def test_a_cold_process_adds_no_noise():
    process, x0, t = make_process(ROW), pictures(8), torch.arange(8)
    x_t = process(x0, t, torch.zeros(8), torch.randn_like(x0))
    assert torch.equal(x_t, process.degradation(x0, t))


@hot
def test_predict_inverts_the_target(case, prediction):
    process = make_process(case, steps=30, prediction=prediction, tau=(0.1, 1.0))
    t = torch.arange(1, 31).repeat(3)
    tau = torch.tensor([0.1, 0.7, 1.0], dtype=torch.float64).repeat_interleave(30)
    x0, noise = pictures(90).double(), torch.randn(90, *SHAPE, dtype=torch.float64)
    x_t = process(x0, t, tau, noise)
    x0_hat = process.predict(process.target(x0, t, tau, noise), x_t, t, tau)
    torch.testing.assert_close(x0_hat, x0, rtol=0, atol=1e-5 if prediction == "eps" else 1e-10)


def test_targets_are_those_of_the_papers():
    x0, noise, t, tau = pictures(5), torch.randn(5, *SHAPE), torch.arange(1, 6), torch.ones(5)
    alpha, sigma = (table[1:6].float()[:, None, None, None] for table in noise_schedule("linear", 5))
    targets = {"x0": x0, "eps": noise, "v": alpha * noise - sigma * x0}
    for prediction, target in targets.items():
        process = make_process(("scale", {"schedule": "linear"}), 5, prediction=prediction, tau=(1.0, 1.0))
        torch.testing.assert_close(process.target(x0, t, tau, noise), target)


def test_steps_are_drawn_evenly_from_one_to_the_last_inclusive():
    process = make_process(ROW)
    t = process.draw(7000, generator(0)).t
    assert t.dtype == torch.int64 and t.min() == 1 and t.max() == process.steps == 7
    assert torch.bincount(t)[1:].min() > 850


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.25, 0.75), (0.3, 0.3)])
def test_temperatures_fill_their_range_with_a_sixth_at_either_end(low, high):
    process = make_process(ROW, tau=(low, high))
    tau = process.draw(6000, generator(0)).tau
    assert tau.min() >= low - 1e-7 and tau.max() <= high + 1e-7
    if low < high:
        at_ends = [(tau - end).abs().lt(1e-6).double().mean().item() for end in (low, high)]
        assert at_ends == pytest.approx([1 / 6, 1 / 6], abs=0.02)
        inside = tau[(tau > low + 1e-6) & (tau < high - 1e-6)]
        assert inside.mean().item() == pytest.approx((low + high) / 2, abs=0.02)


def test_the_ends_zero_and_one_are_drawn_exactly():
    tau = make_process(ROW, tau=(0.0, 1.0)).draw(1000, generator(0)).tau
    assert (tau == 0).any() and (tau == 1).any()


def test_noise_is_standard_normal_and_everything_follows_the_generator():
    process = make_process(ROW)
    first, second, other = (process.draw(64, generator(seed)) for seed in (0, 0, 1))
    for a, b, c in zip(first[:3], second[:3], other[:3], strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)
    assert first.noise.shape == (64, *SHAPE)
    assert first.noise.mean().abs() < 0.02 and (first.noise.std() - 1).abs() < 0.02


def test_what_is_seen_is_drawn_beside_the_rest_and_never_less_degraded_than_x_t():
    plain, seeing = make_process(ROW), make_process(ROW, observed=0.8)
    before, draws = (process.draw(6000, generator(0)) for process in (plain, seeing))
    assert before.seen is None
    assert all(torch.equal(a, b) for a, b in zip(before[:3], draws[:3], strict=True))
    seen, t, T = draws.seen, draws.t, seeing.steps
    assert ((seen == 0) | ((seen >= t) & (seen <= T))).all()
    assert (seen > 0).double().mean().item() == pytest.approx(0.8, abs=0.02)
    at_end = (seen == T)[(seen > 0) & (t == 1)].double().mean().item()
    assert at_end == pytest.approx(0.5 + 0.5 / T, abs=0.05)


def test_what_is_seen_is_the_degraded_picture_without_noise_or_nothing():
    process, x0, seen = make_process(ROW, observed=0.5), pictures(4), torch.tensor([0, 2, 7, 0])
    found = process.observation(x0, seen)
    assert torch.equal(found[1:3], process.degradation(x0, seen)[1:3]) and not found[[0, 3]].any()
    handed: list = []

    def network(x_t, time, tau, y, *more):
        handed.extend(more)
        return x_t

    for one in (process, make_process(ROW)):
        draws = one.draw(4, generator(0))
        one.loss(network, x0, full(4, 0), draws)
    assert len(handed) == 1 and torch.equal(handed[0], process.observation(x0, process.draw(4, generator(0)).seen))


def test_the_network_is_told_the_share_of_the_steps():
    time = make_process(ROW).time(torch.arange(8))
    assert time.dtype == torch.float32
    torch.testing.assert_close(time, torch.arange(8) / 7)


@hot
@pytest.mark.parametrize("weight", ["uniform", "min_snr"])
def test_an_oracle_network_has_no_loss(case, prediction, weight):
    process = make_process(case, prediction=prediction, tau=(0.2, 1.0), loss_weight=weight)
    x0, draws = pictures(16), process.draw(16, generator(0))
    assert process.loss(Oracle(process, x0, draws), x0, full(16, 0), draws) == 0


@hot
def test_the_uniform_loss_is_the_mean_squared_error_of_the_output(case, prediction):
    process = make_process(case, prediction=prediction, tau=(0.2, 1.0))
    x0, draws, error = pictures(16), process.draw(16, generator(0)), torch.randn(16, *SHAPE)
    loss = process.loss(Oracle(process, x0, draws, error), x0, full(16, 0), draws)
    torch.testing.assert_close(loss, error.square().mean())


@hot
def test_min_snr_weighs_the_error_of_the_restored_image_whatever_is_predicted(case, prediction):
    """Hang et al. 2023: min(snr, 5) |x0_hat - x0|^2, with snr = (alpha / tau sigma)^2."""
    process = make_process(case, prediction=prediction, tau=(0.2, 1.0), loss_weight="min_snr")
    x0, draws, error = pictures(16).double(), process.draw(16, generator(0)), torch.randn(16, *SHAPE).double()
    draws = Draws(draws.t, draws.tau.double(), draws.noise.double(), None)
    oracle = Oracle(process, x0, draws, error)
    x0_hat = process.predict(oracle.answer, process(x0, *draws[:4]), draws.t, draws.tau)
    alpha, level = process.degradation.alpha(draws.t), draws.tau * process.sigma[draws.t]
    expected = (x0_hat - x0).square().mean(dim=(1, 2, 3)) * (alpha / level).square().clamp(max=5)
    torch.testing.assert_close(process.loss(oracle, x0, full(16, 0), draws), expected.mean(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("case", "options", "named"),
    [
        (("scale", {"schedule": "flow"}), {"prediction": "eps", "tau": (1.0, 1.0)}, "eps"),
        (ROW, {"prediction": "v", "tau": (1.0, 1.0)}, "'v'.*x0"),
        (ROW, {"prediction": "eps", "tau": (1.0, 1.0)}, "'eps'.*x0"),
        (ROW, {"prediction": "score"}, "score"),
        (ROW, {"loss_weight": "heavy"}, "heavy"),
        (ROW, {"loss_weight": "min_snr", "tau": (0.0, 1.0)}, "noise"),
        (("scale", {"schedule": "flow"}), {"prediction": "v", "tau": (0.0, 1.0)}, "noise"),
        (ROW, {"tau": (0.6, 0.4)}, "0.6"),
        (ROW, {"tau": (-0.1, 0.4)}, "-0.1"),
        (ROW, {"tau": (0.0, 4.1)}, "4.1"),
    ],
)
def test_processes_that_cannot_work_are_refused(case, options, named):
    with pytest.raises(ThawError, match=named):
        make_process(case, **options)


@pytest.mark.parametrize("sigma", [torch.arange(7) / 6, torch.arange(1, 9) / 8], ids=["too short", "not from 0"])
def test_a_noise_table_must_fit_the_steps_and_start_at_zero(sigma):
    with pytest.raises(ThawError, match="8 entries"):
        Process(make(ROW), sigma)


@pytest.mark.parametrize(
    ("x0", "named"),
    [
        (torch.zeros(2, *SHAPE, dtype=torch.uint8), "uint8"),
        (torch.zeros(2, 28, 28), "2, 28, 28"),
        (torch.zeros(2, 3, 28, 28), "2, 3, 28, 28"),
        (torch.zeros(2, 1, 28, 27), "2, 1, 28, 27"),
    ],
    ids=["uint8", "no channel", "colour", "too narrow"],
)
def test_images_of_the_wrong_kind_are_refused(x0, named):
    with pytest.raises(ThawError, match=named):
        make_process(ROW)(x0, full(2, 1), torch.ones(2), torch.zeros_like(x0))
