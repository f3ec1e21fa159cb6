"""Reading anybody's images: a folder of PNGs, or an array, as uint8 tensors."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from thaw.errors import ThawError


def read_images(path: str | Path) -> tuple[Tensor, Tensor | None]:
    """Read grey images, white strokes on black as in MNIST, and the classes that were asked for, if they are told.

    Args:
        path: a folder of PNGs, whose subfolders, if any, are named by the class, `7/0001.png`; or a
            `.npy` file of images; or an `.npz` file of them under the key `images`, or the only key
            beside `labels`. Arrays are uint8 (N, H, W), (N, 1, H, W) or (N, H, W, 1).

    Returns:
        Images (N, 1, H, W) uint8, and labels (N,) int64 or None.

    Raises:
        ThawError: for anything else, naming what was found and what to do.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise ThawError(f"no file or folder {path}; give a folder of PNGs, a .npy or a .npz file")
    if path.suffix not in (".npy", ".npz"):
        raise ThawError(f"{path} is neither a folder of PNGs nor a .npy or .npz file; save uint8 images by numpy.save")
    try:
        content = np.load(path, allow_pickle=False)
        arrays = {"images": content} if path.suffix == ".npy" else {key: content[key] for key in content.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ThawError(f"{path} is damaged or no numpy file of plain numbers ({error}); save it again") from None
    labels = arrays.pop("labels", None)
    if "images" not in arrays and len(arrays) != 1:
        raise ThawError(f"{path} holds {', '.join(arrays) or 'nothing'}; name the array of images `images`")
    array = arrays["images"] if "images" in arrays else next(iter(arrays.values()))
    return _as_images(array, path), None if labels is None else _as_labels(labels, len(array), path)


def _as_images(array: np.ndarray, path: Path) -> Tensor:
    if array.dtype != np.uint8:
        raise ThawError(
            f"{path} holds {array.dtype} values; save greys 0..255 as uint8 (thaw.to_uint8 converts pixels in [-1, 1])"
        )
    if array.ndim == 4 and array.shape[1] != 1 and array.shape[3] == 1:
        array = array.transpose(0, 3, 1, 2)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.shape[1] != 1:
        raise ThawError(f"{path} has the shape {array.shape}; save grey images as (N, H, W) or (N, 1, H, W)")
    return torch.from_numpy(np.ascontiguousarray(array))


def _as_labels(labels: np.ndarray, n: int, path: Path) -> Tensor:
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise ThawError(
            f"{path} has labels {labels.dtype} {labels.shape}; save one whole number for each of {n} images"
        )
    return torch.from_numpy(labels.astype(np.int64))


def _read_folder(folder: Path) -> tuple[Tensor, Tensor | None]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".png")
    if not paths:
        raise ThawError(f"no PNG in {folder}; save each image as one .png file")
    arrays = [_read_png(path) for path in paths]
    for path, array in zip(paths, arrays, strict=True):
        if array.shape != arrays[0].shape:
            raise ThawError(f"{path} is {_size(array)}, {paths[0].name} {_size(arrays[0])}; save all in one size")
    classes = [path.parent.name for path in paths if path.parent != folder]
    if not classes:
        return torch.from_numpy(np.stack(arrays))[:, None], None
    if len(classes) < len(paths) or not all(name.isdecimal() for name in classes):
        wrong = next((name for name in classes if not name.isdecimal()), "no subfolder")
        raise ThawError(f"{folder} has images in {wrong}; put all in one folder, or each in one named by its class")
    return torch.from_numpy(np.stack(arrays))[:, None], torch.tensor([int(name) for name in classes])


def _read_png(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            if picture.mode in ("L", "1"):
                return np.array(picture.convert("L"))
            if picture.mode not in ("RGB", "RGBA", "LA", "P"):
                raise ThawError(f"{path} has the mode {picture.mode}; save it as an 8-bit grey PNG")
            colour = np.array(picture.convert("RGB"))  # many libraries write grey pictures as colour ones
    except (OSError, SyntaxError, UnidentifiedImageError) as error:
        raise ThawError(f"{path} is damaged or no picture ({error}); save it again as an 8-bit grey PNG") from None
    if (colour != colour[..., :1]).any():
        raise ThawError(f"{path} is coloured; save it as an 8-bit grey PNG")
    return colour[..., 0].copy()


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
