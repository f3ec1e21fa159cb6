"""A canvas to draw on with the mouse, and what MNIST would have made of the drawing.

The strokes are drawn by the page itself, so that they follow the mouse while the kernel computes.
"""

from collections.abc import Sequence
from pathlib import Path

import anywidget
import numpy as np
import torch
import traitlets
from PIL import Image, ImageDraw
from scipy.ndimage import center_of_mass
from torch import Tensor

from thaw.base import ThawError, to_pixels

SIZE = 224  # pixels of the canvas, on the screen
BOX, SIDE = 20, 28  # MNIST's digits fit a box of 20 pixels, and lie by their centre of mass in 28
BRUSH = 2.4  # width of a stroke in these pixels, about MNIST's
FINE = 8  # strokes are drawn so many times larger, then averaged
SMALL = 0.25  # drawings that fill less of the canvas than this are not enlarged any further

Strokes = Sequence[Sequence[Sequence[float]]]  # lists of points (x, y) in [0, 1]


class Canvas(anywidget.AnyWidget):
    """White strokes on black; `strokes` are lists of points (x, y) in [0, 1]."""

    _esm, _css = (Path(__file__).with_name(f"canvas.{ending}") for ending in ("js", "css"))
    size = traitlets.Int(SIZE).tag(sync=True)
    strokes = traitlets.List([]).tag(sync=True)

    def clear(self) -> None:
        """Remove all strokes."""
        self.strokes = []

    def picture(self) -> Tensor:
        """Return the drawing as MNIST would hold it, see `to_picture`."""
        return to_picture(self.strokes)


def to_picture(strokes: Strokes) -> Tensor:
    """Turn strokes into a picture as MNIST's were made: scaled to a box of 20 pixels, centred by mass in 28.

    The width of the strokes does not depend on how large they were drawn.

    Args:
        strokes: lists of points (x, y) in [0, 1], y downwards.

    Returns:
        (1, 1, 28, 28) float32 in [-1, 1], white on black.

    Raises:
        ThawError: if nothing was drawn.
    """
    points = np.array([point for stroke in strokes for point in stroke], dtype=float).reshape(-1, 2)
    if not len(points):
        raise ThawError("the canvas is empty: draw a digit on it")
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    scale = (BOX - BRUSH) / max(float(extent.max()), SMALL)
    origin = (SIDE - scale * extent) / 2
    page = Image.new("L", (SIDE * FINE, SIDE * FINE), 0)
    pen, radius = ImageDraw.Draw(page), BRUSH * FINE / 2
    for stroke in strokes:
        places = [tuple(((np.array(point) - low) * scale + origin) * FINE) for point in stroke]
        pen.line(places, fill=255, width=round(2 * radius), joint="curve")
        for x, y in places:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    grey = np.asarray(page.reduce(FINE))
    shift = [round((SIDE - 1) / 2 - middle) for middle in center_of_mass(grey)]
    return to_pixels(torch.from_numpy(np.roll(grey, shift, axis=(0, 1)))[None, None])  # the border is empty
