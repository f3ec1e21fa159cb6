"""How well the class can be told from a degraded picture: what no restoration of it can do better.

A classifier is fitted on what D_t leaves of the training images, and asked about test images. It is no exact posterior:
a better classifier would raise a ceiling, never lower it, but on a few surviving numbers there is little left to gain.
"""

import copy
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from thaw.base import ThawError, generator, remember, to_pixels
from thaw.data import ImageSet
from thaw.degradations import Degradation
from thaw.model import Model
from thaw.scoring.scores import CACHE, VERSION
from thaw.store import load_data
from thaw.terminal import FEWEST, fit_classifier


@dataclass(frozen=True)
class Ceiling:
    """What a degraded picture tells of its class, as shares of test images.

    Attributes:
        best_guess: whose likeliest class is right: the most that one answer a picture can reach.
        posterior: mean of p(true class), what draws from the exact posterior agree in.
        error: standard error of either, the larger one.
        n: test images.
    """

    best_guess: float
    posterior: float
    error: float
    n: int

    def __str__(self) -> str:
        shares = f"best guess {self.best_guess:.1%}, exact posterior {self.posterior:.1%} (+- {self.error:.1%})"
        return f"what the degraded picture tells of the class: {shares}, n = {self.n}"

    @classmethod
    def of(cls, p: np.ndarray, labels: np.ndarray) -> "Ceiling":
        """Return it for probabilities of the classes (N, K) and true classes (N,)."""
        right, agreed = p.argmax(axis=1) == labels, p[np.arange(len(labels)), labels]
        error = max(right.std(), agreed.std()) / len(labels) ** 0.5
        return cls(float(right.mean()), float(agreed.mean()), float(error), len(labels))


@torch.no_grad()
def told(degradation: Degradation, images: ImageSet, t: int, seed: int = 0) -> Tensor:
    """Return what degraded pictures tell: the numbers of x0 in D_t(x0; z) with z beside them.  (N, D) float32

    At T the numbers are the coordinates, at other steps all pixels. D is 0 where none survives: z tells no class.
    """
    draws, parts = generator(seed, "ceiling z", images.split), []
    paired = images.degraded is not None and degradation.z_from(images.pixels(slice(1))) is not None
    if paired and t == degradation.steps:
        return to_pixels(images.degraded).flatten(1)  # pairs: all that the model is given
    for x0 in images.batches():
        z = degradation.draw_z(len(x0), draws)
        x_t = degradation(x0, torch.full((len(x0),), t), z)
        numbers = degradation.coordinates(x_t) if t == degradation.steps else x_t.flatten(1)
        beside = [z.reshape(len(z), -1)] if z is not None and numbers.shape[1] else []
        parts.append(torch.cat([numbers, *beside], dim=1).float())
    return torch.cat(parts)


def measure_ceiling(
    degradation: Degradation,
    train: ImageSet,
    test: ImageSet,
    t: int | None = None,
    *,
    seed: int = 0,
    cache: Path | None = None,
) -> Ceiling:
    """Measure how well the class can be told from D_t(x0; z), z known; of 60,000 digits at T in 20 seconds or so.

    Args:
        degradation: D_t, on the CPU; anybody's own too.
        train, test: what the classifier is fitted on, and asked about.
        t: the step, 1..T; T by default.
        seed: of z and of the classifier.
        cache: folder of what was measured before, found by what is told of the test images; None to keep nothing.

    Raises:
        ThawError: for a step that there is not, images of one class only, or fewer than `FEWEST` test images or
            training images of a class.
    """
    t = degradation.steps if t is None else t
    if not 1 <= t <= degradation.steps:
        raise ThawError(f"a ceiling is that of a step between 1 and T={degradation.steps}, got t={t}")
    counts = torch.bincount(train.labels, minlength=train.classes)
    classes = counts.nonzero()[:, 0]
    if len(classes) < 2:
        raise ThawError(f"{train.name} has images of one class only: there is nothing to tell apart")
    if int(counts[classes].min()) < FEWEST:
        rare = int(classes[counts[classes].argmin()])
        text = f"class {rare} of {train.name} has {int(counts[rare])} training images"
        raise ThawError(f"{text}; a ceiling needs at least {FEWEST} of each class")
    if len(test) < FEWEST:
        raise ThawError(f"{test.name} has {len(test)} test images; a ceiling needs at least {FEWEST}")
    asked = told(degradation, test, t, seed)

    def measure() -> dict[str, float | int]:
        p = np.zeros((len(test), train.classes))
        if asked.shape[1]:
            p[:] = fit_classifier(told(degradation, train, t, seed), train.labels, seed)(asked, train.classes).numpy()
        else:
            p[:] = (counts / counts.sum()).numpy()
        return asdict(Ceiling.of(p, test.labels.numpy()))

    key = {"ceiling": VERSION, "told": hashlib.sha256(asked.numpy()).hexdigest(), "seed": seed}
    key |= {"train": train.fingerprint["digest"], "test": test.fingerprint["digest"]}
    return Ceiling(**remember(cache, key, measure))


def model_ceiling(model: Model, t: int | None = None, cache: Path | None = CACHE) -> Ceiling:
    """Return the ceiling of a model's degradation on its own data set, which must be at hand, kept once measured.

    Raises:
        ThawError: as `measure_ceiling` does, or if the data set is not at hand.
    """
    train, test = (load_data(model.config, split, download=False) for split in ("train", "test"))
    return measure_ceiling(copy.deepcopy(model.process.degradation).cpu(), train, test, t, cache=cache)
