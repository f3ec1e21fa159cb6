"""Watch: a trajectory from x_T to x_0, to be scrubbed through."""

from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from torch import Tensor

from thaw.data import save_grid
from thaw.model import Model
from thaw.play.drawing import COLUMNS, rows_of, save_animation, stem_of, steps_of
from thaw.play.panels.controls import ModelChooser, SamplerSettings, SaveButtons, as_text, control
from thaw.play.panels.panel import Panel, Run, Update, hint, view_of
from thaw.play.pictures import Tile, as_html, grid_png, mosaic, shown
from thaw.sampling import Step


class WatchPanel(Panel):
    """Walk from x_T to x_0, then move through the states."""

    def __init__(self, out: str | Path = "contents/load_and_play", folder: str | Path | None = None) -> None:
        self.out, self.steps = Path(out), []
        self.models, self.settings = ModelChooser(folder), SamplerSettings()
        self.count = control(widgets.IntSlider, "count", 4, 1, 9)
        self.player = widgets.Play(value=0, min=0, max=1, interval=150, layout={"width": "auto"})
        width = {"style": {"description_width": "3em"}, "layout": {"width": "320px"}}
        self.scrub = control(widgets.IntSlider, "state", 0, 0, 1, **width)
        self.link = widgets.jslink((self.player, "value"), (self.scrub, "value"))
        self.scrubbing = widgets.HBox([self.player, self.scrub], layout={"flex_flow": "row wrap", "display": "none"})
        self.now, self.caption = widgets.HTML(), widgets.HTML()
        self.strip = widgets.Image(format="png", layout={"display": "none", "object_fit": "contain"})
        self.save = SaveButtons(self._save, ("GIF and PNG",), self.out)
        controls = [self.models, self.settings.digit, self.count, *self.settings.controls]
        results = [self.scrubbing, self.now, self.caption, self.strip, self.save]
        super().__init__(controls, results, self._start, "Watch", "eye", "watch")
        fit = self.safely(lambda: self.settings.fit(self.models.load()))
        self.models.on_choice(fit)
        self.settings.on_move(self.follow(self._sketch, self._start))
        self.scrub.observe(self.safely(self._show), "value")
        fit()

    def _sketch(self) -> Run | None:
        if (model := self.models.fast()) is None:
            return None
        settings, y = self.settings.fast(model), model.labels(self.count.value, self.settings.only)
        return self._walk(model, y, settings, as_text(f"{self.models.title}, fast weights", settings))

    def _start(self) -> Run:
        model, settings = self.models.load(), self.settings.values()
        y, caption = model.labels(self.count.value, self.settings.only), as_text(self.models.title, settings)
        return self._walk(model, y, settings, caption)

    def _walk(self, model: Model, y: Tensor, settings: dict[str, Any], caption: str) -> Run:
        steps: list[Step] = []
        total = steps_of(model, settings)
        for step in model.trajectory(y, **settings):
            steps.append(Step(step.t, step.x_t.cpu(), step.x0_hat.cpu()))
            yield Update(len(steps) / total, f"State {len(steps)} of {total} ...")
        name = f"{stem_of(model, settings)}_epoch{model.epoch}_seed{settings['seed']}_trajectory"
        yield Update(1.0, "", partial(self._finish, steps, name, caption), always=True)
        return f"{len(steps)} states: move the slider, or press play."

    def _finish(self, steps: list[Step], name: str, caption: str) -> None:
        self.steps, self.name = steps, name
        self.player.max = self.scrub.max = len(steps) - 1
        few = [Step(step.t, step.x_t[:3], step.x0_hat[:3]) for step in steps]
        self.strip.value = grid_png(rows_of(few), min(COLUMNS, len(steps)))
        self.caption.value = hint(caption, "Below, from left to right: rows of x_t, and of the guess, in turn.")
        self.strip.layout.display, self.scrubbing.layout.display = "block", None
        self.save.offer("GIF and PNG")
        self.scrub.value = len(steps) // 2
        self._show()

    def _show(self) -> None:
        if self.steps:
            step = self.steps[min(self.scrub.value, len(self.steps) - 1)]
            columns = {1: 1, 2: 2, 4: 2}.get(len(step.x_t), 3)
            sides = {"state x_t": step.x_t, "guess x̂_0": step.x0_hat}
            tiles = [Tile(mosaic(shown(pixels), columns), title) for title, pixels in sides.items()]
            self.now.value = f"<div><b>t = {step.t}</b></div>{as_html(tiles, 3)}"

    def _save(self, _: str) -> str:
        gif = save_animation(self.out / f"{self.name}.gif", self.steps)
        png = save_grid(self.out / f"{self.name}.png", rows_of(self.steps), min(COLUMNS, len(self.steps)))
        return f"{gif}</code> and <code>{png.name}"


def watch_panel(out: str | Path = "contents/load_and_play", folder: str | Path | None = None) -> widgets.Widget:
    """Return the panel: walk from x_T to x_0, then scrub through it."""
    return view_of(lambda: WatchPanel(out, folder), folder)
