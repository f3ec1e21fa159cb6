"""Classify by generating: which class makes a picture most likely?  Bars of p(y given x), by Bayes' rule."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as widgets
import torch
from torch import Tensor

from thaw.base.errors import ThawError
from thaw.base.pixels import to_uint8
from thaw.base.seeding import derive
from thaw.likelihood import class_posterior
from thaw.model import Model
from thaw.play.chooser import ModelChooser, panel_view
from thaw.play.picker import Picker, Picture, example_for
from thaw.play.pictures import source
from thaw.play.shipped import Weights, flow_of, open_again
from thaw.play.widgets import ROW, WIDE, Job, Panel, hint
from thaw.report.figures import STYLE

DRAWS = 50  # of noise behind a bound; all classes share them
AT_ONCE = 5  # of them between two signs of progress
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"  # EMNIST's balanced classes


class Answer(NamedTuple):
    """p(y given x) (K,) after so many draws of noise, and how it was found."""

    posterior: Tensor
    draws: int
    how: str


def classifier(data: str = "mnist", folder: str | Path | None = None) -> Model:
    """Return what classifies a data set: the flow in a latent where one is shipped, else the hot model on pixels.

    Raises:
        ThawError: if neither is there.
    """
    flow = flow_of(data, folder)
    return open_again(flow.label if flow else "default", data=data, folder=folder)


def answers(model: Model, picture: Tensor, draws: int = DRAWS, seed: int = 0) -> Iterator[Answer]:
    """Classify a picture by the bound of log p(x given y), yielding ever surer answers.

    Args:
        model: hot, told the class; a flow in a latent sees the picture encoded and standardised by its coder.
        picture: (1, C, H, W) in [-1, 1].
        draws: of noise, in all.
        seed: of the noise.
    """
    from thaw.data import ImageSet
    from thaw.scoring.bayes import classify as by_bayes  # torchmetrics stays out: only the bound is asked for
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


def names_of(model: Model) -> list[str]:
    """Return what the classes of a model are called."""
    K = model.classes
    letters = model.config.data == "emnist" and len(LETTERS) == K
    return list(LETTERS) if letters else [str(label) for label in range(K)]


def classify(picture: Tensor | None = None, model: Model | None = None, draws: int = DRAWS, seed: int = 0) -> Any:
    """Classify a picture and return a figure: the picture, and p(y given x) as bars.

    Args:
        picture: (1, C, H, W) in [-1, 1]; a real one of the model's data set by default.
        model: see `classifier`, the default.
        draws: of noise.
        seed: of the noise.
    """
    from matplotlib import pyplot as plt

    model = classifier() if model is None else model
    picture = example_for(model) if picture is None else picture
    *_, answer = answers(model, picture, draws, seed)
    with plt.style.context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, width_ratios=(1, 2.4))
        figure.set_size_inches(5, 1.9)
        left.imshow(to_uint8(picture)[0].permute(1, 2, 0), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        left.set_axis_off()
        right.bar(names_of(model), answer.posterior.tolist())
        right.set(ylim=(0, 1), xlabel="class y", ylabel="p(y given x)", title=answer.how)
        plt.close(figure)
    return figure


def bars(model: Model, picture: Tensor, answer: Answer) -> str:
    """Return the picture and the bars as HTML, in the colours of the page."""
    best, rows = int(answer.posterior.argmax()), []
    for label, (name, share) in enumerate(zip(names_of(model), answer.posterior.tolist(), strict=True)):
        if model.classes > 10 and share < 0.005 and label != best:
            continue
        weight = "700" if label == best else "400"
        colour = "var(--jp-brand-color1, #1976d2)" if label == best else "gray"
        rows.append(
            f'<div style="display:flex;align-items:center;font-weight:{weight};height:20px">'
            f'<span style="width:1.5em;text-align:right;margin-right:8px">{name}</span>'
            f'<span style="flex:1;max-width:300px;background:rgba(128,128,128,0.2)">'
            f'<span style="display:block;height:14px;width:{100 * share:.1f}%;background:{colour}"></span></span>'
            f'<span style="min-width:4.8em;white-space:nowrap;text-align:right">{100 * share:.1f} %</span></div>'
        )
    picture_html = f'<img src="{source(to_uint8(picture)[0], 4)}" width="112" style="image-rendering:pixelated">'
    said = f"p(y given x), by {answer.how}"
    body = f'<div style="flex:1;min-width:260px">{"".join(rows)}{hint(said)}</div>'
    return f'<div style="display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start">{picture_html}{body}</div>'


class ClassifyPanel:
    """The panel; `view` is what is displayed."""

    def __init__(self, folder: str | Path | None = None) -> None:
        flow = flow_of(folder=folder)
        self.models = ModelChooser(folder, can_classify, flow.label if flow else "default", "judge by")
        self.picker = Picker(folder, self.models.weights.data)
        self.draws = widgets.IntSlider(DRAWS, 5, 200, step=5, description="draws", style=WIDE, layout=ROW)
        self.seed = widgets.BoundedIntText(0, min=0, max=10**9, description="seed", style=WIDE, layout=ROW)
        why = "" if flow else "No flow in a latent is shipped: the hot model on pixels answers instead."
        self.note, self.answer = widgets.HTML(hint(why)), widgets.HTML()
        controls = [*self.picker.controls, *self.models.controls, self.draws, self.seed, self.note]
        self.panel = Panel(controls, [self.answer], self._start, button="Classify", icon="search")
        self.view = self.panel.view
        self.view.add_class("thaw-classify")
        self.models.observe(self.panel.safely(lambda: self.picker.fit(self.models.weights.data)))

    def _start(self) -> Callable[[Job], str]:
        model, draws, seed, read = self.models.open(), self.draws.value, self.seed.value, self.picker.read()
        if not model.conditional:
            raise ThawError(f"{self.models.title} is not told the class, and cannot tell it; choose another set")

        def work(job: Job) -> str:
            job.report(0.02, "Getting the picture ...")
            picture: Picture = read()
            for answer in answers(model, picture[0], draws, seed):
                if job.report(answer.draws / draws, f"Draw {answer.draws} of {draws} ..."):
                    job.put(self.answer, bars(model, picture[0], answer))
            best = int(answer.posterior.argmax())
            true = f" It is a {names_of(model)[picture[1]]}." if picture[1] is not None else ""
            return f"Most likely a {names_of(model)[best]}, {100 * float(answer.posterior[best]):.0f} %.{true}"

        return work


def can_classify(weights: Weights) -> bool:
    """Whether the bound of p(x given y) is known for these weights: of hot models, in a latent or on pixels."""
    return weights.process in ("hot", "latent")


def classify_panel(folder: str | Path | None = None) -> widgets.Widget:
    """Return the panel: choose or draw a digit, and see what a generator takes it for."""
    return panel_view(lambda: ClassifyPanel(folder), folder, can_classify)
