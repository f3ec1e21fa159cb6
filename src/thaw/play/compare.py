"""Compare: the same seeds, drawn by several models, or by one model after more and more epochs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets as widgets
from PIL import Image
from torch import Tensor

from thaw.base.errors import ThawError
from thaw.base.files import by_git
from thaw.base.pixels import to_uint8
from thaw.play.chooser import ModelChooser, panel_view
from thaw.play.pictures import Tile, as_html, as_picture, mosaic
from thaw.play.sample import drawing, steps_of
from thaw.play.shipped import catalogue, open_again
from thaw.play.widgets import ROW, WIDE, Job, Panel, hint
from thaw.store.weights import pretrained

Choice = tuple[str, int | None]  # label and epoch, None for the newest


def epochs_of(label: str, data: str = "mnist", folder: str | Path | None = None) -> list[Choice]:
    """Return the shipped epochs of a model as choices to compare."""
    found = [one for one in catalogue(folder) if (one.label, one.data) == (label, data)]
    if not found:
        folder = pretrained(folder)
        raise ThawError(f"no weights {data} {label} in {folder}; restore them with {by_git(folder)}")
    return [(label, epoch) for epoch in found[0].epochs]


def _tile(images: Tensor, title: str, columns: int) -> Tile:
    return Tile(mosaic(to_uint8(images), columns), title)


def compare(
    choices: Sequence[Choice], n: int = 10, seed: int = 0, columns: int = 10, data: str = "mnist",
    folder: str | Path | None = None,
) -> Image.Image:  # fmt: skip
    """Draw the same labels with the same seed by several models, each at its own settings, and return one figure.

    Args:
        choices: (label, epoch) of each; see `epochs_of` for those of one model.
        n: digits each.
        seed: of all.
        columns: digits a row.
        data: data set of all.
        folder: of the weights.
    """
    models = [open_again(label, epoch, data, folder) for label, epoch in choices]
    tiles = [
        _tile(model.sample(model.labels(n), seed=seed), f"{label}, epoch {model.epoch}", columns)
        for (label, _), model in zip(choices, models, strict=True)
    ]
    return as_picture([[tile] for tile in tiles], scale=2, gap=8)


class ComparePanel:
    """The panel; `view` is what is displayed."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = folder
        self.kind = widgets.ToggleButtons(options=["two models", "epochs of one"], style={"button_width": "145px"})
        self.kind.layout = ROW
        self.one = ModelChooser(folder, name="first")
        self.other = ModelChooser(folder, label="row_default_28", name="second")
        self.count = widgets.IntSlider(50, 10, 100, step=10, description="count", style=WIDE, layout=ROW)
        self.seed = widgets.BoundedIntText(0, min=0, max=10**9, description="seed", style=WIDE, layout=ROW)
        self.note, self.gallery = widgets.HTML(), widgets.HTML()
        self.second = widgets.VBox(self.other.controls)
        controls = [self.kind, *self.one.controls, self.second, self.count, self.seed, self.note]
        self.panel = Panel(controls, [self.gallery], self._start, button="Compare", icon="columns")
        self.view = self.panel.view
        self.view.add_class("thaw-compare")
        show = self.panel.safely(lambda *_: self._show())
        self.kind.observe(show, "value")
        self.one.observe(show)
        show()

    def _show(self) -> None:
        epochs = self.kind.value != "two models"
        self.second.layout.display = "none" if epochs else None
        self.one.epoch.disabled = epochs or len(self.one.weights.epochs) == 1
        alone = epochs and len(self.one.weights.epochs) == 1
        said = "Only one epoch of these weights is shipped." if alone else ""
        self.note.value = hint(said, "Each draws at its own settings; labels and seeds are the same.")

    def _start(self) -> Callable[[Job], str]:
        n, seed = self.count.value, self.seed.value
        if self.kind.value == "two models":
            chosen = [(one.weights, one.epoch.value) for one in (self.one, self.other)]
        else:
            chosen = [(self.one.weights, epoch) for epoch in self.one.weights.epochs]
            n = min(n, 20)
        models = [open_again(weights.label, epoch, weights.data, self.folder) for weights, epoch in chosen]
        total, side = sum(steps_of(model, {}) for model in models), len(models) == 2
        columns, scale = (5, 2) if side else (10, 2)

        def work(job: Job) -> str:
            tiles, done = [], 0
            for (weights, epoch), model in zip(chosen, models, strict=True):
                title = f"{weights.label}, epoch {epoch}"
                for state in drawing(model, model.labels(n), seed=seed):
                    done += 1
                    if job.report(done / total, f"{title}: step {state.done} of {state.total} ..."):
                        job.put(
                            self.gallery,
                            as_html([*tiles, _tile(state.images, title, columns)], scale, side and bool(tiles)),
                        )
                tiles.append(_tile(state.images, title, columns))
            job.put(self.gallery, as_html(tiles, scale, side))
            return f"{n} digits each, seed {seed}."

        return work


def compare_panel(folder: str | Path | None = None) -> widgets.Widget:
    """Return the panel: two models, or the epochs of one, side by side."""
    return panel_view(lambda: ComparePanel(folder), folder)
