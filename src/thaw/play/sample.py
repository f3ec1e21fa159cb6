"""Sample: draw digits from released weights, score them, save them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as widgets
import torch
from PIL import Image
from torch import Tensor

from thaw.base.errors import ThawError
from thaw.base.files import check_target
from thaw.base.pixels import to_uint8
from thaw.base.seeding import derive
from thaw.base.text import number
from thaw.data.output import save_images
from thaw.model import Model
from thaw.play.chooser import ModelChooser, Settings, panel_view
from thaw.play.pictures import grid_png, shown
from thaw.play.widgets import ROW, WIDE, Job, Panel, hint
from thaw.report import figures

COUNTS = (10, 20, 40, 60, 100, 256, 500)
SCORED = 256  # the fewest images that the scores take
BATCH = 250
SCALE = 2  # screen pixels a pixel: ten digits fit beside JupyterLab's file browser, and stay crisp


def draw(model: Model, out: str | Path, n: int = 64, digit: int | None = None, columns: int = 10, **settings: Any):
    """Draw digits, save them as `<model>_samples.png`, and return the picture; says how long it took.

    Args:
        model: see `open_model`.
        out: folder of the picture.
        n: how many.
        digit: only this class; all in turn by default.
        columns: digits a row.
        settings: as for `Model.sample`: sampler, tau, eta, steps, guidance, seed.
    """
    path = check_target(Path(out) / f"{name_of(model, settings)}_samples.png", ".png")
    started = time.perf_counter()
    images = to_uint8(model.sample(model.labels(n, digit), **settings))
    seconds = time.perf_counter() - started
    figures.save_grid(path, images, columns, scale=SCALE)
    print(f"{n} digits in {seconds:.1f} s: {path}")
    with Image.open(path) as picture:
        return picture.copy()


def score(model: Model, n: int = 500, seed: int = 0, **settings: Any) -> dict[str, Any]:
    """Score `n` fresh digits against the test set's statistics, which are shipped; see `thaw.evaluate`."""
    from thaw.scoring.judge import load_judge
    from thaw.scoring.metrics import score_model

    return score_model(model, load_judge(model.config.data_name), n, seed=seed, **settings)


def name_of(model: Model, settings: dict[str, Any]) -> str:
    """Return how files of a model's pictures begin."""
    sampler = settings.get("sampler")
    return f"{model.config.study}_{model.config.label}" + (f"_{sampler}" if sampler else "")


class Progress(NamedTuple):
    """Where drawing stands: steps taken of all, and the images as far as they are known."""

    done: int
    total: int
    images: Tensor  # (N, C, H, W) pixels in [-1, 1]
    state: Tensor  # (N, C, H, W), x_t of the same


def drawing(model: Model, y: Tensor, seed: int = 0, **settings: Any) -> Iterator[Progress]:
    """Draw one image for each label (N,) as `Model.sample` does, step by step; the last images are its result."""
    C, H, W = model.shape
    images, states = torch.full((len(y), C, H, W), -1.0), torch.full((len(y), C, H, W), -1.0)
    parts, done = y.split(BATCH), 0
    total = steps_of(model, settings) * len(parts)
    for index, labels in enumerate(parts):
        stream = derive(seed, "batch", index) if index else seed
        here = slice(index * BATCH, index * BATCH + len(labels))
        for step in model.trajectory(labels, seed=stream, **settings):
            images[here], states[here] = step.x0_hat.cpu().clamp(-1, 1), step.x_t.cpu()
            done += 1
            yield Progress(done, total, images, states)


def steps_of(model: Model, settings: dict[str, Any]) -> int:
    """Return how many states a trajectory with these settings has."""
    settings = {name: value for name, value in settings.items() if name != "seed"}
    return len(model.sampling.replace(**settings).visited(model.process))


def describe(scores: dict[str, Any]) -> str:
    """Return scores as a line of text, each beside what real images get."""
    names = {"fid": "Fréchet distance", "entropy": "class entropy", "confidence": "confidence", "accuracy": "accuracy"}
    parts = []
    for key, value in scores.items():
        floor = "" if value.floor is None else f" (real {number(value.floor)})"
        parts.append(f"{names.get(key, key)} {number(value.value)}{floor}")
    return ", ".join(parts) + f"; n = {next(iter(scores.values())).n}."


class SamplePanel:
    """The panel; `view` is what is displayed."""

    def __init__(self, out: str | Path = "contents/load_and_play", folder: str | Path | None = None) -> None:
        self.out, self.folder, self.drawn = Path(out), folder, None
        self.models, self.settings = ModelChooser(folder), Settings()
        self.count = widgets.SelectionSlider(options=COUNTS, value=40, description="count", style=WIDE, layout=ROW)
        self.note = widgets.HTML(layout={"margin": "0 2px"})
        self.picture = widgets.Image(format="png", layout={"display": "none", "object_fit": "contain"})
        self.caption, self.scores, self.saved = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.save = {kind: widgets.Button(description=kind.upper(), icon="download", disabled=True,
                                          tooltip=f"Save as {kind} in {self.out}", layout={"width": "auto"})
                     for kind in ("png", "gif", "npz")}  # fmt: skip
        self.saving = widgets.HBox(list(self.save.values()), layout={"flex_flow": "row wrap", "display": "none"})
        controls = [*self.models.controls, *self.settings.controls[:1], self.count, *self.settings.controls[1:]]
        results = [self.picture, self.caption, self.scores, self.saving, self.saved]
        self.panel = Panel([*controls, self.note], results, self._start)
        self.score_button = self.panel.add_button("Score 500", self._start_score, icon="balance-scale")
        self.score_button.tooltip = "Draw 500 digits with these settings and measure them"
        self.view = self.panel.view
        self.view.add_class("thaw-sample")
        fit = self.panel.safely(self._fit)
        self.models.observe(fit)
        self.count.observe(self.panel.safely(lambda _: self._note()), "value")
        for kind, button in self.save.items():
            button.on_click(self.panel.safely(lambda _, kind=kind: self._save(kind)))
        fit()
        self._note()

    def _fit(self) -> None:
        self.settings.fit(self.models.open())
        if self.panel.stop_button.disabled:
            self.panel.say("")

    def _note(self) -> None:
        few = self.count.value < SCORED
        self.note.value = hint(f"Fewer than {SCORED} digits are not scored: press Score 500." if few else "")

    def _start(self) -> Callable[[Job], str]:
        return self._work(self.count.value, self.settings.only, show=True)

    def _start_score(self) -> Callable[[Job], str]:
        return self._work(500, self.settings.only, show=False)

    def _work(self, n: int, digit: int | None, show: bool) -> Callable[[Job], str]:
        """Read all settings now; return the work, which does not look at them again."""
        model, settings, title = self.models.open(), self.settings.values(), self.models.title
        y, columns, scale = model.labels(n, digit), 10 if n <= 100 else 20, 2 if n <= 100 else 1
        chosen = f"{title}; " + ", ".join(f"{key} {value}" for key, value in settings.items())

        def work(job: Job) -> str:
            started, frames = time.perf_counter(), []
            for state in drawing(model, y, **settings):
                shown_now = job.report(0.9 * state.done / state.total, f"Step {state.done} of {state.total} ...")
                if show and n <= 100:
                    frames.append(state.state.clone())
                if show and shown_now:
                    job.show(self._publish, grid_png(shown(state.images), columns, scale))
            images = to_uint8(state.images)
            seconds = time.perf_counter() - started
            said = f"{n} digits in {seconds:.1f} s."
            if show:
                drawn = {"images": images, "labels": y, "frames": frames, "columns": columns, "scale": scale}
                drawn |= {"name": f"{name_of(model, settings)}_epoch{model.epoch}_seed{settings['seed']}"}
                job.show(self._finish, grid_png(images, columns, scale), chosen, drawn)
            if n >= SCORED:
                job.report(0.95, "Scoring ...")
                text = self._scored(model, images, y, digit, settings["seed"])
                job.put(self.scores, f"<b>{title}</b>: {text}")
            return said

        return work

    def _scored(self, model: Model, images: Tensor, y: Tensor, digit: int | None, seed: int) -> str:
        from thaw.scoring.judge import load_judge
        from thaw.scoring.metrics import evaluate

        found = evaluate(
            images, load_judge(model.config.data_name, self.folder), y if model.conditional else None, seed=seed
        )
        one = "" if digit is None else f" Only the digit {digit} was drawn: its distance to all digits is large."
        return describe(found) + one

    def _publish(self, code: bytes) -> None:
        self.picture.value, self.picture.layout.display = code, "block"

    def _finish(self, code: bytes, chosen: str, drawn: dict[str, Any]) -> None:
        self._publish(code)
        self.drawn, self.caption.value, self.scores.value, self.saved.value = drawn, hint(chosen), "", ""
        self.saving.layout.display = None
        for kind, button in self.save.items():
            button.disabled = kind == "gif" and not drawn["frames"]

    def _save(self, kind: str) -> None:
        if self.drawn is None:
            raise ThawError("there is nothing to save yet: press Draw")
        drawn = self.drawn
        path = save_images(self.out / f"{drawn['name']}.{kind}", drawn["images"], columns=drawn["columns"],
                           frames=drawn["frames"], labels=drawn["labels"])  # fmt: skip
        self.saved.value = f"Saved: <code style='word-break:break-all'>{path}</code>"


def sample_panel(out: str | Path = "contents/load_and_play", folder: str | Path | None = None) -> widgets.Widget:
    """Return the panel: choose a model and how to draw from it, draw, score, save."""
    return panel_view(lambda: SamplePanel(out, folder), folder)
