"""What a score must notice: real images with noise, with blur, or with classes left out, more and more of it."""

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from thaw.base import generator
from thaw.data import ImageSet
from thaw.scoring.real import choose

NOISE = (0, 25, 50, 100)  # standard deviation, in greys of 255
BLUR = (0, 0.5, 1, 1.5)  # standard deviation of the Gaussian, in pixels
LOST = (0, 1, 3, 5)  # classes left out


def noisy(images: Tensor, deviation: float) -> Tensor:
    """Return images with Gaussian noise of a standard deviation in greys, always the same.  (N, C, H, W) uint8"""
    noise = torch.randn(images.shape, generator=generator(0, "damage"))
    return (images + deviation * noise).round().clamp(0, 255).to(torch.uint8)


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Return images blurred by a Gaussian of a standard deviation in pixels.  (N, C, H, W) uint8"""
    return gaussian_blur(images, 9, deviation) if deviation else images


def damaged(real: ImageSet, n: int) -> dict[str, dict[float, Tensor]]:
    """Return n real images, and as many ever worse ones, always the same.

    Returns:
        For `noise`, `blur` and `lost classes`: how much -> images (n, C, H, W) uint8; what is not damaged comes first.
        No more classes are lost than leave n images.
    """
    images, labels = (choose(part, real.split, len(real)) for part in (real.images, real.labels))
    left = {lost: images[labels >= lost][:n] for lost in LOST}
    return {
        "noise": {level: noisy(images[:n], level) for level in NOISE},
        "blur": {level: blurred(images[:n], level) for level in BLUR},
        "lost classes": {lost: kept for lost, kept in left.items() if len(kept) == len(images[:n])},
    }
