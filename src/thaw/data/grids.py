"""Pictures side by side: a grid, the states of a trajectory, an animation; crisp pixels, never interpolated."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from thaw.base.errors import ThawError
from thaw.base.files import replacing
from thaw.base.pixels import to_uint8


def grid(images: Tensor, columns: int, gap: int = 1, scale: int = 3, background: int = 255) -> Image.Image:
    """Lay images out row by row, each pixel `scale` screen pixels wide (never interpolated).

    Args:
        images: (N, C, H, W) uint8, C 1 or 3.
        columns: images a row.
        gap: pixels between images.
        scale: integer magnification.
        background: grey of the gaps.
    """
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ThawError(f"a grid takes uint8 images (N, C, H, W), got {images.dtype} {tuple(images.shape)}")
    N, C, H, W = images.shape
    rows = -(-N // columns)
    canvas = torch.full((C, rows * (H + gap) + gap, columns * (W + gap) + gap), background, dtype=torch.uint8)
    for index, image in enumerate(images):
        top, left = gap + index // columns * (H + gap), gap + index % columns * (W + gap)
        canvas[:, top : top + H, left : left + W] = image
    array = canvas.repeat_interleave(scale, 1).repeat_interleave(scale, 2).permute(1, 2, 0).numpy()
    return Image.fromarray(array[:, :, 0] if C == 1 else array)


def save_grid(path: str | Path, images: Tensor, columns: int, **style: Any) -> Path:
    """Save a grid of uint8 images as PNG, see `grid`."""
    path = Path(path)
    with replacing(path) as temporary:
        grid(images, columns, **style).save(temporary)
    return path


def strip(states: Sequence[Tensor], count: int = 10) -> Tensor:
    """Pick `count` states of trajectories, evenly, first and last included.

    Args:
        states: pixels (B, C, H, W), one tensor a state.

    Returns:
        (B * count, C, H, W) uint8, trajectory by trajectory, for a grid of `count` columns. Noise
        beyond [-1, 1] is shown clipped.
    """
    count = min(count, len(states))
    picked = [states[round(i * (len(states) - 1) / max(1, count - 1))] for i in range(count)]
    return to_uint8(torch.stack(picked, dim=1).flatten(0, 1).cpu().clamp(-1, 1))


def save_gif(path: str | Path, states: Sequence[Tensor], columns: int, milliseconds: int = 80, **style: Any) -> Path:
    """Save trajectories as an animation that stays on its last state for two seconds."""
    path = Path(path)
    frames = [grid(to_uint8(state.cpu().clamp(-1, 1)), columns, **style) for state in states]
    durations = [milliseconds] * (len(frames) - 1) + [2000]
    with replacing(path) as temporary:
        frames[0].save(temporary, save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return path
