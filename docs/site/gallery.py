"""The gallery: each degradation destroys ten real digits, and shipped weights undo it; one GIF each.

Drawn in seconds each, and kept until the weights or this file change.
"""

import hashlib
import inspect
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

import thaw
from thaw import play
from thaw.sampling import Sampling

TAU = 0.25  # of all but the hot process: noise enough to draw from, little enough to see the degradation through it
FRAMES = 14  # states on the way down, and at least as many on the way back
PAUSE = 6  # frames that the digits, clean and destroyed, stand still
SEED = 0


class Animation(NamedTuple):
    """One GIF, and what its caption tells."""

    process: str
    about: str
    path: Path
    weights: str
    epoch: int
    steps: int
    tau: float


def chosen() -> list[Any]:
    """Return the shipped weights that are shown, one for each process on digits: its default set, if there is one."""
    found: dict[str, Any] = {}
    for one in play.catalogue():
        if one.data == "mnist" and one.process != "latent" and (one.process not in found or one.set == "default"):
            found[one.process] = one
    return list(found.values())


def draw(folder: Path) -> list[Animation]:
    """Draw what is missing in a folder, and return all animations, in the order of the catalogue."""
    folder.mkdir(parents=True, exist_ok=True)
    digits = [play.example(2 * number) for number in range(10)]
    x0, y = torch.cat([pixels for pixels, _ in digits]), torch.tensor([label for _, label in digits])
    found = []
    for one in chosen():
        file = thaw.release_path(one.label)
        key = hashlib.sha256(file.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:12]
        model = thaw.load_model(file)
        tau = max(model.process.tau[0], min(TAU, model.process.tau[1]))
        path = folder / f"{one.process}_{key}.gif"
        if not path.is_file():
            save_gif(path, states(model, x0, y, tau))
        found.append(Animation(one.process, about(model), path, file.name, model.epoch, model.process.steps, tau))
    return found


@torch.no_grad()
def states(model: thaw.Model, x0: Tensor, y: Tensor, tau: float) -> list[Tensor]:
    """Return x_t from digits x0 to x_T and back, the network told their classes y.  Each (B, C, H, W)"""
    process, draws = model.process, torch.Generator().manual_seed(SEED)
    z, noise = process.degradation.draw_z(len(x0), draws), torch.randn(x0.shape, generator=draws)
    visited = [round(process.steps * i / FRAMES) for i in range(FRAMES + 1)]
    warmth = torch.full((len(x0),), tau)
    down = [process(x0, torch.full((len(x0),), t), warmth, noise, z) for t in visited]
    restore = model.restorer(y, Sampling(tau=tau, guidance=model.config.guidance))
    steps = min(process.steps, max(FRAMES, model.config.sample_steps or 0))
    back = [step.x_t for step in thaw.reverse(process, restore, down[-1], tau=tau, steps=steps, z=z, generator=draws)]
    return [*[down[0]] * PAUSE, *down, *[down[-1]] * PAUSE, *back, *[back[-1]] * PAUSE]


def save_gif(path: Path, frames: list[Tensor], columns: int = 5) -> None:
    """Write an animation, one screen pixel a pixel (the page enlarges it), under its name only once it is whole."""
    grids = [make_grid(thaw.to_uint8(frame.clamp(-1, 1)), columns, padding=1, pad_value=128)[0] for frame in frames]
    pictures = [Image.fromarray(one.numpy()) for one in grids]
    temporary = path.with_suffix(".part")
    pictures[0].save(temporary, "GIF", save_all=True, append_images=pictures[1:], duration=90, loop=0)
    temporary.replace(path)


def about(model: thaw.Model) -> str:
    """Return the first sentence that the degradation's class says about itself, be it softened or not."""
    degradation = model.process.degradation
    own = getattr(degradation, "inner", degradation)
    return inspect.getdoc(type(own)).partition("\n\n")[0].replace("\n", " ")
