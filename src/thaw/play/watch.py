"""Watch: a trajectory from x_T to x_0, the state x_t beside the network's guess x0_hat."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import torch
from PIL import Image

from thaw.base.errors import ThawError
from thaw.base.files import check_target
from thaw.model import Model
from thaw.play.chooser import ModelChooser, Settings, panel_view
from thaw.play.pictures import GREY, grid_png, mosaic, shown, source
from thaw.play.sample import SCALE, name_of, steps_of
from thaw.play.widgets import ROW, WIDE, Job, Panel, hint
from thaw.report import figures
from thaw.sampling import Step

COLUMNS = 10  # states of a strip


def watch(model: Model, out: str | Path, n: int = 3, **settings: Any) -> Image.Image:
    """Walk from x_T to x_0: save a strip of the states (PNG) and an animation (GIF), and return the strip.

    Every trajectory has two rows: x_t, and below it x0_hat, what the network takes to be behind it.
    """
    stem = f"{name_of(model, settings)}_progression"
    gif, png = (check_target(Path(out) / f"{stem}{ending}", ending) for ending in (".gif", ".png"))
    steps = list(model.trajectory(model.labels(n), **settings))
    save_animation(gif, steps)
    path = figures.save_grid(png, strip(steps), columns=min(COLUMNS, len(steps)), scale=SCALE)
    with Image.open(path) as it:
        return it.copy()


def strip(steps: Sequence[Step]) -> torch.Tensor:
    """Return at most ten states of trajectories, rows of x_t and of x0_hat in turn.  (2 B * 10, C, H, W) uint8"""
    count = min(COLUMNS, len(steps))
    rows = [figures.strip([step[part] for step in steps], count) for part in (1, 2)]
    C, H, W = rows[0].shape[1:]
    return torch.stack([row.reshape(-1, count, C, H, W) for row in rows], dim=1).reshape(-1, C, H, W)


def save_animation(path: str | Path, steps: Sequence[Step]) -> Path:
    """Save trajectories as a GIF, x_t above x0_hat, a column an image."""
    columns = len(steps[0].x_t)
    return figures.save_gif(path, [torch.cat([step.x_t, step.x0_hat]) for step in steps], columns, background=GREY)


def frame(step: Step, columns: int, scale: int = 3) -> str:
    """Return x_t and x0_hat of one step side by side, as HTML."""
    sides = []
    for part, name in ((step.x_t, "x<sub>t</sub>, the state"), (step.x0_hat, "x̂<sub>0</sub>, the network's guess")):
        image = mosaic(shown(part), columns)
        width = image.shape[-1] * scale
        picture = f'<img src="{source(image, scale)}" width="{width}" style="image-rendering:pixelated;display:block">'
        sides.append(f'<div style="margin-right:20px"><div style="font-weight:600">{name}</div>{picture}</div>')
    return f'<div style="display:flex;flex-wrap:wrap">{"".join(sides)}</div>'


class WatchPanel:
    """The panel; `view` is what is displayed."""

    def __init__(self, out: str | Path = "contents/load_and_play", folder: str | Path | None = None) -> None:
        self.out, self.steps, self.name = Path(out), [], ""
        self.models, self.settings = ModelChooser(folder), Settings()
        self.count = widgets.IntSlider(4, 1, 9, description="count", style=WIDE, layout=ROW)
        self.play = widgets.Play(value=0, min=0, max=1, interval=150, disabled=True, layout={"width": "auto"})
        self.scrub = widgets.IntSlider(0, 0, 1, description="state", disabled=True, style={"description_width": "3em"})
        self.scrub.layout = {"width": "320px"}
        self.scrubbing = widgets.HBox([self.play, self.scrub], layout={"flex_flow": "row wrap", "display": "none"})
        self.link = widgets.jslink((self.play, "value"), (self.scrub, "value"))
        self.now, self.caption = widgets.HTML(), widgets.HTML()
        self.strip = widgets.Image(format="png", layout={"display": "none", "object_fit": "contain"})
        self.save = widgets.Button(description="GIF and PNG", icon="download", disabled=True, layout={"width": "auto"})
        self.save.tooltip = f"Save the animation and the strip in {self.out}"
        self.saved, self.saving = widgets.HTML(), widgets.HBox([self.save], layout={"display": "none"})
        controls = [*self.models.controls, *self.settings.controls[:1], self.count, *self.settings.controls[1:]]
        results = [self.scrubbing, self.now, self.caption, self.strip, self.saving, self.saved]
        self.panel = Panel(controls, results, self._start, button="Watch", icon="eye")
        self.view = self.panel.view
        self.view.add_class("thaw-watch")
        fit = self.panel.safely(lambda: self.settings.fit(self.models.open()))
        self.models.observe(fit)
        self.scrub.observe(self.panel.safely(lambda _: self._show()), "value")
        self.save.on_click(self.panel.safely(lambda _: self._save()))
        fit()

    def _start(self) -> Callable[[Job], str]:
        model, settings = self.models.open(), self.settings.values()
        y, total = model.labels(self.count.value, self.settings.only), steps_of(model, settings)
        name = f"{name_of(model, settings)}_epoch{model.epoch}_seed{settings['seed']}_trajectory"
        chosen = f"{self.models.title}; " + ", ".join(f"{key} {value}" for key, value in settings.items())

        def work(job: Job) -> str:
            steps = []
            for step in _noted(model.trajectory(y, **settings)):
                steps.append(step)
                job.report(len(steps) / total, f"State {len(steps)} of {total} ...")
            strip_png = grid_png(strip([Step(s.t, s.x_t[:3], s.x0_hat[:3]) for s in steps]), min(COLUMNS, len(steps)))
            job.show(self._finish, steps, strip_png, name, chosen)
            return f"{len(steps)} states: move the slider, or press play."

        return work

    def _finish(self, steps: list[Step], strip_png: bytes, name: str, chosen: str) -> None:
        self.steps, self.name = steps, name
        for control in (self.play, self.scrub):
            control.max, control.disabled = len(steps) - 1, False
        self.scrubbing.layout.display = None
        self.strip.value, self.strip.layout.display = strip_png, "block"
        self.caption.value = hint(chosen, "Below, from left to right: rows of x_t, and of the guess, in turn.")
        self.save.disabled, self.saving.layout.display, self.saved.value = False, None, ""
        self.scrub.value = len(steps) // 2
        self._show()

    def _show(self) -> None:
        if self.steps:
            step = self.steps[min(self.scrub.value, len(self.steps) - 1)]
            columns = {1: 1, 2: 2, 4: 2, 5: 3, 6: 3}.get(len(step.x_t), min(3, len(step.x_t)))
            self.now.value = f"<div><b>t = {step.t}</b></div>{frame(step, columns)}"

    def _save(self) -> None:
        if not self.steps:
            raise ThawError("there is nothing to save yet: press Watch")
        gif = save_animation(self.out / f"{self.name}.gif", self.steps)
        columns = min(COLUMNS, len(self.steps))
        path = figures.save_grid(self.out / f"{self.name}.png", strip(self.steps), columns)
        self.saved.value = f"Saved: <code style='word-break:break-all'>{gif}</code> and <code>{path.name}</code>"


def _noted(walk: Iterator[Step]) -> Iterator[Step]:
    return (Step(step.t, step.x_t.cpu(), step.x0_hat.cpu()) for step in walk)


def watch_panel(out: str | Path = "contents/load_and_play", folder: str | Path | None = None) -> widgets.Widget:
    """Return the panel: walk from x_T to x_0, then scrub through it."""
    return panel_view(lambda: WatchPanel(out, folder), folder)
