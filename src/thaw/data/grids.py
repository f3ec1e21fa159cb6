"""Images out: a grid, the states of a trajectory, an animation, a folder, an array; pixels are never interpolated."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from thaw.base import ThawError, check_target, replacing, to_pixels, to_uint8


def montage(images: Tensor, columns: int, gap: int = 1, background: int = 255) -> Tensor:
    """Lay images out row by row, as one image with gaps between and around them.

    Args:
        images: (N, C, H, W) uint8.
        columns: images a row.
        gap: pixels between images.
        background: grey of the gaps.

    Returns:
        (C, H', W') uint8.
    """
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ThawError(f"a grid takes uint8 images (N, C, H, W), got {images.dtype} {tuple(images.shape)}")
    if columns < 1:
        raise ThawError(f"a grid has at least one column, got {columns}")
    N, C, H, W = images.shape
    rows = -(-N // columns)
    page = torch.full((C, rows * (H + gap) + gap, columns * (W + gap) + gap), background, dtype=torch.uint8)
    for index, image in enumerate(images):
        top, left = gap + index // columns * (H + gap), gap + index % columns * (W + gap)
        page[:, top : top + H, left : left + W] = image
    return page


def grid(images: Tensor, columns: int, gap: int = 1, scale: int = 3, background: int = 255) -> Image.Image:
    """Return a `montage` of grey or coloured images, each pixel `scale` screen pixels wide (never interpolated)."""
    page = montage(images, columns, gap, background).permute(1, 2, 0).numpy()
    picture = Image.fromarray(page[:, :, 0] if page.shape[2] == 1 else page)
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


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


def check_out(path: str | Path, inputs: Iterable[str | Path | None] = ()) -> Path:
    """Return where images go, before anything is drawn: .png, .gif, .npz or a new folder, see `check_target`."""
    return check_target(path, ".png", ".gif", ".npz", folder="new", inputs=inputs)


def save_images(
    path: str | Path,
    images: Tensor,
    *,
    columns: int,
    frames: Sequence[Tensor] = (),
    above: Sequence[Tensor] = (),
    names: Sequence[str] = (),
    labels: Tensor | None = None,
    scale: int = 3,
) -> Path:
    """Save images as the path's ending says: .png a grid, .gif an animation, .npz an array, none a folder of PNGs.

    An .npz holds `images`, (N, H, W) or (N, H, W, 3) uint8, and `labels`, (N,) int64, where given.

    Args:
        path: see `check_out`.
        images: (N, C, H, W) uint8.
        columns: images a row of a grid or animation.
        frames: the states of the animation, pixels (N, C, H, W) in [-1, 1]; the images alone by default.
        above: further rows of a grid, above the images, each (columns, C, H, W) uint8.
        names: file names in a folder; 00000.png, 00001.png, ... by default.
        labels: classes of the images.
        scale: screen pixels a pixel, of a grid or animation.
    """
    path = check_out(path)
    if path.suffix == ".png":
        return save_grid(path, torch.cat([*above, images]), columns, scale=scale)
    if path.suffix == ".gif":
        return save_gif(path, frames or [to_pixels(images)], columns, scale=scale)
    arrays = images.permute(0, 2, 3, 1).numpy() if images.shape[1] == 3 else images[:, 0].numpy()
    with replacing(path, over="file" if path.suffix else "empty") as temporary:
        if path.suffix == ".npz":
            np.savez_compressed(temporary, images=arrays, **({} if labels is None else {"labels": labels.numpy()}))
        else:
            temporary.mkdir()
            for name, array in zip(names or [f"{i:05d}.png" for i in range(len(arrays))], arrays, strict=True):
                Image.fromarray(array).save(temporary / name)
    return path
