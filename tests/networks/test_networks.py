"""Networks: shapes, sizes and what they listen to."""

import pytest
import torch
from torch import nn

from thaw import networks
from thaw.base.errors import ThawError
from thaw.experiment.build import build_network
from thaw.experiment.config import Config
from thaw.networks.blocks import GroupNorm, SelfAttention

UNSHIPPED = [(1, 28, 28), (3, 32, 32), (1, 8, 10), (1, 27, 29), (2, 7, 7), (1, 1, 1)]


def inputs(n: int = 2, shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> tuple:
    return torch.randn(n, *shape), torch.rand(n), torch.rand(n), torch.arange(n) % (classes + 1)


@pytest.mark.parametrize("classes", [0, 1, 10, 47])
@pytest.mark.parametrize("shape", UNSHIPPED, ids=str)
def test_the_unet_returns_images_of_any_shape(shape, classes):
    network = networks.build("unet", shape, classes, widths=(8, 16))
    assert network(*inputs(3, shape, classes)).shape == (3, *shape)


@pytest.mark.parametrize("patch", [1, 2, 3, 4])
@pytest.mark.parametrize("widths", [(8,), (8, 16), (8, 8, 16), (16, 24, 40)])
def test_the_unet_takes_any_depth_and_patch(widths, patch):
    network = networks.build("unet", (1, 28, 28), 10, widths=widths, patch=patch, blocks=2)
    assert network(*inputs()).shape == (2, 1, 28, 28)


@pytest.mark.parametrize("width", [8, 40, 72, 88, 104, 112, 136, 200])
def test_the_unet_takes_any_width_that_is_a_multiple_of_eight(width):
    assert networks.build("unet", (1, 8, 8), 10, widths=(8, width))(*inputs(shape=(1, 8, 8))).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("shape", UNSHIPPED, ids=str)
def test_the_cnn_returns_images_of_any_shape(shape):
    assert networks.build("cnn", shape, 10, widths=(8, 8))(*inputs(3, shape)).shape == (3, *shape)


@pytest.mark.parametrize("activation", ["silu", "gelu", "selu"])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_activation_gives_finite_outputs_and_gradients(name, activation):
    network = networks.build(name, (1, 12, 12), 10, widths=(8, 16), activation=activation)
    network(*inputs(4, (1, 12, 12))).square().mean().backward()
    gradients = [p.grad for p in network.parameters()]
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("shape", UNSHIPPED, ids=str)
def test_a_network_that_sees_nothing_is_the_one_without_a_second_input_to_the_bit(shape):
    """Whatever it has learnt to see: None, and zeros, are nothing. New, it makes nothing of what it sees."""
    plain, seeing = (networks.build("unet", shape, 10, widths=(8, 16), observed=share) for share in (0.0, 0.5))
    asked, picture = inputs(3, shape), torch.randn(3, *shape)
    for p in plain.parameters():
        p.data = torch.randn_like(p) / 8
    seeing.load_state_dict(seeing.state_dict() | plain.state_dict())
    assert torch.equal(seeing(*asked, picture), plain(*asked))
    for p in (*seeing.seen_stem.parameters(), *seeing.seen_whole.parameters()):
        p.data = torch.randn_like(p)
    for nothing in (None, torch.zeros(3, *shape)):
        assert torch.equal(seeing(*asked, nothing), plain(*asked))
    assert not torch.equal(seeing(*asked, picture), plain(*asked))


def test_the_cnn_has_the_parameters_of_the_earlier_study():
    network = networks.build("cnn", (1, 28, 28), 10, widths=(16, 32, 32, 16))
    assert networks.count_parameters(network) == sum(p.numel() for p in network.parameters()) == 291_217


def test_the_default_network_is_small():
    network = build_network(Config(), (1, 28, 28), 10)
    assert Config().widths == (24, 64)
    assert networks.count_parameters(network) <= 600_000
    assert networks.count_multiply_adds(network, (1, 28, 28)) <= 16e6


def test_multiply_adds_of_a_convolution_are_counted_as_by_hand():
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 5, 7, padding=3)

        def forward(self, x, time, tau, y):
            return self.convolution(x)

    assert networks.count_multiply_adds(One(), (3, 10, 12)) == 3 * 5 * 7 * 7 * 10 * 12


def test_multiply_adds_of_attention_are_counted_as_by_hand():
    """Queries with keys, and weights with values: N x N x C each; torch's counter leaves the fused form out."""
    C, N = 64, 7 * 7
    attention = SelfAttention(C)
    found = networks.multiply_adds(lambda: attention(torch.randn(1, C, 7, 7)))
    assert found == N * C * 3 * C + 2 * N * N * C + N * C * C


@pytest.mark.parametrize("changed", ["time", "tau", "class", "null class"])
def test_the_unet_listens_to_time_temperature_and_class(randomised, changed):
    network = randomised(networks.build("unet", (1, 28, 28), 10, widths=(8, 16)))
    x, time, tau, y = inputs(1)[0], torch.tensor([0.3]), torch.tensor([0.3]), torch.tensor([3])
    other = {
        "time": (x, time + 0.3, tau, y), "tau": (x, time, tau + 0.3, y),
        "class": (x, time, tau, y + 1), "null class": (x, time, tau, y + 7),
    }[changed]  # fmt: skip
    assert (network(x, time, tau, y) - network(*other)).abs().max() > 1e-4


def test_time_and_temperature_are_not_interchangeable(randomised):
    network = randomised(networks.build("unet", (1, 28, 28), 10, widths=(8, 16)))
    x, a, b, y = inputs(1)[0], torch.tensor([0.2]), torch.tensor([0.7]), torch.tensor([3])
    assert (network(x, a, b, y) - network(x, b, a, y)).abs().max() > 1e-4


def test_one_training_step_is_enough_for_the_class_to_matter():
    network = networks.build("unet", (1, 28, 28), 10, widths=(8, 16))
    x, time, tau, y = inputs(8)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    (network(x, time, tau, y) - torch.randn_like(x)).square().mean().backward()
    optimiser.step()
    assert (network(x, time, tau, y) - network(x, time, tau, (y + 1) % 10)).abs().max() > 1e-5


@pytest.mark.parametrize("name", ["latent", "mlp"])
@pytest.mark.parametrize("changed", ["time", "class", "null class"])
def test_the_networks_of_a_latent_listen_to_time_and_class(randomised, name, changed):
    network = randomised(networks.build(name, (1, 7, 7), 10, widths=(8, 12)))
    x, time, tau, y = torch.randn(1, 1, 7, 7), torch.tensor([0.3]), torch.ones(1), torch.tensor([3])
    other = {"time": (x, time + 0.3, tau, y), "class": (x, time, tau, y + 1), "null class": (x, time, tau, y + 7)}
    assert (network(x, time, tau, y) - network(*other[changed])).abs().max() > 1e-4


def test_the_blocks_of_a_perceptron_start_as_the_identity():
    from thaw.networks.mlp import Block

    h = torch.randn(2, 8)
    assert torch.equal(Block(8, 16, 4, nn.SiLU)(h, torch.randn(2, 4)), h)


def test_the_cnn_listens_to_the_time_but_neither_to_temperature_nor_class():
    network = networks.build("cnn", (1, 28, 28), 10, widths=(8, 8))
    x, time, tau, y = inputs(2)
    assert torch.equal(network(x, time, tau, y), network(x, time, 1 - tau, y + 1))
    assert not torch.equal(network(x, time, tau, y), network(x, 1 - time, tau, y))


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_images_of_a_batch_do_not_see_each_other(name, randomised):
    network = randomised(networks.build(name, (1, 28, 28), 10, widths=(8, 16))).eval()
    batch = inputs(4)
    with torch.no_grad():
        together = network(*batch)
        for i in range(4):
            torch.testing.assert_close(network(*(part[i : i + 1] for part in batch)), together[i : i + 1])


def test_dropout_is_random_in_training_and_off_in_evaluation(randomised):
    network = randomised(networks.build("unet", (1, 28, 28), 10, widths=(8, 16), dropout=0.5))
    batch = inputs()
    assert not torch.equal(network(*batch), network(*batch))
    network.eval()
    assert torch.equal(network(*batch), network(*batch))


def test_residual_blocks_start_as_the_identity():
    from thaw.networks.blocks import ResidualBlock, SelfAttention

    h = torch.randn(2, 8, 5, 5)
    assert torch.equal(ResidualBlock(8, 8, 16, nn.SiLU, 0.0)(h, torch.randn(2, 16)), h)
    assert torch.equal(SelfAttention(8)(h), h)


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("transformer", {}, "transformer.*unet, cnn"),
        ("unet", {"activation": "relu"}, "relu.*silu"),
        ("cnn", {"activation": "relu"}, "relu.*silu"),
        ("unet", {"widths": (8, 20)}, "8, 20"),
        ("unet", {"widths": ()}, "multiples of 8"),
        ("cnn", {"widths": ()}, "widths"),
        ("mlp", {"activation": "relu"}, "relu.*silu"),
        ("mlp", {"widths": ()}, "perceptron needs at least one width"),
        ("mlp", {"expansion": 0}, "at least 1, got 1, 0"),
    ],
)
def test_networks_that_cannot_be_built_are_refused(name, options, named):
    with pytest.raises(ThawError, match=named):
        networks.build(name, (1, 28, 28), 10, **options)


def test_in_mixed_precision_statistics_and_attention_are_those_of_fp32():
    h = torch.randn(2, 16, 7, 7)
    norm, attention = GroupNorm(16), SelfAttention(16)
    nn.init.normal_(attention.out.weight)
    wanted = norm(h.bfloat16().float()), attention(h)
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(h.bfloat16()), attention(h)
    assert found[0].dtype == torch.float32 and torch.equal(found[0], wanted[0])
    assert (found[1] - wanted[1]).abs().max() < 0.05 * wanted[1].abs().max()  # its convolutions alone round
