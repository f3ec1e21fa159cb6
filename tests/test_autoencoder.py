"""Autoencoders: sizes, shapes, the loss, and training with everything that training promises."""

import math

import pytest
import torch
from cases import ROOT
from runs import assert_equal, losses, run, states
from torch import nn

from thaw import networks
from thaw.autoencoder import Reconstruction, squared_error
from thaw.base.errors import ThawError
from thaw.experiment.build import build_network
from thaw.experiment.config import load_config, make_config
from thaw.networks import count_parameters
from thaw.networks.autoencoder import latent_shape
from thaw.scoring import score_reconstruction
from thaw.scoring.reconstruction import originals_above, reconstruct
from thaw.store.weights import load_model, release_path, save_release

VAE = {
    "study": "autoencoder", "network": "vae", "data": "digits", "widths": (8, 16), "limit": 64, "batch_size": 32,
    "epochs": 2, "save_every": 1, "sample_every": 1, "evaluate_every": 1, "evaluate_n": 256, "lr": 5e-3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "options", "latent"),
    [
        ((1, 28, 28), {"widths": (8, 16)}, (1, 7, 7)),
        ((1, 28, 28), {"widths": (8, 16), "latent_size": 6}, (1, 6, 6)),
        ((1, 28, 28), {"widths": (8,), "patch": 4, "latent_channels": 3, "latent_size": 2}, (3, 2, 2)),
        ((3, 30, 33), {"widths": (8, 8, 16), "latent_channels": 2}, (2, 4, 5)),
    ],
)
@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_images_of_any_shape_have_the_latent_that_was_asked_for_and_come_back(name, shape, options, latent):
    network = networks.build(name, shape, 10, **options)
    x = torch.rand(3, *shape) * 2 - 1
    assert network.latent == latent == latent_shape(shape, **{"patch": 2, **options})
    assert network.encode(x)[0].shape == (3, *latent)
    assert network.decode(torch.zeros(3, *latent)).shape == network(x).shape == x.shape


def test_the_shipped_sizes_keep_within_the_earlier_study():
    """But for the flow of MNIST, to read 98 % of the digits: one of the earlier 98,000 in all reads less."""
    cards = (ROOT / "pretrained/README.md").read_text()
    limits = {"mnist": (82_000, 160_000), "fashion": (None, 250_000), "emnist": (221_000, 244_000)}
    for data, (alone, both) in limits.items():
        coder, flow = (load_config(f"{ROOT}/configs/{study}/{data}.yaml") for study in ("autoencoder", "latent"))
        classes = 47 if data == "emnist" else 10
        network = build_network(coder, (1, 28, 28), classes)
        size = count_parameters(network)
        of_flow = count_parameters(build_network(flow, network.latent, classes))
        assert size <= (alone or both) and size + of_flow <= both
        assert f"| {size:,} |" in cards and f"| {of_flow:,} |" in cards


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"latent_size": 8}, "latent_size must be between 1 and 7 .*got 8"),
        ({"widths": ()}, "at least one width"),
        ({"expansion": 0}, "expansion .*at least 1"),
        ({"activation": "tanh"}, "'tanh'.*silu"),
    ],
)
def test_options_that_make_no_autoencoder_are_refused(options, named):
    with pytest.raises(ThawError, match=named):
        networks.build("vae", (1, 28, 28), 10, **{"widths": (8, 16), **options})


def test_the_divergence_is_that_of_torch(randomised):
    network = randomised(networks.build("vae", (1, 28, 28), 0, widths=(8, 16)))
    x = torch.rand(4, 1, 28, 28) * 2 - 1
    mean, log_variance = network.encode(x)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    expected = torch.distributions.kl_divergence(posterior, prior).flatten(1).sum(dim=1)
    torch.testing.assert_close(network(x, noise=torch.zeros(4, 1, 7, 7))[1], expected)


@pytest.mark.parametrize(("name", "alpha"), [("vae", 0.3), ("autoencoder", 0.3)])
def test_the_loss_is_the_squared_error_over_pixels_from_0_to_1_plus_alpha_times_the_divergence(name, alpha, randomised):
    network = randomised(networks.build(name, (1, 28, 28), 0, widths=(8, 16)))
    process = Reconstruction((1, 28, 28), {"widths": (8, 16), "patch": 2, "latent_channels": 1, "latent_size": None},
                             alpha)  # fmt: skip
    x, draws = torch.rand(4, 1, 28, 28) * 2 - 1, process.draw(4, torch.Generator().manual_seed(0))
    x_hat, kl = network(x, noise=draws.noise)
    error = nn.functional.mse_loss((x_hat + 1) / 2, (x + 1) / 2, reduction="sum") / 4
    torch.testing.assert_close(process.loss(network, x, torch.zeros(4), draws), error + alpha * kl.mean())
    torch.testing.assert_close(squared_error(x_hat, x).mean(), error)
    assert bool((kl > 0).all()) == (name == "vae")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    path = tmp_path_factory.mktemp("straight")
    return path, run(make_config(VAE), path / "run")


@pytest.mark.parametrize("interrupted", [0, 1])
def test_an_interrupted_autoencoder_ends_as_an_uninterrupted_one_to_the_bit(tmp_path, straight, interrupted):
    run(make_config(VAE), tmp_path / "run", until=interrupted)
    torch.manual_seed(987)
    run(make_config(VAE), tmp_path / "run")
    assert_equal(states(tmp_path / "run"), states(straight[0] / "run"))
    assert losses(tmp_path / "run") == losses(straight[0] / "run")


def test_training_reports_reconstructions_and_lowers_their_error(straight):
    folder, epochs = straight
    assert (folder / "run/samples/epoch_0002.png").is_file()
    errors = [epoch.record["mse"] for epoch in epochs]
    assert errors[-1] < errors[0] and all(epoch.record["kl"] >= 0 for epoch in epochs)
    assert "squared error" in str(epochs[-1])


def test_a_released_autoencoder_reconstructs_as_the_run_does(straight, tmp_path, digits_test):
    model = load_model(straight[0] / "run")
    path = save_release(tmp_path, model, model.network.state_dict())
    assert path.name == "autoencoder_digits_2_default.pth"
    released = load_model(path)
    x = digits_test.pixels(slice(20))
    assert (reconstruct(released, x)[0] - reconstruct(model, x)[0]).abs().max() < 0.02  # weights in fp16
    assert originals_above(model, digits_test, 2, 10)[0].shape == (40, 1, 28, 28)
    assert math.isfinite(score_reconstruction(model, digits_test)["l1"])
    with pytest.raises(ThawError, match="draws nothing by itself"):
        model.sample(model.labels(2))
    assert release_path("default", data="digits", folder=tmp_path) == path


def test_what_is_no_autoencoder_reconstructs_nothing(tiny):
    with pytest.raises(ThawError, match="is no autoencoder"):
        reconstruct(tiny(), torch.zeros(1, 1, 28, 28))
