"""A model's restorations, scored: beside the originals, direct answers, draws by other seeds, and what is possible."""

from typing import Any

import torch
from torch import Tensor

from thaw.base import derive, to_uint8
from thaw.model import RESTORING, Model
from thaw.scoring.ceiling import Ceiling
from thaw.scoring.judge import Judge
from thaw.scoring.protocol import restoration
from thaw.scoring.scores import Score

SEEDS = 8  # restorations of one picture whose spread is compared with their error


def restore_all(model: Model, degraded: Tensor, t: int, *, z: Tensor | None = None, y: Tensor | None = None,
                seed: int = 0, batch: int = 128, **settings: Any) -> Tensor:  # fmt: skip
    """Return `Model.restore` of any number of pictures, `batch` at once, each batch with a seed of its own."""
    parts = []
    for start in range(0, len(degraded), batch):
        part = slice(start, start + batch)
        told = {"y": None if y is None else y[part], "z": None if z is None else z[part], "seed": seed + start}
        parts.append(model.restore(degraded[part], t, **told, **settings))
    return torch.cat(parts)


def score_restoration(
    model: Model,
    restored: Tensor,
    degraded: Tensor,
    originals: Tensor,
    t: int,
    *,
    z: Tensor | None = None,
    y: Tensor | None = None,
    true: Tensor | None = None,
    judge: Judge | None = None,
    ceiling: Ceiling | None = None,
    seeds: int = SEEDS,
    part: int = 256,
    direct: Tensor | None = None,
    seed: int = 0,
    infer: bool = False,
    consistent: bool = False,
    **settings: Any,
) -> dict[str, Score]:
    """Score a model's restorations by all rows of `MEASURES` for which there is evidence.

    Those at tau > 0 are compared with direct ones, if the model can be cold, and the first `part` with restorations by
    other seeds.

    Args:
        model: that restored.
        restored: (N, C, H, W) in [-1, 1].
        degraded: what it was given: D_t(originals; z), of the same shape.
        originals: of the same shape.
        t: the step of the degraded ones.
        z, y, seed, infer, consistent, settings: as `Model.restore` was given them.
        true: (N,) int64, classes of the originals.
        judge: that sees the classes.
        ceiling: of the degradation at t, where no class was told.
        direct: the direct ones, (N, C, H, W) in [-1, 1], where they are at hand.
        seeds: restorations of each picture of the part, those given included.
    """
    device, images = model.device, to_uint8(originals.cpu())
    step = torch.full((len(restored),), t, device=device)
    again = model.process.degradation(restored.to(device), step, None if z is None else z.to(device))
    way = {"infer": infer, "consistent": consistent}
    stochastic = RESTORING.replace(**settings).tau > 0
    known: dict[str, Any] = {"true": true, "degraded": degraded.cpu(), "again": again.cpu()}
    if ceiling is not None:
        known["ceiling"] = ceiling.posterior if stochastic else ceiling.best_guess
    if stochastic and model.process.tau[0] == 0:
        if direct is None:
            direct = restore_all(model, degraded, t, z=z, y=y, seed=seed, sampler="direct", **way)
        known["direct"] = to_uint8(direct)
    scores = restoration(to_uint8(restored), images, judge=judge, seed=seed, **known)
    if stochastic:
        z, y = (None if told is None else told[:part] for told in (z, y))
        others = [derive(seed, "ensemble", k) for k in range(1, seeds)]
        draws = [restore_all(model, degraded[:part], t, z=z, y=y, seed=other, **way, **settings) for other in others]
        draws = torch.stack([to_uint8(drawn) for drawn in (restored[:part], *draws)])
        found = restoration(draws[0], images[:part], seed=seed, draws=draws)
        scores |= {name: score for name, score in found.items() if name == "spread_skill"}
    return scores
