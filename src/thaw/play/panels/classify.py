"""Classify by generating: bars of p(y given x) for a digit that is chosen or drawn."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import ipywidgets as widgets
from torch import Tensor

from thaw.base import ThawError, to_uint8
from thaw.model import Model
from thaw.play.classifying import DRAWS, Answer, answers, class_names, flow_of
from thaw.play.panels.controls import ModelChooser, control, seed_control
from thaw.play.panels.panel import Panel, Run, Update, hint, put, view_of
from thaw.play.panels.picker import Picker
from thaw.play.pictures import img
from thaw.play.real import Picture
from thaw.store import Weights


def bars(model: Model, picture: Tensor, answer: Answer) -> str:
    """Return the picture and the bars as HTML, in the colours of the page."""
    best, rows = int(answer.posterior.argmax()), []
    for label, (name, share) in enumerate(zip(class_names(model), answer.posterior.tolist(), strict=True)):
        if model.classes > 10 and share < 0.005 and label != best:
            continue
        weight, colour = ("700", "var(--jp-brand-color1, #1976d2)") if label == best else ("400", "gray")
        rows.append(
            f'<div style="display:flex;align-items:center;font-weight:{weight};height:20px">'
            f'<span style="width:1.5em;text-align:right;margin-right:8px">{name}</span>'
            f'<span style="flex:1;max-width:300px;background:rgba(128,128,128,0.2)">'
            f'<span style="display:block;height:14px;width:{100 * share:.1f}%;background:{colour}"></span></span>'
            f'<span style="min-width:4.8em;white-space:nowrap;text-align:right">{100 * share:.1f} %</span></div>'
        )
    said = hint(f"p(y given x), by {answer.how}")
    body = f'<div style="flex:1;min-width:260px">{"".join(rows)}{said}</div>'
    flow = "display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start"
    return f'<div style="{flow}">{img(to_uint8(picture)[0])}{body}</div>'


class ClassifyPanel(Panel):
    """Choose or draw a digit, and see what a generator takes it for."""

    def __init__(self, folder: str | Path | None = None) -> None:
        flow = flow_of(folder=folder)
        self.models = ModelChooser(folder, can_classify, flow.label if flow else "default", "judge by")
        self.picker = Picker(folder, self.models.weights.data)
        self.draws, self.seed = control(widgets.IntSlider, "draws", DRAWS, 5, 200, step=5), seed_control()
        why = "" if flow else "No flow in a latent is shipped: the hot model on pixels answers instead."
        self.note, self.answer = widgets.HTML(hint(why)), widgets.HTML()
        controls = [self.picker, self.models, self.draws, self.seed, self.note]
        super().__init__(controls, [self.answer], self._start, "Classify", "search", "classify")
        self.models.on_choice(self.safely(lambda: self.picker.fit(self.models.weights.data)))

    def _start(self) -> Run:
        model = self.models.load()
        if not model.conditional:
            raise ThawError(f"{self.models.title} is not told the class, and cannot tell it; choose another set")
        return self._classify(model, self.picker.read(), self.draws.value, self.seed.value)

    def _classify(self, model: Model, read: Callable[[], Picture], draws: int, seed: int) -> Run:
        yield Update(0.02, "Getting the picture ...", always=True)
        picture, label = read()
        for answer in answers(model, picture, draws, seed):
            show = partial(put, self.answer, bars, model, picture, answer)
            last = answer.draws == draws
            yield Update(answer.draws / draws, f"Draw {answer.draws} of {draws} ...", show, last)
        best, names = int(answer.posterior.argmax()), class_names(model)
        true = "" if label is None else f" It is a {names[label]}."
        return f"Most likely a {names[best]}, {100 * float(answer.posterior[best]):.0f} %.{true}"


def can_classify(weights: Weights) -> bool:
    """Whether the bound of p(x given y) is known for these weights: of hot models, in a latent or on pixels."""
    return weights.process in ("hot", "latent") and not weights.teacher


def classify_panel(folder: str | Path | None = None) -> widgets.Widget:
    """Return the panel: choose or draw a digit, and see what a generator takes it for."""
    return view_of(lambda: ClassifyPanel(folder), folder, can_classify)
