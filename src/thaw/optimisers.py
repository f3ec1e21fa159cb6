"""The optimiser: Muon for the matrices of a network, AdamW for everything else (or AdamW for all)."""

from functools import partial

import torch
from torch import nn

OPTIMISERS = ("muon", "adamw")
REST = 0.25  # AdamW's learning rate for the rest, as a share of Muon's


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
