"""Reading anybody's images, in one way everywhere: pictures of any mode, arrays, and folders of either."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from thaw.base import ThawError, user_path
from thaw.data.decoding import coloured, composited, decode, fitted, with_channels

ENDINGS = (
    "png", "jpg", "jpeg", "jfif", "webp", "avif", "bmp", "gif", "tif", "tiff", "pgm", "ppm", "pbm", "jp2",
)  # fmt: skip
ARRAYS = (".npy", ".npz")
# What systems and programs leave in a folder, beside names that begin with a dot: never data.
LEFT_BEHIND = {
    "__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "@recycle", "#recycle",
    "#snapshot", "$recycle.bin", "recycler", "system volume information", "lost+found", "lost.dir",
}  # fmt: skip
BRIGHTER = 96  # levels by which a background is not the usual one


class Item(NamedTuple):
    """One image of a set, not read yet unless it comes from an array."""

    file: Path  # that it is in
    # Name of the subfolder, or the number that an array's `labels` tell; None where nothing is told
    label: str | int | None
    array: np.ndarray | None = None  # (H, W, C) uint8, C 1 to 4, or None for a picture file


def hidden(name: str) -> bool:
    """Tell whether a file or folder of this name is not data: hidden, or left behind by a system or program."""
    return name.startswith((".", "~$")) or name.casefold() in LEFT_BEHIND


def read_images(
    source: str | Path | np.ndarray | Tensor,
    channels: int | None = None,
    *,
    background: int = 0,
    say: Callable[[str], None] = print,
) -> tuple[Tensor, Tensor | None]:
    """Read images at their own size, and the classes that were asked for, if they are told.

    Args:
        source: see `open_set`; subfolders are named by the class, `7/0001.png`. An array or tensor itself too.
        channels: 1 takes grey images, coloured ones are refused; 3 takes both; None gives 3 where one is coloured.
        background: see `read_items`.
        say: what is told is said by this.

    Returns:
        Images (N, C, H, W) uint8, and labels (N,) int64 or None.

    Raises:
        ThawError: for anything else, naming what was found and what to do.
    """
    items = open_set(source, say=say)
    where = "the array" if isinstance(source, np.ndarray | Tensor) else str(source)
    images = read_items(items, where, channels=channels, background=background, say=say)
    labels = [item.label for item in items]
    if not any(label is not None for label in labels):
        return images, None
    for item in items:
        if item.label is None or not str(item.label).isdecimal():
            folder = "no subfolder" if item.label is None else item.label
            text = f"{where} has images in {folder} ({item.file.name})"
            raise ThawError(f"{text}; put all in one folder, or each in one named by its class")
    return images, torch.tensor([int(label) for label in labels])


def open_set(
    source: str | Path | np.ndarray | Tensor, extensions: Sequence[str] = ENDINGS, say: Callable[[str], None] = print
) -> list[Item]:
    """List the images of a set.

    Args:
        source: a picture file; a `.npy` file; an `.npz` file with `images`, or the only key beside `labels`; or a
            folder of pictures, or else of such arrays, whose subfolders are classes. Arrays are uint8 (N, H, W),
            (N, C, H, W) or (N, H, W, C), C 1, 3 or 4 (with transparency), or one image, (H, W) or (H, W, C).
        extensions: endings of the pictures in a folder.
        say: told how many files of a folder are left out.

    Raises:
        ThawError: if there is no such thing, or an array is damaged, of another type or shape.
    """
    if isinstance(source, np.ndarray | Tensor):
        array = source.numpy(force=True) if isinstance(source, Tensor) else source
        return [Item(Path("the array"), None, image) for image in _split(array, "the array")]
    path = user_path(source)
    if not path.exists():
        raise ThawError(f"no file or folder {path}; give a picture, a .npy or .npz file, or a folder of either")
    items = []
    for file in list_images(path, extensions, say) if path.is_dir() else [path]:
        label = file.relative_to(path).parts[0] if path.is_dir() and file.parent != path else None
        if file.suffix.lower() in ARRAYS:
            images, labels = _load(file)
            told = [label] * len(images) if labels is None else labels
            items += [Item(file, one, image) for one, image in zip(told, images, strict=True)]
        else:
            items.append(Item(file, label))
    return items


def list_images(
    folder: Path, extensions: Sequence[str] = ENDINGS, say: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Return all pictures below a folder, or else all arrays, in the order of their names; see `hidden`.

    Raises:
        ThawError: if there is no such folder, or nothing of this kind in it.
    """
    if not folder.is_dir():
        raise ThawError(f"no folder {folder}; name a folder of images")
    endings = {f".{extension.lower().lstrip('.')}" for extension in extensions}
    files = list(_files(folder))
    found = [file for file in files if file.suffix.lower() in endings]
    found = found or [file for file in files if file.suffix.lower() in ARRAYS]
    if not found:
        fix = "save pictures or arrays in it" if tuple(extensions) == ENDINGS else "set data_extensions"
        raise ThawError(f"no images in {folder} with the extensions {', '.join(sorted(endings))}; {fix}")
    taken = set(found)
    rest = Counter(file.suffix.lower() or "without an ending" for file in files if file not in taken)
    if rest:
        counts = ", ".join(f"{count} {ending}" for ending, count in rest.most_common())
        say(f"Files of {folder} that are left out: {rest.total()} ({counts})")
    return found


def _files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield the files below a folder, linked folders included, by name; not what is hidden."""
    here = folder.resolve()
    if here in above:  # a link that leads back
        return
    for entry in sorted(folder.iterdir()):
        if hidden(entry.name):
            continue
        if entry.is_dir():
            yield from _files(entry, (*above, here))
        else:
            yield entry


def read_items(
    items: Sequence[Item],
    where: str,
    *,
    shape: tuple[int, int, int] | None = None,
    channels: int | None = None,
    background: int = 0,
    say: Callable[[str], None] = print,
) -> Tensor:
    """Read the images of a set.

    Pictures are turned upright; of several frames the first is taken; 16-bit greys are scaled to 8 bits. What is
    transparent, by an alpha channel or one transparent colour, is composited over the background that the images
    are meant to have. What was done to how many images is said in a line each.

    Args:
        items: see `open_set`.
        where: what to call the set.
        shape: (C, H, W) to crop, resize and turn them grey or coloured to; by default they keep their size.
        channels: where there is no shape: see `read_images`.
        background: grey level 0..255 to composite over.
        say: what is told is said by this.

    Returns:
        (N, C, H, W) uint8.

    Raises:
        ThawError: naming the file that cannot be read, is coloured where it must not be, or has another size.
    """
    done, told = [], Counter()
    for item in items:
        array, several = (item.array, False) if item.array is not None else decode(item.file)
        array, transparent = composited(array, background)
        if shape:
            told["resized"] += array.shape[:2] != shape[1:]
            array = fitted(with_channels(array, shape[0]), *shape[1:])
        told["transparent"] += transparent
        told["several"] += several
        done.append(array)
    if not done:
        raise ThawError(f"{where} holds no images")
    over = {0: "black", 255: "white"}.get(background, f"grey {background}")
    texts = {"transparent": f"transparent: composited over {over}"}
    texts |= {"several": "animated or have several pages: the first is taken"}
    texts |= {"resized": f"cropped or resized to {shape[2]} x {shape[1]}"} if shape else {}
    for kind, text in texts.items():
        if told[kind]:
            say(f"{told[kind]} of {len(done)} images of {where} are {text}")
    if shape is None:
        done = _alike(items, done, channels)
    return torch.from_numpy(np.stack(done)).permute(0, 3, 1, 2).contiguous()


def _alike(items: Sequence[Item], arrays: list[np.ndarray], channels: int | None) -> list[np.ndarray]:
    """Return arrays of one size with the same channels."""
    for item, array in zip(items, arrays, strict=True):
        if array.shape[:2] != arrays[0].shape[:2]:
            one, other = (f"{a.shape[1]} x {a.shape[0]}" for a in (array, arrays[0]))
            raise ThawError(f"{item.file} is {one}, {items[0].file.name} {other}; save all in one size")
    loud = next((item for item, array in zip(items, arrays, strict=True) if coloured(array)), None)
    if channels == 1 and loud is not None:
        raise ThawError(f"{loud.file} is coloured; save grey images")
    channels = channels or (1 if loud is None else 3)
    return [with_channels(array, channels) for array in arrays]


def check_differ(images: Tensor, where: str) -> None:
    """Raise a `ThawError` if all images (N, C, H, W) of a set are equal: something went wrong before."""
    if len(images) > 1 and bool((images == images[:1]).all()):
        pixels = images[0].unique()
        text = f", every pixel {int(pixels)}" if len(pixels) == 1 else ""
        hint = "check how they were saved (strokes in the colour of the background?)"
        raise ThawError(f"all {len(images)} images of {where} are equal{text}; {hint}")


def background_of(images: Tensor) -> int:
    """Return the grey level, 0..255, of the background of most images: of the pixels at their edges, the median.

    Args:
        images: (N, C, H, W) uint8.
    """
    edges = (images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1])
    return int(torch.cat([edge.flatten(1) for edge in edges], dim=1).median(dim=1).values.median())


def background_hint(images: Tensor, usual: int, what: str) -> str:
    """Return a sentence if most images (N, C, H, W) uint8 have a bright background and the usual one is dark, or ''."""
    found = background_of(images)
    if found - usual <= BRIGHTER:
        return ""
    return (
        f"Most of these images have a bright background (grey {found}), {what} a dark one (grey {usual}): "
        "if they show dark strokes on white, invert them first (255 - images)."
    )


def _load(path: Path) -> tuple[np.ndarray, list[int] | None]:
    """Return the images of a file, (N, H, W, C) uint8, and their labels."""
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            arrays = {"images": content} if isinstance(content, np.ndarray) else {k: content[k] for k in content.files}
    except Exception as error:  # a damaged archive raises whatever its reader trips over
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise ThawError(f"{path} is damaged or no numpy file of plain numbers ({reason}); save it again") from None
    labels = arrays.pop("labels", None)
    if "images" not in arrays and len(arrays) != 1:
        raise ThawError(f"{path} holds {', '.join(arrays) or 'nothing'}; name the array of images `images`")
    images = _split(arrays["images"] if "images" in arrays else next(iter(arrays.values())), path)
    if labels is None:
        return images, None
    n = len(images)
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer) or (n and labels.min() < 0):
        raise ThawError(
            f"{path} has labels {labels.dtype} {labels.shape}; save one whole number for each of {n} images"
        )
    return images, labels.tolist()


def _split(array: np.ndarray, path: Path | str) -> np.ndarray:
    """Return an array of images as (N, H, W, C) uint8, C 1, 3 or 4."""
    if array.dtype != np.uint8:
        raise ThawError(
            f"{path} holds {array.dtype} values; save greys 0..255 as uint8 (thaw.to_uint8 converts pixels in [-1, 1])"
        )
    shape = array.shape
    if array.ndim == 2 or (array.ndim == 3 and shape[2] in (3, 4)):
        array = array.reshape(1, *shape[:2], -1)
    elif array.ndim == 3:
        array = array[..., None]
    elif array.ndim == 4 and (shape[1] in (1, 3) or (shape[1] == 4 and shape[3] not in (1, 3, 4))):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] not in (1, 3, 4) or 0 in array.shape[1:3]:
        known = "(N, H, W), (N, C, H, W) or (N, H, W, C) with 1, 3 or 4 channels"
        raise ThawError(f"{path} has the shape {shape}; save images as {known}")
    return array
