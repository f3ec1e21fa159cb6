"""Restorers that keep to what is known of a picture: pixels of it, or what a degradation made of it."""

from collections.abc import Callable

import torch
from torch import Tensor

from thaw.sampling import Restore

LEAST = 0.02  # of the variance that a pixel is given when pictures are fitted: none is certain


def with_known(restore: Restore, pixels: Tensor, mask: Tensor) -> Restore:
    """Return a restorer whose x0_hat has the given pixels where the mask (bool) is True.

    The next state then holds, there, a noisy version of the known pixels that fits its step.
    """

    def restored(x_t: Tensor, t: Tensor) -> Tensor:
        return torch.where(mask, pixels, restore(x_t, t))

    return restored


def traced(degrade: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return `degrade(x)` with its gradient; without one where it takes no x that has one, as NumPy does not."""
    try:
        return degrade(x)
    except RuntimeError:
        return degrade(x.detach())


def fitted(
    x: Tensor, degrade: Callable[[Tensor], Tensor], measured: Tensor, rounds: int = 3, iterations: int = 8
) -> Tensor:
    """Return pictures moved, by as little as it takes, to where `degrade` makes of them what was measured.

    x + W A^+ (measured - A x), by conjugate gradients on the least squares in W^(-1/2) x, which take nothing of A but
    its values and its gradient: for W = 1 the null-space projection (Wang et al. 2023, DDNM), whatever the affine A.
    W = 1 - x^2 is the largest variance that a pixel of mean x in [-1, 1] can have (Bhatia & Davis 2000): what is as
    good as certain, black background most of all, hardly moves, and little leaves [-1, 1]. Clipping and fitting
    alternate; the last round takes W = 1, with which few iterations leave the least residual.

    Args:
        x: (B, C, H, W) in [-1, 1].
        degrade: (B, C, H, W) -> (B, C, H, W), affine (up to rounding); what has no gradient moves nothing.
        measured: (B, C, H, W), what it made of the images that are sought.
        rounds: of fitting and clipping.
        iterations: of the conjugate gradients in each; as many as A has distinct singular values are exact.

    Returns:
        (B, C, H, W) in [-1, 1].
    """

    def adjoint(x: Tensor, v: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            made = (traced(degrade, x) * v).sum()
            if not made.requires_grad:
                return torch.zeros_like(x)
            return torch.autograd.grad(made, x, materialize_grads=True)[0]

    def squares(a: Tensor) -> Tensor:
        return a.square().sum(dim=(1, 2, 3), keepdim=True)

    for remaining in reversed(range(rounds)):
        scale = (1 - x.square()).clamp(min=LEAST).sqrt() if remaining else torch.ones_like(x)
        made = degrade(x)
        residual = measured - made
        slope = scale * adjoint(x, residual)
        way, size, moved = slope, squares(slope), torch.zeros_like(x)
        for _ in range(iterations):
            length = (scale * way).abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
            ahead = length * (degrade(x + scale * way / length) - made)  # a probe that stands out of the rounding
            seen = squares(ahead)
            step = torch.where(seen > 1e-6 * squares(way), size / seen, 0)  # else rounding is all that is seen
            moved, residual = moved + step * way, residual - step * ahead
            slope = scale * adjoint(x, residual)
            before, size = size, squares(slope)
            way = slope + size / before.clamp(min=1e-12) * way
        x = (x + scale * moved).clamp(-1, 1)
    return x


def with_measured(restore: Restore, degrade: Callable[[Tensor], Tensor], measured: Tensor, **settings: int) -> Restore:
    """Return a restorer whose x0_hat is `fitted` to what `degrade` made of the images that are sought."""
    return lambda x_t, t: fitted(restore(x_t, t), degrade, measured, **settings)
