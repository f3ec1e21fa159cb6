"""The two doors between uint8 images and the [-1, 1] floats used everywhere inside."""

import torch
from torch import Tensor

from thaw.base.errors import ThawError


def to_pixels(images: Tensor) -> Tensor:
    """Turn uint8 images (any shape, 0..255) into float32 pixels in [-1, 1]."""
    if images.dtype != torch.uint8:
        raise ThawError(f"to_pixels takes uint8 images, got {images.dtype}; pixels in [-1, 1] are already converted")
    return images.float() / 127.5 - 1.0


def to_uint8(pixels: Tensor) -> Tensor:
    """Turn float pixels in [-1, 1] into uint8 images 0..255, rounding to the nearest grey.

    Raises:
        ThawError: for integers, NaN or infinities, or values outside [-1, 1] by more than rounding
            (a byte cast would wrap them around, the flaw that spoilt earlier studies' scores).
    """
    if not pixels.is_floating_point():
        raise ThawError(f"to_uint8 takes float pixels in [-1, 1], got {pixels.dtype}")
    if not torch.isfinite(pixels).all():
        raise ThawError("to_uint8 got NaN or infinite pixels; the sampler or the network diverged")
    peak = float(pixels.abs().max()) if pixels.numel() else 0.0
    if peak > 1.001:
        raise ThawError(f"to_uint8 takes pixels in [-1, 1], got a value of magnitude {peak:.3g}; clamp them first")
    return ((pixels.clamp(-1, 1) + 1.0) * 127.5).round().to(torch.uint8)


def check_images(x: Tensor, shape: tuple[int, int, int], n: int | None = None) -> None:
    """Raise a `ThawError` unless `x` is a float batch (B, *shape), of B = n images where that is told."""
    if not x.is_floating_point():
        raise ThawError(f"images must be floats in [-1, 1], got {x.dtype}; use thaw.to_pixels on uint8 images")
    if x.ndim != 4 or tuple(x.shape[1:]) != tuple(shape) or n not in (None, len(x)):
        raise ThawError(f"expected images of shape ({n or 'B'}, {', '.join(map(str, shape))}), got {tuple(x.shape)}")
