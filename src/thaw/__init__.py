"""Thaw: hot, cold and warm diffusion on small images, from one equation.

Letters used in all comments: B batch, C H W image, T steps, D coordinates or features, K classes.

    forward:  x_t = D_t(x_0; z) + tau sigma_t eps
    reverse:  x_s = D_s(x0_hat; z) + kappa (x_t - D_t(x0_hat; z)) + nu eps'
"""

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
