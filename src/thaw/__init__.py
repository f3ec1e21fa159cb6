"""Thaw: hot, cold and warm diffusion on small images, from one equation.

Letters used in all comments: B batch, C H W image, T steps, D coordinates or features, K classes.

    forward:  x_t = D_t(x_0; z) + tau sigma_t eps
    reverse:  x_s = D_s(x0_hat; z) + kappa (x_t - D_t(x0_hat; z)) + nu eps'

The names below are imported when they are first used: whoever only samples does not wait for what trains and scores.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thaw.checkpoint import load_model, release_path
    from thaw.config import Config, load_config
    from thaw.degradations import Degradation, register
    from thaw.errors import ThawError
    from thaw.features import load_judge
    from thaw.files import enter_project
    from thaw.metrics import evaluate
    from thaw.model import Model
    from thaw.pixels import to_pixels, to_uint8
    from thaw.process import Process
    from thaw.sampling import SAMPLERS, reverse
    from thaw.terminal import Terminal, fit_terminal
    from thaw.training import train

__version__ = "0.1.0"

_HOMES = {
    "checkpoint": ("load_model", "release_path"),
    "config": ("Config", "load_config"),
    "degradations": ("Degradation", "register"),
    "errors": ("ThawError",),
    "features": ("load_judge",),
    "files": ("enter_project",),
    "metrics": ("evaluate",),
    "model": ("Model",),
    "pixels": ("to_pixels", "to_uint8"),
    "process": ("Process",),
    "sampling": ("SAMPLERS", "reverse"),
    "terminal": ("Terminal", "fit_terminal"),
    "training": ("train",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"thaw.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'thaw' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "SAMPLERS",
    "Config",
    "Degradation",
    "Model",
    "Process",
    "Terminal",
    "ThawError",
    "enter_project",
    "evaluate",
    "fit_terminal",
    "load_config",
    "load_judge",
    "load_model",
    "register",
    "release_path",
    "reverse",
    "to_pixels",
    "to_uint8",
    "train",
]
