"""Morph: a picture of another data set takes the image's place (the animorphosis of Bansal et al. 2022)."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from thaw import data as data_sets
from thaw.base import ThawError, pick, to_pixels
from thaw.base import generator as seeded
from thaw.degradations.base import register
from thaw.degradations.cover import Cover

STORED = 256  # pictures kept with released weights


@lru_cache(maxsize=4)
def _say(what: str) -> None:
    """Print it once."""
    print(what, flush=True)


def pictures_of(name: str, root: Path) -> Tensor:
    """Return the training images of a data set in `root`, (N, C, H, W) uint8, or else scikit-learn's digits."""
    try:
        return data_sets.load(name, "train", download=False).images
    except data_sets.DamagedDataError:
        raise
    except ThawError:
        _say(f"{name} is not in {root}: morphing into scikit-learn's digits instead.")
        return data_sets.load("digits", "train").images


@register("morph")
class Morph(Cover):
    """D_t(x0; z) = w_t x0 + (1 - w_t) z, z a picture of another data set, or the other one of a pair.

    With a_t = 1 - t/T the paper's weights are sqrt(a_t) and sqrt(1 - a_t), which add up to as much as
    1.41 and leave [-1, 1]; here both are divided by their sum.

    Args:
        shape: (C, H, W) of the images.
        steps: the number of steps T.
        data: the other data set, read when z is first drawn; digits where its files are missing. With "pairs", z is
            the degraded picture that belongs to x0 (what is drawn is one of those that training has seen).
    """

    def __init__(self, shape: tuple[int, int, int], steps: int = 100, data: str = "fashion") -> None:
        super().__init__(shape, steps)
        pick(data, [*data_sets.DATA_SETS, "pairs"], "data set to morph into")
        self.data, self._bank = data, None
        signal = (1 - torch.arange(self.steps + 1).double() / self.steps).sqrt()  # sqrt(a_t)
        other = (torch.arange(self.steps + 1).double() / self.steps).sqrt()
        self.use_masks((signal / (signal + other))[:, None, None])

    def bank(self) -> Tensor:
        """Return the pictures that z is drawn from, (N, C, H, W) uint8, as large as they are stored."""
        if self._bank is None and self.data == "pairs":
            raise ThawError("degraded pictures come with data: pairs, or with weights that were trained on them")
        if self._bank is None:
            self._bank = pictures_of(self.data, data_sets.data_root().resolve())
        return self._bank

    def draw_z(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw pictures, resized to (n, C, H, W), in [-1, 1]; a grey one is the same in all channels."""
        pictures = self.bank()
        z = to_pixels(pictures[torch.randint(len(pictures), (n,), generator=generator)])
        if z.shape[2:] != self.shape[1:]:
            z = interpolate(z, size=self.shape[1:], mode="bilinear", antialias=True).clamp(-1, 1)
        return z.expand(-1, self.shape[0], -1, -1).contiguous()

    def z_from(self, x_T: Tensor) -> Tensor:
        return x_T

    def state(self) -> dict[str, Tensor]:
        """Return up to 256 of the pictures, always the same ones."""
        chosen = torch.randperm(len(self.bank()), generator=seeded(0, "morph", self.data))[:STORED].sort().values
        return {"pictures": self.bank()[chosen]}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Draw z from stored pictures from now on.

        Raises:
            ThawError: if there are none, or they are not uint8 images.
        """
        pictures = state.get("pictures")
        if not isinstance(pictures, Tensor) or pictures.dtype != torch.uint8 or pictures.ndim != 4 or not len(pictures):
            raise ThawError(f"the stored state of the morph holds no pictures of {self.data}; get the weights again")
        self._bank = pictures
