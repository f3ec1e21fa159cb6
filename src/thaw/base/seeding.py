"""Every random stream of the project is named: the same (seed, purpose) always gives the same numbers."""

import hashlib

import torch


def derive(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for a purpose, e.g. `derive(0, "data", epoch)`.

    Streams with different purposes are independent, so that evaluation never disturbs training and
    epoch 7 draws the same numbers whether or not the run was interrupted before it.
    """
    digest = hashlib.sha256(repr((int(seed), *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a `torch.Generator` seeded with `derive(seed, *purpose)`."""
    return torch.Generator(device=device).manual_seed(derive(seed, *purpose))
