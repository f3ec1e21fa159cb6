"""Pictures with captions: HTML for a panel, in the colours of the theme; one PNG for a page on paper."""

import base64
import html
import io
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from thaw.base import to_uint8
from thaw.data import grid, montage

GREY = 170  # gaps of a grid: seen on a light and on a dark page


class Tile(NamedTuple):
    """One picture (C, H, W) uint8, what stands above it, and what below."""

    image: Tensor
    title: str
    text: str = ""


def shown(pixels: Tensor) -> Tensor:
    """Return pixels as a uint8 picture; noise beyond [-1, 1] is clipped.  any shape -> same"""
    return to_uint8(pixels.detach().cpu().clamp(-1, 1))


def mosaic(images: Tensor, columns: int) -> Tensor:
    """Return a grid of uint8 images (N, C, H, W) without a border as one image (C, H', W'), to be a tile."""
    return montage(images, columns, background=GREY)[:, 1:-1, 1:-1]


def grid_png(images: Tensor, columns: int, scale: int = 2, gap: int = 1) -> bytes:
    """Return a grid of uint8 images as the bytes of a PNG, with gaps that suit any theme."""
    buffer = io.BytesIO()
    grid(images, columns, gap, scale, GREY).save(buffer, "png")
    return buffer.getvalue()


def img(image: Tensor, scale: int = 4, alt: str = "") -> str:
    """Return a picture (C, H, W) uint8 as a tag of HTML, `scale` screen pixels a pixel where there is room."""
    code = base64.b64encode(grid_png(image[None], 1, scale, gap=0)).decode()
    style = f"width:{image.shape[-1] * scale}px;max-width:100%;image-rendering:pixelated;display:block"
    return f'<img src="data:image/png;base64,{code}" alt="{html.escape(alt)}" style="{style}">'


def as_html(tiles: Sequence[Tile], scale: int = 4, together: bool = False) -> str:
    """Return tiles beside each other as HTML, with captions in the colour of the page's text.

    Those that find no room go below, unless they are to stay `together`, and shrink.
    """
    parts, lines = [], max(tile.title.count("\n") + 1 for tile in tiles)
    room = f"calc({100 / len(tiles):.2f}% - 7px)" if together else "100%"
    for tile in tiles:
        title, text = (html.escape(part).replace("\n", "<br>") for part in (tile.title, tile.text))
        parts.append(
            f'<figure style="margin:0 7px 12px 0;width:{tile.image.shape[-1] * scale}px;max-width:{room}">'
            f'<figcaption style="font-weight:600;line-height:1.25;min-height:{1.3 * lines}em">{title}</figcaption>'
            f'{img(tile.image, scale, tile.title)}<figcaption style="line-height:1.3">{text}</figcaption></figure>'
        )
    return f'<div style="display:flex;flex-wrap:wrap;align-items:flex-start">{"".join(parts)}</div>'


def as_picture(rows: Sequence[Sequence[Tile]], scale: int = 4, gap: int = 12) -> Image.Image:
    """Return rows of tiles as one picture, black on white, never interpolated."""
    font, bold = ImageFont.load_default(13), ImageFont.load_default(14)
    above = max((tile.title.count("\n") + 1 if tile.title else 0) for row in rows for tile in row) * 17
    below = max((tile.text.count("\n") + 1 if tile.text else 0) for row in rows for tile in row) * 16
    pictures = [[grid(tile.image[None], 1, gap=0, scale=scale) for tile in row] for row in rows]
    heights = [max(picture.height for picture in row) for row in pictures]
    width = max(sum(picture.width + gap for picture in row) + gap for row in pictures)
    page = Image.new("RGB", (width, sum(heights) + len(rows) * (above + below + gap) + gap), "white")
    pen, top = ImageDraw.Draw(page), gap
    for row, drawn, height in zip(rows, pictures, heights, strict=True):
        left, under = gap, top + above
        for tile, picture in zip(row, drawn, strict=True):
            pen.multiline_text((left, top), tile.title, fill="black", font=bold, spacing=3)
            page.paste(picture, (left, under))
            place = (left, under + picture.height + 2)
            pen.multiline_text(place, tile.text, fill="#333333", font=font, spacing=3)
            left += picture.width + gap
        top += height + above + below + gap
    return page
