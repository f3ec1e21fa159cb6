"""The laws that a degradation must keep to be trained, sampled and scored, checked on a few images."""

import torch
from torch import Tensor

from thaw.base import ThawError, generator
from thaw.degradations.base import Degradation

ROUNDING = 1e-4  # what two ways to compute the same pixel may differ by


def check_laws(degradation: Degradation, images: Tensor | None = None) -> None:
    """Raise a `ThawError` that names the first law that a degradation breaks, and at which step.

    The laws: D_t gives images of the same shape and type, finite, within [-1, 1]; D_0 is the identity; all
    randomness comes through z, drawn alike from the same seed; every image is degraded to its own step, by its
    own z, whatever else is in the batch; x_T is what its coordinates and z say.

    Args:
        degradation: on the CPU.
        images: (N, C, H, W) in [-1, 1] to check it on; random ones by default.

    >>> check_laws(Degradation((1, 8, 8), 2))
    Traceback (most recent call last):
    thaw.base.errors.ThawError: Degradation fails at step 0 of 2: Degradation must define forward(x0, t, z=None)
    """
    name, T = type(degradation).__name__, degradation.steps
    if images is None:
        images = 2 * torch.rand(8, *degradation.shape, generator=generator(0, "laws")) - 1
    x0, n = images[:8].clone(), len(images[:8])
    z, again = (_drawn(degradation, n, name) for _ in range(2))
    if z is not None and not torch.equal(z, again):
        raise ThawError(f"{name}.draw_z draws other numbers from the same generator; draw all of them from it")

    def at(x: Tensor, t: Tensor, z: Tensor | None) -> Tensor:
        given = x.clone()
        try:
            x_t = degradation(x, t, z)
        except Exception as error:  # whatever a stranger's code raises, it is told in a sentence
            raise ThawError(f"{name} fails at step {int(t[0])} of {T}: {_told(error)}") from error
        if not torch.equal(x, given):
            raise ThawError(f"{name} changes the images that it is given, at step {int(t[0])}; return new ones")
        return x_t

    for step in sorted({0, 1, T // 3, T // 2, T - 1, T}):
        t = torch.full((n,), step)
        x_t = at(x0, t, z)
        if not isinstance(x_t, Tensor) or x_t.shape != x0.shape or x_t.dtype != x0.dtype:
            got = f"{tuple(x_t.shape)} {x_t.dtype}" if isinstance(x_t, Tensor) else type(x_t).__name__
            raise ThawError(f"{name} makes {got} of images {tuple(x0.shape)} {x0.dtype}, at step {step}")
        if not torch.isfinite(x_t).all():
            raise ThawError(f"{name} gives NaN or infinite pixels at step {step} of {T}")
        if float(x_t.abs().max()) > 1 + ROUNDING:
            raise ThawError(f"{name} leaves [-1, 1] at step {step} of {T}: a pixel is {float(x_t.abs().max()):.3g}")
        if step == 0 and float((x_t - x0).abs().max()) > ROUNDING:
            raise ThawError(f"{name} at step 0 must be the identity; it moves a pixel by {(x_t - x0).abs().max():.3g}")
        if not torch.equal(at(x0, t, z), x_t):
            raise ThawError(f"{name} gives two results for one image, at step {step}; randomness comes through z alone")
    steps = torch.arange(n) % (T + 1)
    mixed = at(x0, steps, z)
    for i in range(n):
        alone = at(x0[i : i + 1], steps[i : i + 1], None if z is None else z[i : i + 1])
        if float((alone - mixed[i : i + 1]).abs().max()) > ROUNDING:
            raise ThawError(f"{name} degrades an image in another way beside others, at step {int(steps[i])}")
    x_T = at(x0, torch.full((n,), T), z)
    try:
        back = degradation.from_coordinates(degradation.coordinates(x_T), z)
    except Exception as error:
        raise ThawError(f"{name}.coordinates and from_coordinates fail at step {T}: {_told(error)}") from error
    if back.shape != x_T.shape or float((back - x_T).abs().max()) > 0.01:
        raise ThawError(f"{name}.from_coordinates does not give x_T back from its coordinates")


def _told(error: Exception) -> str:
    """Return what an error says, in one line, with its kind where that is needed to understand it."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RuntimeError | ValueError) and text else f"{type(error).__name__}: {text}"


def _drawn(degradation: Degradation, n: int, name: str) -> Tensor | None:
    try:
        z = degradation.draw_z(n, generator(0, "laws z"))
    except Exception as error:
        raise ThawError(f"{name}.draw_z fails: {_told(error)}") from error
    if z is not None and (not isinstance(z, Tensor) or len(z) != n):
        raise ThawError(f"{name}.draw_z must return a tensor with one entry for each of {n} images, or None")
    return z
