"""What measures are computed from: each names, by its parameters, what it needs of this."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from thaw.base import generator
from thaw.scoring.extractor import Extractor, Statistics
from thaw.scoring.floors import Classes
from thaw.scoring.judge import Judge
from thaw.scoring.neighbours import NEIGHBOURS, Manifolds, manifolds
from thaw.scoring.real import RealFeatures

# Evidence that only restorations have: a measure that needs any of it is one of them.
OF_RESTORATIONS = ("originals", "true", "ceiling", "direct", "draws", "degraded", "again")


@dataclass(eq=False)
class Evidence:
    """What is known of scored images, and of real ones beside them; None where it is not at hand."""

    images: Tensor | None = None  # (N, C, H, W) uint8, the scored ones
    # The same shape and order; only restorations have them, and all that follows up to `again`
    originals: Tensor | None = None
    true: Tensor | None = None  # (N,) int64, the classes of the originals
    # Share of them that the degraded pictures tell, see `thaw.scoring.ceiling`: of one answer a picture the best guess,
    # of draws the posterior
    ceiling: float | None = None
    direct: Tensor | None = None  # (N, C, H, W) uint8, restorations by one step, beside stochastic ones
    draws: Tensor | None = None  # (M, N, C, H, W) uint8, stochastic restorations by M seeds
    # (N, C, H, W) in [-1, 1], the given D_t(x0; z), and `again`: D_t(x0_hat; z) of the restorations
    degraded: Tensor | None = None
    again: Tensor | None = None
    labels: Tensor | None = None  # (N,) int64, the classes that were asked for
    network: Extractor | None = None  # whose features these are
    features: Tensor | None = None  # (N, D) of the images
    reference: Statistics | None = None  # sums over the features of all real images of the split they are compared with
    real: Tensor | None = None  # (M, D), features of single images of that split
    judge: Judge | None = None  # of the data set, and `stored`: the features of real images that belong to it
    stored: RealFeatures | None = None
    classes: Classes | None = None  # how many images of each class were scored
    expected: Tensor | None = None  # (K,) int64, how many real images each class has
    # (N,), of the images' pixels to the nearest training image, and `of_test`: (M,), of test images' ones
    distances: Tensor | None = None
    of_test: Tensor | None = None
    # (M,), by which the test images are in the shares of the scored classes; None if they lack one
    weights: Tensor | None = None

    @cached_property
    def logits(self) -> Tensor | None:
        """Class scores before the softmax, (N, K)."""
        return None if self.features is None else self.network.logits(self.features)

    @cached_property
    def predicted(self) -> Tensor | None:
        """The likeliest classes, (N,) int64."""
        return None if self.logits is None else self.logits.argmax(dim=1)

    @cached_property
    def histogram(self) -> Tensor | None:
        """How many images the network sees of each class, (K,) int64."""
        return None if self.predicted is None else torch.bincount(self.predicted, minlength=self.logits.shape[1])

    @cached_property
    def manifolds(self) -> Manifolds | None:
        """How the features lie to as many real ones; None if no image has so many neighbours."""
        size = 0 if self.features is None or self.real is None else min(len(self.features), len(self.real))
        if size <= NEIGHBOURS:
            return None
        drawn = torch.randperm(len(self.features), generator=generator(0, "manifolds"))[:size]
        return manifolds(self.real[:size], self.features[drawn], NEIGHBOURS)

    def give(self, function: Callable[..., Any]) -> Any:
        """Call a function with the evidence that its parameters name; None if any of it is not at hand."""
        found = {name: getattr(self, name) for name in inspect.signature(function).parameters}
        return None if any(value is None for value in found.values()) else function(**found)

    def measure(self, rows: Mapping[str, Any], by: str = "of") -> dict[str, float]:
        """Return by name what can be measured of some rows of `MEASURES`; see `Measure.of`.

        Args:
            rows: by name.
            by: the attribute of a row that computes it: `of`, `floor` or `seen`.
        """
        values: dict[str, float] = {}
        for name, row in rows.items():
            function = getattr(row, by)
            value = None if function is None else self.give(function)
            if isinstance(value, list):
                values |= {f"{name}_{k}": float(each) for k, each in enumerate(value)}
            elif value is not None:
                values[name] = float(value)
        return values


NAMES = tuple(name for name in vars(Evidence) if not name.startswith("_") and name not in ("give", "measure"))
