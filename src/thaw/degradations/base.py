"""What a degradation is, and the table of all of them."""

import inspect
import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from thaw.base import ThawError, pick

_REGISTRY: dict[str, Callable[..., "Degradation"]] = {}


class Degradation(nn.Module):
    """A family of maps D_t, t = 0..T, that destroy an image step by step; D_0 is the identity.

    A subclass writes `forward`; everything else has a default. Tables and masks are computed once
    and kept as buffers, so that `.to(device)` moves them.

    Args:
        shape: (C, H, W) of the images.
        steps: the number of steps T.
    """

    def __init__(self, shape: tuple[int, int, int], steps: int) -> None:
        super().__init__()
        if steps < 1:
            raise ThawError(f"a degradation needs at least one step, got steps={steps}")
        self.shape, self.steps = tuple(shape), int(steps)

    def forward(self, x0: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        """Degrade clean images to step t.

        Args:
            x0: images (B, C, H, W) in [-1, 1].
            t: steps in 0..T, (B,) int64, one per image.
            z: the randomness that is fixed along a trajectory, as drawn by `draw_z`, or None.

        Returns:
            D_t(x0; z), (B, C, H, W) in [-1, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward(x0, t, z=None)")

    def draw_z(self, n: int, generator: torch.Generator) -> Tensor | None:
        """Draw the randomness of `n` trajectories; None for a deterministic degradation."""
        return None

    def z_from(self, x_T: Tensor) -> Tensor | None:
        """Return the z that fully degraded images (B, C, H, W) tell by themselves; None for those that do not."""
        return None

    def alpha(self, t: Tensor) -> Tensor:
        """Return the factor by which D_t scales what it keeps: 1 for all but the hot process.  (B,) -> (B,)

        The posterior of the noise at s < t given t needs it (see `thaw.sampling.coefficients`).
        """
        return torch.ones(t.shape, dtype=torch.float64, device=t.device)

    def destroyed(self, noise: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        """Return R_t noise: the part of it that lies where D_t destroys, and nothing where D_t keeps.

        Needed only for processes with `noise_in="destroyed"`.

        Args:
            noise: (B, C, H, W).
            t: (B,) int64.
            z: as drawn by `draw_z`.

        """
        raise NotImplementedError(f"{type(self).__name__} has no destroyed subspace")

    def carried(self, noise: Tensor, t: Tensor, s: Tensor, z: Tensor | None = None) -> Tensor:
        """Return R_s R_t^+ noise, s <= t: the noise of step t, scaled to that of step s.

        The default holds for nested orthogonal projections, of which R_s R_t = R_s.
        """
        return self.destroyed(noise, s, z)

    def coordinates(self, x_T: Tensor) -> Tensor:
        """Return the numbers of x0 that a fully degraded image still tells, given z.  (B, C, H, W) -> (B, D)

        The default keeps all pixels; `thaw.terminal` finds the true rank itself. Override it, with
        `from_coordinates`, where the few numbers that survive are known; D is 0 where nothing does.
        """
        return x_T.flatten(1)

    def from_coordinates(self, coordinates: Tensor, z: Tensor | None = None) -> Tensor:
        """Return the fully degraded image with these coordinates and this z.

        Args:
            coordinates: (B, D).
            z: as drawn by `draw_z`, on the same device, or None.

        Returns:
            (B, C, H, W) in [-1, 1]; zeros where D is 0.
        """
        if not coordinates.shape[1]:
            return coordinates.new_zeros(len(coordinates), *self.shape)
        return coordinates.reshape(-1, *self.shape).clamp(-1, 1)

    def state(self) -> dict[str, Tensor]:
        """Return what `draw_z` needs beyond the options, to be stored with released weights; most need nothing."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned, so that sampling needs no data set."""


def register(name: str) -> Callable:
    """Make a degradation known by name to configs, notebooks and the command line.

    >>> @register("dim")
    ... class Dim(Degradation): ...

    Raises:
        ThawError: for a name that no file can bear, or that of a degradation of ours, whose weights know it by that.
    """
    if not isinstance(name, str):
        raise ThawError('register takes a name: @thaw.register("name") above the class')
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ThawError(f"the degradation's name {name!r} names files; register it by letters, digits, _ and - alone")

    def add(factory: Callable[..., Degradation]) -> Callable[..., Degradation]:
        known = _REGISTRY.get(name, factory)
        if known.__module__.startswith("thaw.") and not factory.__module__.startswith("thaw."):
            raise ThawError(f"{name} is a degradation of Thaw's own; register yours by another name")
        _REGISTRY[name] = factory
        return factory

    return add


def names() -> list[str]:
    """Return the names of all registered degradations."""
    return sorted(_REGISTRY)


def registered() -> dict[str, Callable[..., Degradation]]:
    """Return what is registered, name -> class or function, in order: one of your own comes last."""
    return dict(_REGISTRY)


def build(name: str, shape: tuple[int, int, int], steps: int | None = None, **options: object) -> Degradation:
    """Build a degradation by name; `steps` None leaves its own number of steps.

    Raises:
        ThawError: for an unknown name, an option that the degradation does not take, or one that cannot be made.
    """
    pick(name, names(), "degradation")
    factory = _REGISTRY[name]
    takes = [option for option in inspect.signature(factory).parameters if option not in ("shape", "steps")]
    for option in options:
        if option not in takes:
            raise ThawError(f"degradation {name!r} takes {', '.join(takes) or 'no options'}; got {option!r}")
    if steps is not None:
        options["steps"] = steps
    try:
        made = factory(shape, **options)
    except ThawError:
        raise
    except Exception as error:  # whatever a stranger's constructor raises, it is told in a sentence
        raise ThawError(f"{name} cannot be made for images of {shape}: {type(error).__name__}: {error}") from error
    if not isinstance(made, Degradation) or not isinstance(getattr(made, "steps", None), int):
        raise ThawError(f"{name} is no thaw.Degradation of so many steps; call super().__init__(shape, steps) in it")
    return made
