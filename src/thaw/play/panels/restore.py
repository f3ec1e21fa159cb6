"""Destroy and restore: choose or draw a digit, destroy it, restore it in several ways."""

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import ipywidgets as widgets

from thaw.model import Model
from thaw.play.panels.controls import ModelChooser, control, seed_control
from thaw.play.panels.panel import Panel, Run, Update, hint, put, view_of
from thaw.play.panels.picker import Picker
from thaw.play.pictures import Tile, as_html
from thaw.play.real import Picture
from thaw.play.restoring import restorations, rows_of
from thaw.prior import Prior
from thaw.process import Process
from thaw.store import Weights, cached_model
from thaw.store.catalogue import catalogue

DRAWS = 1000  # of the prior, in some twenty seconds


class RestorePanel(Panel):
    """Destroy a digit to a step, and see what every sampler makes of it."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.models = ModelChooser(folder, _of_pixels, "row_default_28", "destroy by")
        self.picker = Picker(folder, self.models.weights.data)
        self.t, self.seed = control(widgets.IntSlider, "how far, t", 1, 1, 2), seed_control()
        self.conditional = control(widgets.Checkbox, "tell the network which digit it is", False, indent=False)
        self.true = control(widgets.Checkbox, "hold on to what is left, and the class it tells", False, indent=False)
        self.untrained = control(widgets.Checkbox, "beside it, not trained on this: the hot prior", False, indent=False)
        self.note, self.gallery = widgets.HTML(), widgets.HTML()
        controls = [self.picker, self.models, self.t, self.seed, self.conditional, self.true, self.untrained, self.note]
        super().__init__(controls, [self.gallery], self._start, "Destroy and restore", "magic", "restore")
        fit = self.safely(self._fit)
        self.models.on_choice(fit)
        fit()

    def _fit(self) -> None:
        process = self.models.load().process
        share = self.t.value / self.t.max if self.t.max > 2 else 2 / 3
        self.t.max = process.steps
        self.t.value = max(1, round(share * process.steps))
        self.picker.fit(self.models.weights.data)
        weights = self.models.weights
        self.untrained.disabled = not hot_beside(weights, self.models.folder)
        self.note.value = hint(unsuited(process))

    def _start(self) -> Run:
        model, t, seed, read = self.models.load(), self.t.value, self.seed.value, self.picker.read()
        prior = None
        if self.untrained.value and not self.untrained.disabled:
            prior = partial(cached_prior, self.models.weights.data, self.models.folder)
        return self._restore(model, self.models.title, t, seed, read, self.conditional.value, self.true.value, prior)

    def _restore(
        self, model: Model, title: str, t: int, seed: int, read: Callable[[], Picture], conditional: bool, true: bool,
        prior: Callable[[], Prior] | None,
    ) -> Run:  # fmt: skip
        yield Update(0.02, "Getting the picture ...", always=True)
        picture, label = read()
        label = label if conditional and model.conditional else None
        for tiles, total in restorations(model, picture, t, label, seed, true, prior):
            measuring = len(tiles) == total + 2 and not tiles[-1].text
            text = (
                "Measuring; the first time takes some seconds ..." if measuring else f"Way {len(tiles) - 1} of {total}"
            )
            share = 0.95 * (len(tiles) - 1) / (total + 1)
            yield Update(share, text, partial(put, self.gallery, _gallery, tiles), always=True)
        unknown = " Nobody knows which digit a drawing is." if conditional and label is None else ""
        return f"Restored with {title}.{unknown}"


@lru_cache(maxsize=1)
def cached_prior(data: str, folder: str | Path | None) -> Prior:
    """Return the hot default set of a data set with its draws, kept in memory."""
    return Prior(cached_model("default", None, data, folder), draws=DRAWS)


def hot_beside(weights: Weights, folder: str | Path | None) -> bool:
    """Return whether there is a hot default set of the same images, to be the prior of other weights."""
    hot = [one for one in catalogue(folder) if one.process == "hot" and one.set == "default"]
    return weights.process != "hot" and weights.data in {one.data for one in hot}


def _gallery(tiles: list[Tile]) -> str:
    return "".join(as_html(row) for row in rows_of(tiles))


def unsuited(process: Process) -> str:
    """Return why some of the restorations are not offered; empty where all are."""
    low, high = process.tau
    if high == 0:
        return "These weights are cold only: no warm restorations."
    return "These weights are hot only: no Algorithms 1 and 2." if low > 0 else ""


def _of_pixels(weights: Weights) -> bool:
    return weights.process != "latent"


def restore_panel(folder: str | Path | None = None) -> widgets.Widget:
    """Return the panel: choose or draw a digit, destroy it, restore it in several ways."""
    return view_of(lambda: RestorePanel(folder), folder, _of_pixels)
