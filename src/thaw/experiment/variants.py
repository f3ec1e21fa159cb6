"""What one experiment makes of another: fast weights of it, a smoke run, and whether two are the same."""

from collections.abc import Collection
from typing import Any

from thaw.base import ThawError
from thaw.experiment.config import Config, make_config, override

# Settings that training does not depend on.
SAMPLING = ("sampler", "sample_steps", "sample_tau", "eta", "guidance", "guidance_interval")
# Settings that may differ when a run goes on: how long, and how often something is written.
# And how the work is done, which changes no more than the rounding of sums.
FREE = {"epochs", "minutes", "save_every", "sample_every", "evaluate_every", "evaluate_n", "save_minutes", "tracker"}
FREE |= {"threads", "accumulate"}


def differences(old: Config, new: Config, free: Collection[str] = ()) -> str:
    """Name the settings that differ and matter; how long, how often to save, and those in `free`, may change."""
    unused = set() if new.of_a_folder else {k for k in Config.model_fields if k.startswith("data_")}
    settled = {*FREE, *SAMPLING, *free, *unused}
    changed = [k for k, v in old.model_dump().items() if k not in settled and v != getattr(new, k)]
    return ", ".join(f"{k}: {getattr(old, k)!r} there, {getattr(new, k)!r} here" for k in changed[:3])


def sampled_with(config: Config, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the sampling settings of a configuration with some replaced: what samples are kept under.

    Guidance in all steps is left out: what was kept before there was an interval is found.
    """
    chosen = {field: getattr(config, field) for field in SAMPLING} | settings
    if tuple(chosen["guidance_interval"] or (0.0, 1.0)) == (0.0, 1.0):
        del chosen["guidance_interval"]
    return chosen


def smoke_size(config: Config) -> Config:
    """Return the same experiment at a size that runs in seconds; its numbers mean nothing."""
    steps = None if config.steps is None else min(config.steps, 40)
    small = {"limit": 256, "widths": (8, 16), "epochs": 2, "batch_size": 64, "save_every": 1, "sample_every": 1}
    small |= {"evaluate_every": 1, "evaluate_n": 256, "sample_steps": 3, "steps": steps, "set": f"{config.set}_smoke"}
    if config.flow_map:  # the network is the teacher's, and so is the process
        kept = ("set", "batch_size", "save_every", "evaluate_n")
        small = {name: small[name] for name in kept} | {"limit": 500, "epochs": 1}
        return override(config, small)
    return override(config, small | {"terminal_components": 2, "start_from": None})  # no network is as small


def fast(teacher: Config, path: str, **settings: Any) -> Config:
    """Return the experiment that distils a model into one that draws in one to four evaluations, see `thaw.flow_map`.

    Few jumps blur a little, and more guidance, which costs a flow map nothing, sharpens: the default is 1.5 or more.

    Args:
        teacher: the model's configuration.
        path: where its weights are.
        settings: replace any of the experiment's.
    """
    low, high = sorted((1.0, teacher.guidance))
    ours = {"set": "fast", "start_from": path, "flow_map": (low, max(high, 2.0)), "label_dropout": 0.0}
    ours |= {"guidance": max(teacher.guidance, 1.5)}
    ours |= {"optimiser": "muon", "lr": 8e-3, "lr_decay": "cosine", "milestones": (), "epochs": 25, "minutes": None}
    ours |= {"limit": 30_000, "sampler": "warm", "sample_steps": 4, "eta": 0.0, "save_every": 1000, "evaluate_every": 0}
    config = make_config({**teacher.model_dump(), **ours, **settings}, f"fast weights of {path}")
    if not config.flow_map:
        raise ThawError("fast weights are a flow map: flow_map is a range of guidance weights, such as [1, 2]")
    return config
