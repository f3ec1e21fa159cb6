"""The optimiser (Muon for the matrices of a network, AdamW for the rest, or for all), its rate, the moving average."""

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from thaw.experiment import Config

OPTIMISERS = ("muon", "adamw")
REST = 0.25  # AdamW's learning rate for the rest, as a share of Muon's


class OptimiserStep(NamedTuple):
    """What `Trainer.steps` yields after each optimiser step."""

    images: int  # of the batch, over all processes
    loss: Tensor  # the mean over the batch, a scalar on the device
    share: float  # of `minutes` that was used when the step began; 0 without a limit


def timm_muon(device: torch.device | str) -> type[torch.optim.Optimizer]:
    """Return timm's Muon, in float32 on a CPU.

    Its Newton-Schulz iterations run in bf16, which a CPU without bf16 units has to emulate.
    """
    from timm.optim import Muon, muon  # timm takes seconds to import: only where something is trained

    if torch.device(device).type == "cpu" and not isinstance(muon.zeropower_via_newtonschulz, partial):
        muon.zeropower_via_newtonschulz = partial(muon.zeropower_via_newtonschulz, dtype=torch.float32)
    return Muon


def build_optimiser(
    network: nn.Module, name: str, lr: float, weight_decay: float, device: torch.device | str = "cpu"
) -> torch.optim.Optimizer:
    """Return the optimiser of a network.

    `muon` orthogonalises the momentum of every matrix (convolutions flattened to out x in, timm's
    implementation, its steps scaled to AdamW's root mean square: Jordan et al. 2024, Liu et al.
    2025) and gives embeddings, biases and norms to AdamW. What it brings is in benchmarks/recipe.md.

    Args:
        network: on the device where it is trained.
        name: one of `OPTIMISERS`.
        lr: learning rate; the training loop sets it again at every step.
        weight_decay: decoupled.
        device: where the network is.
    """
    if name == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    Muon = timm_muon(device)
    tables = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    matrices, rest = [], []
    for parameter in network.parameters():
        (matrices if parameter.ndim >= 2 and id(parameter) not in tables else rest).append(parameter)
    groups = [{"params": matrices}]
    groups += [{"params": rest, "use_fallback": True, "fallback_lr_scale": REST, "nesterov": False}]
    return Muon(groups, lr=lr, weight_decay=weight_decay, momentum=0.95, nesterov=True, betas=(0.9, 0.999))


def learning_rate(config: Config, step: float, total: int) -> float:
    """Return the learning rate at a step: linear warm-up, then a half cosine to zero, milestones, or constant."""
    warmup = max(1, round(config.warmup * total))
    rise = min(1.0, (step + 1) / warmup)
    if config.lr_decay == "none":
        return config.lr * rise
    if config.lr_decay == "milestones":
        passed = sum(step * config.epochs >= milestone * total for milestone in config.milestones)
        return config.lr * rise * config.gamma**passed
    progress = max(0.0, (step - warmup) / max(1, total - warmup))
    return config.lr * rise * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def average(network: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of a network.

    The decay starts small, min(decay, (1 + n) / (10 + n)) after n updates, so that a short run is
    not dominated by its random initial weights.
    """

    @torch.no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], n: Tensor) -> None:
        count = int(n)
        keep = min(decay, (1 + count) / (10 + count)) if decay else 0.0
        torch._foreach_lerp_(averaged, current, 1.0 - keep)

    return AveragedModel(network, multi_avg_fn=update)
