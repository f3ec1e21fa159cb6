"""Sample: choose a model and how to draw from it, draw, score, save."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import torch

from thaw.base import generator, to_uint8
from thaw.data import save_images
from thaw.model import Model
from thaw.play.drawing import draw_in_steps, score_text, stem_of
from thaw.play.panels.controls import ModelChooser, SamplerSettings, SaveButtons, as_text, control
from thaw.play.panels.panel import Panel, Run, Update, hint, view_of
from thaw.play.pictures import grid_png, shown

COUNTS = (10, 20, 40, 60, 100, 256, 500)
SKETCHED = 20  # digits that are drawn while a slider moves
SCORED = 256  # the fewest images that the scores take


class SamplePanel(Panel):
    """Draw digits while they are watched, save them, score many."""

    def __init__(self, out: str | Path = "contents/load_and_play", folder: str | Path | None = None) -> None:
        self.out, self.folder = Path(out), folder
        self.models, self.settings = ModelChooser(folder), SamplerSettings()
        self.count = control(widgets.SelectionSlider, "count", options=COUNTS, value=40)
        self.note = widgets.HTML(layout={"margin": "0 2px"})
        self.picture = widgets.Image(format="png", layout={"display": "none", "object_fit": "contain"})
        self.caption, self.scores = widgets.HTML(), widgets.HTML()
        self.save = SaveButtons(self._save, ("PNG", "GIF", "NPZ"), self.out)
        controls = [self.models, self.settings.digit, self.count, *self.settings.controls, self.note]
        results = [self.picture, self.caption, self.scores, self.save]
        super().__init__(controls, results, lambda: self._start(self.count.value), name="sample")
        tooltip = "Draw 500 digits with these settings and measure them"
        self.score = self.add_run("Score 500", lambda: self._start(500, False), icon="balance-scale", tooltip=tooltip)
        fit, follow = self.safely(self._fit), self.follow(self._sketch, lambda: self._start(self.count.value))
        self.settings.on_move(follow)
        self.models.on_choice(fit)
        self.count.observe(self.safely(self._remark), "value")
        fit()
        self._remark()

    def _fit(self) -> None:
        self.settings.fit(self.models.load())
        if self.stop_button.disabled:
            self.say("")

    def _remark(self) -> None:
        few = self.count.value < SCORED
        self.button.description = f"Draw {self.count.value}"  # a click overtakes a slider's last move
        self.note.value = hint(f"Fewer than {SCORED} digits are not scored: press Score 500." if few else "")

    def _sketch(self) -> Run | None:
        fast = self.models.fast()
        return None if fast is None else self._quickly(fast, self.count.value, self.settings.only)

    def _quickly(self, model: Model, n: int, digit: int | None) -> Run:
        settings, y = self.settings.fast(model), model.labels(n, digit)
        start = model.start(y, generator(settings["seed"], "sample")).first(SKETCHED)  # of the digits that will follow
        images = model.sample(y[:SKETCHED], start=start, **settings)
        said = f"{len(images)} digits by fast weights; the others where the slider rests ..."
        yield Update(0.0, said, partial(self._preview, to_uint8(images), 10, 2), always=True)

    def _start(self, n: int, show: bool = True) -> Run:
        return self._draw(self.models.load(), self.models.title, n, self.settings.only, self.settings.values(), show)

    def _draw(self, model: Model, title: str, n: int, digit: int | None, settings: dict[str, Any], show: bool) -> Run:
        y, started, frames = model.labels(n, digit), time.perf_counter(), []
        columns, scale = (10, 2) if n <= 100 else (20, 1)
        for state in draw_in_steps(model, y, **settings):
            if show and n <= 100:
                frames.append(state.state.clone())
            picture = partial(self._preview, shown(state.images), columns, scale) if show else None
            yield Update(0.9 * state.done / state.total, f"Step {state.done} of {state.total} ...", picture)
        images = to_uint8(state.images)
        seconds = time.perf_counter() - started
        if show:
            name = f"{stem_of(model, settings)}_epoch{model.epoch}_seed{settings['seed']}"
            drawn = {"images": images, "columns": columns, "frames": frames, "labels": y}
            yield Update(0.9, "", partial(self._finish, as_text(title, settings), name, drawn, scale), always=True)
        if n >= SCORED:
            yield Update(0.95, "Scoring ...", always=True)
            told = f"<b>{title}</b>: {self._scored(model, images, y, digit, settings['seed'])}"
            yield Update(1.0, "", partial(setattr, self.scores, "value", told), always=True)
        return f"{n} digits in {seconds:.1f} s."

    def _scored(self, model: Model, images: torch.Tensor, y: torch.Tensor, digit: int | None, seed: int) -> str:
        from thaw.scoring import evaluate, load_judge

        judge = load_judge(model.config.data_name, self.folder)
        found = evaluate(images, judge, y if model.conditional else None, seed=seed)
        one = "" if digit is None else f" Only the digit {digit} was drawn: its distance to all digits is large."
        return score_text(found) + one

    def _publish(self, images: torch.Tensor, columns: int, scale: int) -> None:
        self.picture.value, self.picture.layout.display = grid_png(images, columns, scale), "block"

    def _preview(self, images: torch.Tensor, columns: int, scale: int) -> None:
        self._publish(images, columns, scale)
        self.caption.value, self.scores.value = "", ""
        self.save.offer()  # nothing, until what is seen is finished: it may be stopped

    def _finish(self, caption: str, name: str, drawn: dict[str, Any], scale: int) -> None:
        self._publish(drawn["images"], drawn["columns"], scale)
        self.name, self.drawn, self.caption.value, self.scores.value = name, drawn, hint(caption), ""
        self.save.offer("PNG", "NPZ", *(["GIF"] if drawn["frames"] else []))

    def _save(self, kind: str) -> Path:
        return save_images(self.out / f"{self.name}.{kind.lower()}", **self.drawn)


def sample_panel(out: str | Path = "contents/load_and_play", folder: str | Path | None = None) -> widgets.Widget:
    """Return the panel: choose a model and how to draw from it, draw, score, save."""
    return view_of(lambda: SamplePanel(out, folder), folder)
