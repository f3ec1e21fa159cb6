"""Any folder of images as a data set: cropped to squares, resized, labelled by its subfolders."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from thaw import data
from thaw.config import Config
from thaw.data import ImageSet
from thaw.errors import ThawError
from thaw.seeding import generator

TEST_SHARE = 0.1  # of a folder without train/ and test/
MODES = {1: "L", 3: "RGB"}


def load_data(config: Config, split: str = "train") -> ImageSet:
    """Load the data set of a configuration, a folder of images or latents included; a `ThawError` if it is missing."""
    if config.autoencoder is not None:
        from thaw.latent import load_latents  # needs models, which need this file

        return load_latents(config, split)
    if config.data != "folder":
        return data.load(config.data, split, emnist=config.emnist_split)
    extensions = tuple(config.data_extensions)
    return load_folder(Path(config.data_path), split, config.data_size, config.data_channels, extensions)


def read_image(path: Path, height: int, width: int, channels: int) -> Tensor:
    """Read one image: turned upright, cropped around its middle to the proportions wanted, and resized.

    Returns:
        (C, H, W) uint8; C 1 is grey, 3 is RGB.

    Raises:
        ThawError: naming the file that is missing or no image.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert(MODES[channels])
            fitted = ImageOps.fit(upright, (width, height), Image.Resampling.LANCZOS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's words for damage
        reason = "no such file" if isinstance(error, FileNotFoundError) else type(error).__name__
        raise ThawError(f"cannot read {path} as an image ({reason}); repair or remove it") from None
    return torch.from_numpy(np.array(fitted)).reshape(height, width, channels).permute(2, 0, 1).contiguous()


def list_images(folder: Path, extensions: Sequence[str]) -> list[Path]:
    """Return all images below a folder, in the order of their names.

    Raises:
        ThawError: if there is no such folder, or no image with one of the extensions in it.
    """
    if not folder.is_dir():
        raise ThawError(f"no folder {folder}; set data_path to a folder of images")
    endings = {f".{extension.lower().lstrip('.')}" for extension in extensions}
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file())
    if not found:
        raise ThawError(f"no images in {folder} with the extensions {', '.join(sorted(endings))}; set data_extensions")
    return found


@lru_cache(maxsize=4)
def load_folder(
    path: Path, split: str = "train", size: int = 32, channels: int = 3, extensions: tuple[str, ...] = ("png", "jpg")
) -> ImageSet:
    """Load a folder of images into memory, once a process.

    Where it holds `train/` and `test/`, these are the splits; otherwise a tenth of the images, drawn
    by a fixed seed, is the test split. The names of the subfolders, in alphabetical order, are the
    classes 0..K-1; without subfolders K is 0.

    Args:
        path: the folder.
        split: "train" or "test".
        size: the images become size x size pixels.
        channels: 1 (grey) or 3 (colour).
        extensions: file names that count as images.

    Raises:
        ThawError: for a missing or empty folder, an image that cannot be read, or images both in
            subfolders and beside them.
    """
    if split not in ("train", "test"):
        raise ThawError(f"unknown split {split!r}; choose train or test")
    divided = (path / "train").is_dir() and (path / "test").is_dir()
    root = path / split if divided else path
    files = list_images(root, extensions)
    names = [file.relative_to(root).parts[0] if file.parent != root else "" for file in files]
    classes = sorted(set(names) - {""})
    if classes and "" in names:
        loose = root / files[names.index("")].name
        raise ThawError(f"{root} has images in subfolders and beside them ({loose.name}); move these into one too")
    if divided:
        classes = sorted(folder.name for folder in (path / "train").iterdir() if folder.is_dir())
        unknown = sorted(set(names) - {*classes, ""})
        if unknown or (classes and "" in names):
            raise ThawError(f"{root} has classes that {path / 'train'} has not: {', '.join(unknown) or 'none at all'}")
    if not divided:
        order = torch.randperm(len(files), generator=generator(0, "folder split")).tolist()
        count = max(1, round(TEST_SHARE * len(files))) if len(files) > 1 else 0
        chosen = sorted(order[:count] if split == "test" else order[count:])
        if not chosen:
            raise ThawError(f"{path} holds one image only; a test split needs at least two")
        files, names = [files[i] for i in chosen], [names[i] for i in chosen]
    images = torch.stack([read_image(file, size, size, channels) for file in files])
    labels = torch.tensor([classes.index(name) if name else 0 for name in names])
    return ImageSet(data.folder_name(path), split, images, labels, len(classes))
