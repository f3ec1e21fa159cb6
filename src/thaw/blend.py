"""From one class to another: the same noise, the start and the predictions mixed in growing shares."""

from collections.abc import Iterator

import torch
from torch import Tensor

from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.model import Model
from thaw.sampling import Step, reverse

PAIRS = ((3, 8), (4, 9))  # digits that look alike


def pairs_of(model: Model) -> list[tuple[int, int]]:
    """Return two pairs of classes to blend; of few classes the first and the last; none where there are not two."""
    if not model.conditional or model.classes < 2:
        return []
    return [pair for pair in PAIRS if max(pair) < model.classes] or [(0, model.classes - 1)]


def blend(
    model: Model,
    digits: tuple[int, int],
    columns: int = 9,
    rows: int = 1,
    *,
    tau: float | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    seed: int = 0,
) -> Iterator[Step]:
    """Draw pictures between two classes: x0_hat = (1 - w) f(x_t, t, a) + w f(x_t, t, b), w from 0 to 1 along a row.

    The start is mixed alike; all pictures of a row share their noise and their z. Sampling is
    deterministic (eta = 0, which is Algorithm 2 at tau = 0), or the pictures of a row would not belong together.

    Args:
        model: a model that is told the class.
        digits: the classes (a, b), each in 0..K-1.
        columns: how many shares w, the ends included; at least 2.
        rows: how many such rows.
        tau, steps, guidance: as for `Model.trajectory`.
        seed: every row draws its own start from it.

    Yields:
        `Step`s of (rows * columns, C, H, W), row by row.

    Raises:
        ThawError: for a model that is not told the class, an unknown class, or fewer than two columns.
    """
    if not model.conditional:
        raise ThawError(f"{model.config.label} is not told the class, so that there is nothing to blend")
    if columns < 2 or rows < 1:
        raise ThawError(f"a blend takes at least 2 columns and 1 row, got {columns} and {rows}")
    tau = model.config.sample_tau if tau is None else tau
    guidance = model.config.guidance if guidance is None else guidance
    if steps is None and model.config.sample_steps is not None:
        steps = min(model.config.sample_steps, model.process.steps)
    model.network.eval()

    def spread(x: Tensor) -> Tensor:
        return x.repeat_interleave(columns, dim=0)

    share = torch.linspace(0, 1, columns, device=model.device).repeat(rows)[:, None, None, None]
    ends = [model.labels(rows, digit) for digit in digits]
    starts = [model.start(y, generator(seed, "sample")) for y in ends]  # the same noise twice
    (x_a, x_b), z = (model.begin(start, tau) for start in starts), starts[0].z
    f_a, f_b = (model.restorer(spread(y), tau, guidance, model.config.guidance_interval) for y in ends)

    def restore(x_t: Tensor, t: Tensor) -> Tensor:
        return torch.lerp(f_a(x_t, t), f_b(x_t, t), share)

    start, z = torch.lerp(spread(x_a), spread(x_b), share), None if z is None else spread(z)
    return model.shown(reverse(model.process, restore, start, sampler="warm", tau=tau, eta=0.0, steps=steps, z=z))
