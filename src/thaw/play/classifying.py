"""Classifying by generating: which class makes a picture most likely?  p(y given x) by Bayes' rule."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from thaw.base import ThawError, check_images, derive, to_uint8
from thaw.likelihood import class_posterior
from thaw.model import Model
from thaw.play.real import example_for
from thaw.store import Weights, cached_model
from thaw.store.catalogue import catalogue

DRAWS = 50  # of noise behind a bound; all classes share them
AT_ONCE = 5  # of them between two signs of progress
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"  # EMNIST's balanced classes


class Answer(NamedTuple):
    """p(y given x) (K,) after so many draws of noise, and how it was found."""

    posterior: Tensor
    draws: int
    how: str


def flow_of(data: str = "mnist", folder: str | Path | None = None) -> Weights | None:
    """Return the shipped flow in a latent for a data set, or None."""
    return next((one for one in catalogue(folder) if (one.process, one.data) == ("latent", data)), None)


def classifier(data: str = "mnist", folder: str | Path | None = None) -> Model:
    """Return what classifies a data set: the flow in a latent where one is shipped, else the hot model on pixels.

    Raises:
        ThawError: if neither is there.
    """
    flow = flow_of(data, folder)
    return cached_model(flow.label if flow else "default", data=data, folder=folder)


def answers(model: Model, picture: Tensor, draws: int = DRAWS, seed: int = 0) -> Iterator[Answer]:
    """Classify a picture by the bound of log p(x given y), yielding ever surer answers.

    Args:
        model: hot, told the class; a flow in a latent sees the picture encoded and standardised by its coder.
        picture: (1, C, H, W) in [-1, 1].
        draws: of noise, in all.
        seed: of the noise.

    Raises:
        ThawError: for anything but one picture, or no draws.
    """
    check_images(picture, model.shape, 1)
    if draws < 1:
        raise ThawError(f"a bound takes at least one draw of noise, got {draws}")
    from thaw.data import ImageSet
    from thaw.scoring import classify as by_bayes  # torchmetrics stays out: only the bound is asked for
    from thaw.store.inputs import Latents

    label = torch.zeros(1, dtype=torch.int64)
    if model.coder is None:
        images, how = ImageSet(model.config.data_name, "one", to_uint8(picture), label, model.classes), "pixels"
    else:
        latents = model.coder.encode(picture.to(model.device)).cpu()
        images = Latents(model.config.data_name, "one", latents, label, model.classes, coder=model.coder)
        how = "the latent"
    total, done = torch.zeros(model.classes, dtype=torch.float64), 0
    while done < draws:
        part = min(AT_ONCE, draws - done)
        found = by_bayes(model, images, route="elbo", draws=part, seed=derive(seed, "answer", done))
        total, done = total + part * found.log_likelihoods[0], done + part
        yield Answer(class_posterior(total[None] / done)[0], done, f"the bound on {how}, {done} draws of noise")


def class_names(model: Model) -> list[str]:
    """Return what the classes of a model are called."""
    letters = model.config.data == "emnist" and len(LETTERS) == model.classes
    return list(LETTERS) if letters else [str(label) for label in range(model.classes)]


def classify(picture: Tensor | None = None, model: Model | None = None, draws: int = DRAWS, seed: int = 0) -> Any:
    """Classify a picture and return a figure: the picture, and p(y given x) as bars.

    Args:
        picture: (1, C, H, W) in [-1, 1]; a real one of the model's data set by default.
        model: see `classifier`, the default.
        draws: of noise.
        seed: of the noise.
    """
    from thaw.report.figures import drawing

    model = classifier() if model is None else model
    picture = example_for(model) if picture is None else picture
    *_, answer = answers(model, picture, draws, seed)
    shown = to_uint8(picture)[0].permute(1, 2, 0).numpy()
    with drawing(5, 1.9, ncols=2, width_ratios=(1, 2.4)) as (figure, (left, right)):
        left.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        left.set_axis_off()
        right.bar(class_names(model), answer.posterior.tolist())
        right.set(ylim=(0, 1), xlabel="class y", ylabel="p(y given x)", title=answer.how)
    return figure
