"""A model: sampling, restoration and labels."""

from dataclasses import replace

import pytest
import torch
from cases import full, pictures

from thaw.base.errors import ThawError
from thaw.data import load
from thaw.degradations import Degradation, register
from thaw.experiment.build import sampled_as
from thaw.experiment.config import make_config, override
from thaw.play.restoring import restorations
from thaw.sampling import Sampling
from thaw.training.loop import train


def test_the_same_call_twice_gives_the_same_images(warm_rows):
    y = warm_rows.labels(12)
    first, again = (warm_rows.sample(y, seed=3) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (12, 1, 28, 28) and first.dtype == torch.float32 and first.abs().max() <= 1


def test_another_seed_gives_other_images(warm_rows):
    y = warm_rows.labels(12)
    assert not torch.equal(warm_rows.sample(y, seed=3), warm_rows.sample(y, seed=4))


def test_batches_of_one_call_draw_different_images(warm_rows):
    images = warm_rows.sample(torch.zeros(4).long(), batch=2)
    assert images.shape[0] == 4 and not torch.equal(images[:2], images[2:])


@pytest.mark.parametrize("settings", [{}, {"sampler": "algorithm2"}, {"eta": 0.0, "order": 2}, {"guidance": 2.0}])
def test_sampling_leaves_the_global_random_numbers_alone(warm_rows, settings):
    before = torch.get_rng_state()
    warm_rows.sample(warm_rows.labels(4), **settings)
    assert torch.equal(torch.get_rng_state(), before)


def test_sampling_leaves_the_weights_alone_and_needs_no_gradients(warm_rows):
    before = {key: value.clone() for key, value in warm_rows.network.state_dict().items()}
    images = warm_rows.sample(warm_rows.labels(4))
    assert not images.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in warm_rows.network.state_dict().items())


@pytest.mark.parametrize("sampler", ["warm", "ddpm", "ddim", "algorithm1", "algorithm2", "direct"])
def test_every_sampler_draws_images_of_pixels(warm_rows, sampler):
    images = warm_rows.sample(warm_rows.labels(5), sampler=sampler)
    assert images.shape == (5, 1, 28, 28) and images.abs().max() <= 1


def test_settings_left_out_come_from_the_configuration(warm_rows):
    y, config = warm_rows.labels(4), warm_rows.config
    named = {"sampler": config.sampler, "tau": config.sample_tau, "eta": config.eta, "steps": config.sample_steps}
    assert torch.equal(warm_rows.sample(y), warm_rows.sample(y, **named, guidance=config.guidance))
    assert [step.t for step in warm_rows.trajectory(y)] == [7, 5, 2, 0]


def test_cold_samplers_are_cold_unless_told_otherwise(warm_rows):
    y = warm_rows.labels(4)
    assert torch.equal(warm_rows.sample(y, sampler="algorithm2"), warm_rows.sample(y, sampler="warm", tau=0.0))
    with pytest.raises(ThawError, match="cold"):
        warm_rows.sample(y, sampler="algorithm2", tau=0.5)


def test_steps_are_limited_by_the_total_where_the_configuration_asks_for_more(tiny):
    model = tiny(steps=5, sample_steps=28)
    assert [step.t for step in model.trajectory(model.labels(2))] == [5, 4, 3, 2, 1, 0]
    with pytest.raises(ThawError, match="T=5"):
        model.sample(model.labels(2), steps=6)


def test_the_class_that_is_asked_for_changes_the_image(warm_rows):
    zeros, ones = (warm_rows.sample(full(4, digit), tau=1.0) for digit in (0, 1))
    assert not torch.equal(zeros, ones)


def test_guidance_goes_from_the_null_class_through_the_class_and_beyond(tiny):
    """u + w (c - u): w = 0 is unconditional, w = 1 conditional and off."""
    model = tiny()
    x_t, t, y, ones = pictures(3), full(3, 5), torch.arange(3), torch.ones(3)
    with torch.no_grad():
        c, u = (model.network(x_t, model.process.time(t), ones, labels) for labels in (y, full(3, 10)))
    for w in (0.0, 0.5, 1.0, 3.0):
        expected = (u + w * (c - u)).clamp(-1, 1)
        torch.testing.assert_close(model.restorer(y, Sampling(guidance=w))(x_t, t), expected)
    assert (c - u).abs().max() > 0.01


def test_one_restoration_costs_one_evaluation_and_two_with_guidance(tiny):
    model, calls = tiny(), []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    for w, expected in ((1.0, 1), (2.0, 2)):
        calls.clear()
        model.restorer(torch.arange(3), Sampling(guidance=w))(pictures(3), full(3, 5))
        assert len(calls) == expected


def test_guidance_acts_in_its_interval_only(tiny):
    """Outside, a restoration is that of the class alone, at half the cost; the ends belong to it."""
    model, calls, y = tiny(), [], torch.arange(3)
    model.network.register_forward_hook(lambda *_: calls.append(1))
    for t in (1, 2, 5, 8, 9):
        guided, plain = model.restorer(y, Sampling(guidance=2.0)), model.restorer(y, Sampling())
        within = model.restorer(y, Sampling(guidance=2.0, guidance_interval=(0.2, 0.8)))
        assert torch.equal(within(pictures(3), full(3, t)), (guided if 2 <= t <= 8 else plain)(pictures(3), full(3, t)))
    calls.clear()
    model.sample(y, steps=10, guidance=2.0, guidance_interval=(0.2, 0.8))
    assert len(calls) == 10 + 7
    settings = {"guidance": 2.0, "guidance_interval": (0.2, 0.8), "sample_steps": 10}
    narrow = sampled_as(model, override(model.config, settings))
    assert narrow.sampling.evaluations(narrow.process) == 17
    assert torch.equal(narrow.sample(y), model.sample(y, steps=10, guidance=2.0, guidance_interval=(0.2, 0.8)))
    with pytest.raises(ThawError, match=r"guidance_interval must satisfy .* got \(0.8, 0.2\)"):
        model.sample(y, guidance=2.0, guidance_interval=(0.8, 0.2))


def test_labels_go_round_the_classes_or_stay_on_one(tiny):
    model = tiny()
    assert model.labels(12).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert model.labels(3, 7).tolist() == [7, 7, 7]
    for digit in (-1, 10, 11):
        with pytest.raises(ThawError, match=f"digit must be between 0 and 9, got {digit}"):
            model.labels(3, digit)


def test_a_label_that_is_no_class_is_refused_wherever_it_is_given(warm_rows):
    """The null class, K, is one where it is meant: in a tensor of labels."""
    x, weights = pictures(2), torch.linspace(0, 1, 2)
    calls = {
        "sample": lambda y: warm_rows.sample(y),
        "trajectory": lambda y: warm_rows.trajectory(y),
        "restore": lambda y: warm_rows.restore(x, 5, y=y),
        "interpolate": lambda y: warm_rows.interpolate(y, weights),
        "inpaint": lambda y: warm_rows.inpaint(x, x > 0, y),
        "start": lambda y: warm_rows.start(y, torch.Generator()),
    }
    for call in calls.values():
        call(torch.tensor([0, 10]))
        for wrong, said in (([3, 11], "got 11"), ([-1, 3], "got -1"), ([0.5, 1.0], "whole numbers.*float32")):
            with pytest.raises(ThawError, match=said):
                call(torch.tensor(wrong))
    with pytest.raises(ThawError, match="between 0 and 9, got 10"):
        next(warm_rows.blend((3, 10)))
    with pytest.raises(ThawError, match="between 0 and 9, got 10"):
        list(restorations(warm_rows, x[:1], 5, label=10))
    unlabelled = replace(warm_rows, classes=0)
    assert unlabelled.labels(3).tolist() == [0, 0, 0]
    with pytest.raises(ThawError, match="knows no classes; leave the digit 0 out"):
        unlabelled.labels(3, 0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.labels(0), "at least one image is drawn, got n=0"),
        (lambda m: m.labels(-1), "got n=-1"),
        (lambda m: m.labels(2, 1.5), "digit must be between 0 and 9, got 1.5"),
        (lambda m: m.labels(2, "3"), "digit must be between 0 and 9, got 3"),
        (lambda m: m.sample(torch.zeros(0).long()), "labels are whole numbers"),
        (lambda m: m.sample(m.labels(2), steps=1.5), "sampling takes between 1 and T=7 steps, got 1.5"),
        (lambda m: m.sample(m.labels(2), guidance=-3.0), "guidance must be 0 or more, got -3.0"),
        (lambda m: m.sample(m.labels(2), guidance=float("nan")), "guidance must be 0 or more, got nan"),
        (lambda m: m.restore(pictures(3), 5, y=m.labels(2)), "3 pictures take as many labels, got 2"),
        (
            lambda m: m.restore(torch.zeros(2, 1, 8, 8), 5),
            r"expected images of shape \(B, 1, 28, 28\), got \(2, 1, 8, 8\)",
        ),
        (lambda m: m.restore(pictures(2).byte(), 5), "images must be floats"),
        (lambda m: list(restorations(m, pictures(2), 5)), r"expected images of shape \(1, 1, 28, 28\)"),
    ],
    ids=range(12),
)
def test_what_cannot_be_drawn_or_restored_is_said(warm_rows, call, said):
    with pytest.raises(ThawError, match=said):
        call(warm_rows)


def test_the_start_has_the_noise_of_its_temperature(warm_rows):
    y, process = full(200, 3), warm_rows.process
    start = warm_rows.start(y, torch.Generator().manual_seed(0))
    cold, warm = warm_rows.begin(start, 0.0), warm_rows.begin(start, 0.6)
    assert torch.equal(process.degradation(cold, full(200, 7)), cold)
    assert (warm - cold).std().item() == pytest.approx(0.6 * float(process.sigma[-1]), rel=0.02)


def test_restoration_follows_its_seed_when_warm_and_needs_none_when_cold(warm_rows):
    x_t = warm_rows.process.degradation(load("digits", "test").pixels(slice(0, 4)), full(4, 5))
    cold, cold_again = (warm_rows.restore(x_t, 5, seed=seed) for seed in (0, 1))
    assert torch.equal(cold, cold_again)
    warm, again, other = (warm_rows.restore(x_t, 5, tau=0.5, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(warm, again) and not torch.equal(warm, other)
    assert warm.shape == x_t.shape and warm.abs().max() <= 1


@pytest.mark.parametrize("settings", [{}, {"tau": 0.5}, {"sampler": "direct"}, {"sampler": "algorithm1"}], ids=str)
def test_consistent_restorations_degrade_to_what_was_given(warm_rows, settings):
    degradation, x0 = warm_rows.process.degradation, load("digits", "test").pixels(slice(0, 4))
    for t in (4, 7):
        x_t = degradation(x0, full(4, t))
        found = warm_rows.restore(x_t, t, consistent=True, **settings)
        missed = [(degradation(x, full(4, t)) - x_t).square().mean().sqrt() for x in
                  (found, warm_rows.restore(x_t, t, **settings))]  # fmt: skip
        assert missed[0] < 0.01 < missed[1] and found.abs().max() <= 1


def test_without_a_gradient_a_guess_is_moved_nowhere(warm_rows, monkeypatch):
    """By NumPy, say, which takes no tensor that has one."""
    degradation, x0 = warm_rows.process.degradation, load("digits", "test").pixels(slice(0, 4))
    x_t, forward = degradation(x0, full(4, 7)), degradation.forward
    alone = warm_rows.restore(x_t, 7)
    monkeypatch.setattr(degradation, "forward", lambda x0, *a, **k: forward(torch.from_numpy(x0.numpy()), *a, **k))
    assert torch.equal(warm_rows.restore(x_t, 7, consistent=True), alone)


def test_classes_that_are_not_told_are_inferred_from_what_survives(warm_rows):
    """The likeliest, or drawn where seeds are to differ; only at T, and only where none is told."""
    images = load("digits", "test").subset(200, 0)
    x_T = warm_rows.process.degradation(images.pixels(), full(200, 7))
    p = warm_rows.posterior(x_T)
    likeliest = p.argmax(dim=1)
    assert (likeliest == images.labels).double().mean() > 0.4
    torch.testing.assert_close(p.sum(dim=1), torch.ones(200).double())
    told, inferred = ({"y": likeliest[:4]}, {"infer": True})
    assert torch.equal(*(warm_rows.restore(x_T[:4], 7, **way) for way in (told, inferred)))
    one, other = (warm_rows.restore(x_T[:4], 7, infer=True, tau=0.5, seed=seed) for seed in (0, 1))
    assert not torch.equal(one, other)
    each = [warm_rows.restore(x_T[:4], 7, y=full(4, k), sampler="direct") for k in range(10)]
    mean = sum(p[:4, k, None, None, None] * x for k, x in enumerate(each)).float()
    torch.testing.assert_close(warm_rows.restore(x_T[:4], 7, infer=True, sampler="direct"), mean, rtol=0, atol=1e-5)
    for wrong, named in (({"t": 5}, "at T=7.*t=5"), ({"t": 7, "y": likeliest[:4]}, "classes that were told")):
        with pytest.raises(ThawError, match=named):
            warm_rows.restore(x_T[:4], infer=True, **wrong)
    with pytest.raises(ThawError, match="not told the class"):
        replace(warm_rows, conditional=False).posterior(x_T)


def test_interpolation_goes_from_one_start_to_the_other(warm_rows):
    y, weights = full(5, 3), torch.linspace(0, 1, 5)
    images = warm_rows.interpolate(y, weights, seeds=(4, 9), tau=0.7)
    for end, seed in ((0, 4), (-1, 9)):
        alone = warm_rows.sample(full(1, 3), seed=seed, tau=0.7, eta=0.0)
        torch.testing.assert_close(images[end], alone[0], rtol=0, atol=2e-3)  # batches of another size round otherwise
    again = warm_rows.interpolate(y, weights, seeds=(4, 9), tau=0.7)
    assert torch.equal(images, again)
    assert len(torch.unique(images.flatten(1), dim=0)) == 5
    for wrong in (torch.tensor([0.5]), torch.tensor([0.0, 0.5, 1.0, 1.5, 0.0])):
        with pytest.raises(ThawError, match="one weight in"):
            warm_rows.interpolate(y, wrong)


@pytest.mark.parametrize("settings", [{"tau": 1.0, "eta": 1.0}, {"tau": 0.4}, {"sampler": "algorithm2"}], ids=str)
def test_inpainting_keeps_what_is_known_and_fills_in_the_rest(warm_rows, settings):
    y, pixels = full(4, 3), load("digits", "test").pixels(slice(0, 4))
    left = torch.arange(28) < 14  # columns of the left half
    filled = warm_rows.inpaint(pixels, left, y, seed=1, **settings)
    torch.testing.assert_close(filled[..., :14], pixels[..., :14], rtol=0, atol=1e-6)
    unknown = torch.where(left, pixels, 0.0)
    assert torch.equal(filled, warm_rows.inpaint(unknown, left, y, seed=1, **settings))
    nothing = warm_rows.inpaint(pixels, torch.zeros(28, dtype=torch.bool), y, seed=1, **settings)
    assert torch.equal(nothing, warm_rows.sample(y, seed=1, **settings))
    with pytest.raises(ThawError, match="does not fit"):
        warm_rows.inpaint(pixels, torch.ones(27, dtype=torch.bool), y)


def test_only_networks_that_were_told_the_class_are_conditional(tiny):
    assert tiny().conditional
    assert not tiny(label_dropout=1.0).conditional
    assert not tiny(network="cnn").conditional


def test_a_degradation_of_the_users_own_trains_and_samples_by_its_name(tmp_path):
    """The product's promise, in fifteen lines: here rows vanish behind a curtain."""

    @register("curtain")
    class Curtain(Degradation):
        def __init__(self, shape, steps=7, colour=-1.0):
            super().__init__(shape, steps)
            self.colour = colour

        def forward(self, x0, t, z=None):
            row = torch.arange(self.shape[1])
            covered = row[None] < (t * self.shape[1] // self.steps)[:, None]
            return torch.where(covered[:, None, :, None], self.colour, x0)

    config = make_config(
        {"study": "custom", "data": "digits", "degradation": "curtain", "options": {"colour": -0.5}, "tau": (0.0, 1.0),
         "widths": (8, 16), "limit": 128, "epochs": 1, "batch_size": 64, "sample_every": 0, "sample_steps": 7}
    )  # fmt: skip
    *_, last = train(config, tmp_path / "run", progress=False)
    assert last.model.terminal.rank == 0
    images = last.model.sample(last.model.labels(4))
    assert images.shape == (4, 1, 28, 28) and images.abs().max() <= 1
    start = next(iter(last.model.trajectory(last.model.labels(4), tau=0.0))).x_t
    torch.testing.assert_close(start, torch.full_like(start, -0.5))
