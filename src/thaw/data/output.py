"""Images out of the command line: a grid, an animation, a folder, or an array."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from thaw.base.files import check_target, replacing
from thaw.data.grids import save_gif, save_grid


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
        return save_gif(path, frames or [images.float() / 127.5 - 1], columns, scale=scale)
    arrays = images.permute(0, 2, 3, 1).numpy() if images.shape[1] == 3 else images[:, 0].numpy()
    with replacing(path, over="file" if path.suffix else "empty") as temporary:
        if path.suffix == ".npz":
            np.savez_compressed(temporary, images=arrays, **({} if labels is None else {"labels": labels.numpy()}))
        else:
            temporary.mkdir()
            for name, array in zip(names or [f"{i:05d}.png" for i in range(len(arrays))], arrays, strict=True):
                Image.fromarray(array).save(temporary / name)
    return path
