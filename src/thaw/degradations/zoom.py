"""Cold zoom: the image is cropped line by line, and what is left is enlarged to full size."""

import math

import torch
from torch import Tensor

from thaw.base import ThawError
from thaw.degradations.base import register
from thaw.degradations.operators import enlarge, progress, smallest_side
from thaw.degradations.separable import Separable

LAST_WINDOW = {"nearest": 4, "bilinear": 5}


def window(size: int, cropped: int) -> Tensor:
    """Return the matrix that crops so many lines, at the beginning and at the end in turn; (size - cropped, size)"""
    return torch.eye(size, dtype=torch.float64)[(cropped + 1) // 2 : size - cropped // 2]


def magnify(size: int, cropped: float, mode: str) -> Tensor:
    """Return the matrix that crops a real number of lines and enlarges the rest to `size` again, (size, size) float64.

    The window's ends move evenly between those of whole numbers of lines, where it is what `window` and `enlarge` make.
    """
    whole = math.floor(cropped)
    ends = [((k + 1) // 2, size - k // 2) for k in (whole, min(whole + 1, size - 1))]
    first, last = (one + (cropped - whole) * (other - one) for one, other in zip(*ends, strict=True))
    place = first + (torch.arange(size, dtype=torch.float64) + 0.5) * (last - first) / size  # pixels, from their edge
    lines = torch.eye(size, dtype=torch.float64)
    if mode == "nearest":
        return lines[(place - 0.5 * (last - first) / size + 1e-9).floor().long()]
    place = (place - 0.5).clamp(first, last - 1)
    below = place.floor().long()
    return torch.lerp(lines[below], lines[(below + 1).clamp(max=size - 1)], (place - below)[:, None])


class Zoom(Separable):
    """D_t keeps a window, cropped by one line more each step, and enlarges it to the whole image.

    A line is a row and a column; the first goes from the top-left, the second from the bottom-right,
    and so on in turn. The pixels of the last window survive. With more steps than lines the window shrinks
    by parts of a line: a zoom of continuous scale.

    Args:
        shape: (C, H, W) of the images.
        mode: "nearest" or "bilinear".
        steps: the number of steps T; by default one line a step.
        last: shorter side of the last window; by default 4 for nearest and 5 for bilinear.
    """

    def __init__(
        self, shape: tuple[int, int, int], mode: str, steps: int | None = None, last: int | None = None
    ) -> None:
        if mode not in LAST_WINDOW:
            raise ThawError(f"zoom mode must be {' or '.join(LAST_WINDOW)}, got {mode!r}")
        lines = min(shape[1:]) - smallest_side(shape, last, LAST_WINDOW[mode])
        super().__init__(shape, lines if steps is None else steps)
        self.mode = mode
        if self.steps > lines:
            cropped = [t * lines / self.steps for t in range(self.steps)]
        else:
            cropped = progress(self.steps, lines).tolist()[:-1]
        last_one = [(window(size, lines), enlarge(size - lines, size, mode)) for size in shape[1:]]
        self.use_factors(*(
            [(torch.eye(size, dtype=torch.float64), magnify(size, k, mode)) for k in cropped] + [last]
            for size, last in zip(shape[1:], last_one, strict=True)
        ))  # fmt: skip
        index = self.left.argmax(dim=2)[:, :, None] * shape[2] + self.right.argmax(dim=2)[:, None, :]
        self.register_buffer("index", index.flatten(1), persistent=False)  # (T+1, H W), for nearest

    def resized(self, x0: Tensor, t: Tensor) -> Tensor:
        if self.mode == "bilinear":
            return super().resized(x0, t)
        index = self.index[t][:, None].expand(-1, self.shape[0], -1)  # (B, C, H W)
        return x0.flatten(2).gather(2, index).unflatten(2, self.shape[1:])


@register("zoom_nearest")
def zoom_nearest(shape: tuple[int, int, int], steps: int | None = None, last: int | None = None) -> Zoom:
    """Zoom with nearest neighbours; see `Zoom`."""
    return Zoom(shape, "nearest", steps, last)


@register("zoom_bilinear")
def zoom_bilinear(shape: tuple[int, int, int], steps: int | None = None, last: int | None = None) -> Zoom:
    """Zoom with bilinear interpolation; see `Zoom`."""
    return Zoom(shape, "bilinear", steps, last)
