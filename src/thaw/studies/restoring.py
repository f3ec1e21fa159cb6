"""Two stages of a study: its networks' restorations by every sampler, and those of a hot model that was not trained."""

from typing import Any

import torch
from torch import Tensor

from thaw.base import generator, to_pixels, to_uint8
from thaw.degradations import Degradation
from thaw.model import Model
from thaw.prior import Prior
from thaw.sampling import SAMPLERS
from thaw.scoring import Ceiling, Score, restoration, restore_all, score_restoration
from thaw.store import load_model
from thaw.studies.plan import Plan
from thaw.studies.sizing import SEEDS

COLD: dict[str, Any] = {name: {"sampler": name, "tau": 0.0} for name in ("direct", "algorithm1", "algorithm2")}
PLAIN = "plain"  # warm as samples are drawn; all other restorers hold on to what is left
RESTORERS = (*COLD, "warm", PLAIN)
RESTORED = ("agreement", "psnr", "ssim", "error_ratio", "spread_skill", "consistency")
PRIOR = 128  # pictures that are restored without training
SPREAD = 125  # pictures that are restored by eight seeds each, at most


def kept(scores: dict[str, Score], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the scores of these names that there are, each with that of real images, as plain values."""
    return {name: [scores[name].value, scores[name].floor] for name in names if name in scores}


def restored_by(model: Model, name: str) -> dict[str, Any]:
    """Return the settings of one of `RESTORERS`, in as many steps as the model samples in.

    Of pairs, no function is known that a restoration could be consistent with, nor what tells the class.
    """
    if name == PLAIN:
        return {"sampler": "warm", "tau": model.sampling.tau, "steps": model.sampling.steps}
    row, known = SAMPLERS[name], not model.config.paired
    held = {"sampler": name, "tau": row.restores_at(*model.process.tau), "infer": known and model.conditional}
    return held | {"consistent": known} | ({"steps": model.sampling.steps} if row.many else {})


def degraded(plan: Plan, degradation: Degradation, n: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Return n test images, what is left of them at T, the z behind that, and their classes."""
    test = plan.load("test")
    test = test.subset(min(n, len(test)), 0)
    x0 = test.pixels()
    paired = plan.config().paired
    z = to_pixels(test.degraded) if paired else degradation.draw_z(len(x0), generator(0, "study restoration"))
    return x0, degradation(x0, torch.full((len(x0),), degradation.steps), z), z, test.labels


def restorations(plan: Plan, seed: int) -> dict[str, Any]:
    """Restore test images that were degraded to T, the class not told, by every sampler."""
    model, judge = load_model(plan.run(seed)), plan.judge()
    x0, x_T, z, true = degraded(plan, model.process.degradation, plan.restored)
    told = plan.found("ceiling")
    best = None if "left_out" in told else Ceiling(**told)
    T, found = model.process.degradation.steps, {}
    more = {"z": z, "true": true if judge else None, "judge": judge, "ceiling": best, "seed": seed}
    more["part"], direct = min(SPREAD, plan.restored // 4), None
    for name in RESTORERS[:-1] if plan.config().paired else RESTORERS:
        settings = restored_by(model, name)
        restored = restore_all(model, x_T, T, z=z, seed=seed, **settings)
        direct = restored if name == "direct" else direct if name != PLAIN else None
        scores = score_restoration(model, restored, x_T, x0, T, direct=direct, **more, **settings)
        found[name] = kept(scores, RESTORED[:-1] if plan.config().paired else RESTORED)  # no D to degrade it again by
    return found


def untrained(plan: Plan) -> dict[str, Any]:
    """Restore test images by the hot model as a prior, which was never trained to undo this degradation."""
    judge, prior = plan.judge(), Prior(load_model(plan.settings["start_from"]))
    inner = plan.inner(plan.load("test"))
    x0, x_T, z, true = degraded(plan, inner, min(plan.restored, PRIOR))
    step = torch.full((len(x0),), inner.steps)
    told, found = plan.found("ceiling"), []
    best = None if "left_out" in told else told["posterior"]
    for seed in range(SEEDS):
        restored = prior.restore(x_T, inner, inner.steps, z=z, seed=seed)
        known = {"true": true, "degraded": x_T, "again": inner(restored, step, z), "ceiling": best}
        scores = restoration(to_uint8(restored), to_uint8(x0), judge=judge, seed=seed, **known)
        found.append(kept(scores, RESTORED))
    return {"seeds": found, "n": len(x0)}
