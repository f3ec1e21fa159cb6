"""One picture as an array: any mode and format that Pillow reads, transparent or not, grey or coloured."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from thaw.base import ThawError

# Pillow's modes and what each is read as; 16-bit greys, `I`, `F` and `LAB` are looked at one by one.
MODES = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "P": "RGBA", "PA": "RGBA", "RGB": "RGB", "RGBA": "RGBA"}
MODES |= {"RGBa": "RGBA", "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
DEPTHS = {"L;2": 85, "L;4": 17}  # what Pillow multiplies the greys of a PNG by, but not its tRNS chunk
TOLERANCE = 8  # levels by which the channels of a grey picture may differ after a lossy format


def decode(path: Path) -> tuple[np.ndarray, bool]:
    """Return a picture, turned upright, as (H, W, C) uint8, C 1 to 4, and whether it has further frames."""
    try:
        with Image.open(path) as image:
            several = getattr(image, "n_frames", 1) > 1 and image.format != "MPO"  # whose others are previews
            return _as_array(image, path), several
    except ThawError:
        raise
    except Exception as error:  # Pillow's readers raise whatever they trip over in a damaged file
        reason = "no such file" if isinstance(error, FileNotFoundError) else type(error).__name__
        raise ThawError(f"cannot read {path} as an image ({reason}); save it again, or remove it") from None


def _as_array(image: Image.Image, path: Path) -> np.ndarray:
    """Return an opened picture, turned upright, as (H, W, C) uint8, C 1 to 4: grey or RGB, with or without alpha."""
    mode, kind = image.mode, image.format
    coded = image.tile[0].args if kind == "PNG" and image.tile else ""
    depth = DEPTHS.get(coded if isinstance(coded, str) else coded[0], 1)
    bits = image.tag_v2.get(258, (16,))[0] if kind == "TIFF" else 16
    wide = mode.startswith("I;16") or (mode == "I" and kind in ("PNG", "PPM"))  # scaled to 16 bits by Pillow
    image = ImageOps.exif_transpose(image)
    key = None if mode in ("P", "PA") else image.info.pop("transparency", None)  # the one colour that is transparent
    key = 255 * bool(key) if mode == "1" and key is not None else key
    if wide:
        values = np.asarray(image).astype(np.int64)[..., None]
        top = 2**bits - 1
        array = ((values.clip(0, top) * 255 + top // 2) // top).astype(np.uint8)
        clear = values == key
    elif mode in ("I", "F"):
        raise ThawError(f"{path} holds 32-bit greys (mode {mode}), whose range nobody tells; save it with 8 or 16 bits")
    elif mode == "LAB":
        profiles = (ImageCms.createProfile(name) for name in ("LAB", "sRGB"))
        array = np.asarray(ImageCms.profileToProfile(image, *profiles, outputMode="RGB"))
    elif mode in MODES:
        array = np.asarray(image.convert(MODES[mode]))
        array = array[..., None] if array.ndim == 2 else array
        # Of 16 bits a channel Pillow keeps the upper 8.
        clear = None if key is None else (array == np.array(key) * depth >> (8 if np.max(key) > 255 else 0)).all(-1)
    else:
        raise ThawError(f"{path} has the mode {mode}; save it as an 8-bit grey or RGB picture")
    if key is None:
        return array
    return np.concatenate([array, np.where(clear.reshape(*array.shape[:2], 1), 0, 255).astype(np.uint8)], axis=-1)


def composited(array: np.ndarray, background: int) -> tuple[np.ndarray, bool]:
    """Return an image (H, W, 1 to 4) without its alpha channel, and whether anything was transparent."""
    if array.shape[-1] in (1, 3):
        return array, False
    colour, alpha = array[..., :-1], array[..., -1:].astype(np.int64)
    if (alpha == 255).all():
        return colour, False
    return ((colour * alpha + background * (255 - alpha) + 127) // 255).astype(np.uint8), True


def coloured(array: np.ndarray) -> bool:
    """Tell whether an image (H, W, 1 or 3) is coloured, and not grey up to what a lossy format changes."""
    return array.shape[-1] == 3 and int(np.ptp(array, axis=-1).max()) > TOLERANCE


def with_channels(array: np.ndarray, channels: int) -> np.ndarray:
    """Return an image (H, W, 1 or 3) as grey (1) or RGB (3)."""
    if array.shape[-1] == channels:
        return array
    if channels == 3:
        return array.repeat(3, axis=-1)
    return np.asarray(Image.fromarray(np.ascontiguousarray(array)).convert("L"))[..., None]


def fitted(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Crop an image (H, W, 1 or 3) around its middle to the proportions wanted, and resize it."""
    if array.shape[:2] == (height, width):
        return array
    image = Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[-1] == 1 else array))
    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)).reshape(height, width, -1)
