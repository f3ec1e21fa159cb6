"""Compare: two models, or the epochs of one, side by side."""

from functools import partial
from pathlib import Path

import ipywidgets as widgets

from thaw.base import to_uint8
from thaw.model import Model
from thaw.play.drawing import draw_in_steps, steps_of
from thaw.play.panels.controls import ModelChooser, control, seed_control
from thaw.play.panels.panel import Panel, Run, Update, hint, put, view_of
from thaw.play.pictures import Tile, as_html, mosaic
from thaw.store import cached_model


class ComparePanel(Panel):
    """Draw the same labels with the same seed by several models."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = folder
        width = {"style": {"button_width": "145px"}}
        self.kind = control(widgets.ToggleButtons, options=["two models", "epochs of one"], **width)
        self.one = ModelChooser(folder, name="first")
        self.other = ModelChooser(folder, label="row_default_28", name="second")
        self.count = control(widgets.IntSlider, "count", 50, 10, 100, step=10)
        self.seed, self.note, self.gallery = seed_control(), widgets.HTML(), widgets.HTML()
        controls = [self.kind, self.one, self.other, self.count, self.seed, self.note]
        super().__init__(controls, [self.gallery], self._start, "Compare", "columns", "compare")
        fit = self.safely(self._fit)
        self.count.observe(self.follow(self._sketch, self._start), "value")
        self.kind.observe(fit, "value")
        self.one.on_choice(fit)
        fit()

    def _fit(self) -> None:
        epochs, single = self.kind.value != "two models", len(self.one.weights.epochs) == 1
        self.other.layout.display = "none" if epochs else None
        self.one.epoch.disabled = epochs or single
        only = "Only one epoch of these weights is shipped." if epochs and single else ""
        self.note.value = hint(only, "Each draws at its own settings; labels and seeds are the same.")

    def _sketch(self) -> Run | None:
        if self.kind.value != "two models":
            return None
        quick = [(f"{one.title}, fast weights", fast) for one in (self.one, self.other) if (fast := one.fast())]
        return self._draw(quick, min(self.count.value, 20), self.seed.value) if quick else None

    def _start(self) -> Run:
        n, pair = self.count.value, self.kind.value == "two models"
        chosen = [(self.one.weights, epoch) for epoch in self.one.weights.epochs]
        if pair:
            chosen = [(one.weights, one.epoch.value) for one in (self.one, self.other)]
        models = [cached_model(one.label, epoch, one.data, self.folder) for one, epoch in chosen]
        titles = [f"{one.label}, epoch {epoch}" for one, epoch in chosen]
        return self._draw([*zip(titles, models, strict=True)], n if pair else min(n, 20), self.seed.value)

    def _draw(self, models: list[tuple[str, Model]], n: int, seed: int) -> Run:
        total, pair = sum(steps_of(model, {}) for _, model in models), len(models) == 2
        tiles, done = [], 0
        for title, model in models:
            for state in draw_in_steps(model, model.labels(n), seed=seed):
                done += 1
                drawn = [*tiles, Tile(mosaic(to_uint8(state.images), 5 if pair else 10), title)]
                show = partial(put, self.gallery, as_html, drawn, 2, pair and bool(tiles))
                yield Update(done / total, f"{title}: step {state.done} of {state.total} ...", show, done == total)
            tiles = drawn
        return f"{n} digits each, seed {seed}."


def compare_panel(folder: str | Path | None = None) -> widgets.Widget:
    """Return the panel: two models, or the epochs of one, side by side."""
    return view_of(lambda: ComparePanel(folder), folder)
