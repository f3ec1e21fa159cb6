"""Images in and out of the command line: a grid, an animation, a folder, or an array; and back."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from thaw.errors import ThawError
from thaw.figures import save_gif, save_grid
from thaw.files import replacing
from thaw.folder import list_images, read_image

ENDINGS = ("png", "jpg", "jpeg", "webp", "bmp", "gif")


def check_out(path: str | Path) -> Path:
    """Return where images go, before anything is drawn.

    Raises:
        ThawError: for an ending that is none of .png, .gif, .npz or none (a folder), or a folder that holds something.
    """
    path = Path(path)
    if path.suffix not in (".png", ".gif", ".npz", ""):
        raise ThawError(f"cannot write images to {path}; end it in .png, .gif or .npz, or name a new folder")
    if not path.suffix and (path.is_file() or (path.is_dir() and any(path.iterdir()))):
        raise ThawError(f"{path} exists; name a new folder for the images")
    return path


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
    with replacing(path) as temporary:
        if path.suffix == ".npz":
            np.savez_compressed(temporary, images=arrays, **({} if labels is None else {"labels": labels.numpy()}))
        else:
            temporary.mkdir()
            for name, array in zip(names or [f"{i:05d}.png" for i in range(len(arrays))], arrays, strict=True):
                Image.fromarray(array).save(temporary / name)
    return path


def open_images(path: str | Path, shape: tuple[int, int, int], n: int | None = None) -> tuple[Tensor, list[str]]:
    """Read an image, a folder of images, or an .npz as `save_images` writes it, at the size of a model.

    Args:
        path: file or folder.
        shape: (C, H, W); images are cropped, resized and turned grey or coloured to it, an array must have it.
        n: the first so many; all by default.

    Returns:
        Images (N, C, H, W) uint8, and a .png name for each.

    Raises:
        ThawError: for a path that is not there, or holds no such images.
    """
    path, (C, H, W) = Path(path), shape
    if path.suffix == ".npz":
        images = _open_array(path, shape)[:n]
        return images, [f"{i:05d}.png" for i in range(len(images))]
    files = (list_images(path, ENDINGS) if path.is_dir() else [path])[:n]
    images = torch.stack([read_image(file, H, W, C) for file in files])
    return images, [f"{i:05d}_{file.stem}.png" for i, file in enumerate(files)]


def _open_array(path: Path, shape: tuple[int, int, int]) -> Tensor:
    C, H, W = shape
    try:
        with np.load(path, allow_pickle=False) as content:
            array = content["images"]
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise ThawError(f"cannot read {path} as an .npz with uint8 `images` ({type(error).__name__})") from None
    if array.dtype != np.uint8 or array.shape[1:] not in ((H, W), (H, W, C)):
        expected = f"(n, {H}, {W})" if C == 1 else f"(n, {H}, {W}, {C})"
        raise ThawError(f"{path} must hold uint8 images {expected}, got {array.dtype} {array.shape}")
    return torch.from_numpy(array).reshape(-1, H, W, C).permute(0, 3, 1, 2).contiguous()
