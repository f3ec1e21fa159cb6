"""Networks: raw maps (x_t, t/T, tau, y) -> output of the image's shape, one a file.

Add a network: a file with a class built as `Network(shape, classes, **options)`, whose attribute `conditional` says
whether it listens to the class, and its row in `NETWORKS`. Its options are the parameters of its constructor.
"""

import inspect
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from thaw.base import pick
from thaw.networks.autoencoder import VAE, Autoencoder
from thaw.networks.cnn import CNN
from thaw.networks.latent import Latent
from thaw.networks.mlp import MLP
from thaw.networks.unet import UNet

NETWORKS = {"unet": UNet, "cnn": CNN, "latent": Latent, "mlp": MLP, "autoencoder": Autoencoder, "vae": VAE}


def build(name: str, shape: tuple[int, int, int], classes: int, **options: object) -> nn.Module:
    """Build a network by name; a `ThawError` for an unknown one."""
    return pick(name, NETWORKS, "network")(shape, classes, **options)


def options_of(name: str) -> list[str]:
    """Return the names of the options that a network's constructor takes; a `ThawError` for an unknown network."""
    takes = inspect.signature(pick(name, NETWORKS, "network")).parameters
    return [option for option in takes if option not in ("shape", "classes")]


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def multiply_adds(call: Callable[[], object]) -> int:
    """Return the multiply-adds of what a call computes (convolutions, matrices, attention)."""
    # The counter does not know the CPU's fused attention; in its plain form it is two matrix products.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() // 2


def count_multiply_adds(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Return the multiply-adds of one evaluation on one image."""
    like = next(network.parameters())
    x = torch.zeros(1, *shape, device=like.device)
    zero = torch.zeros(1, device=like.device)
    return multiply_adds(lambda: network(x, zero, zero, zero.long()))


__all__ = ["CNN", "MLP", "NETWORKS", "VAE", "Autoencoder", "Latent", "UNet", "build", "count_multiply_adds"]
__all__ += ["count_parameters", "multiply_adds", "options_of"]
