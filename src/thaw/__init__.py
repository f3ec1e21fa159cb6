"""Thaw: hot, cold and warm diffusion on small images, from one equation.

Letters used in all comments: B batch, C H W image, T steps, D coordinates or features, K classes.

    forward:  x_t = D_t(x_0; z) + tau sigma_t eps
    reverse:  x_s = D_s(x0_hat; z) + kappa (x_t - D_t(x0_hat; z)) + nu eps'

The public names, listed in `__init__.pyi`, are imported when they are first
used: whoever only samples does not wait for what trains and scores.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
