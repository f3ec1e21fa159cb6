"""Your own degradation: pick it, see what it does, train it by the clock, draw."""

import contextlib
from functools import partial
from pathlib import Path

import ipywidgets as widgets

from thaw import degradations
from thaw.base import ThawError, to_uint8
from thaw.experiment import Config
from thaw.model import Model
from thaw.play.degrading import destroyed_tile, own_config, own_names, own_trainer, progress_of, trained_model
from thaw.play.drawing import draw_in_steps
from thaw.play.panels.controls import control, seed_control
from thaw.play.panels.panel import Panel, Run, Stopped, Update, hint, put
from thaw.play.pictures import Tile, as_html, mosaic
from thaw.store import TITLES


class OwnPanel(Panel):
    """Train a degradation, of your own or not, for a minute, and draw from what it has learnt."""

    def __init__(self, out: str | Path = "contents/load_and_play", folder: str | Path | None = None) -> None:
        self.out, self.folder, self.model = Path(out) / "own", folder, None
        self.name = control(widgets.Dropdown, "degradation")
        self.minutes = control(widgets.FloatSlider, "minutes", 1, min=0.1, max=5, step=0.1)
        self.tau = control(widgets.FloatSlider, "temperature", 1, min=0, max=1, step=0.05)
        self.tau.tooltip, self.seed = "of the digits that are drawn", seed_control()
        self.note, self.strip, self.result = widgets.HTML(), widgets.HTML(), widgets.HTML()
        controls = [self.name, self.minutes, self.tau, self.seed, self.note]
        super().__init__(controls, [self.strip, self.result], self._start, "Train", "graduation-cap", "own")
        self.again = self.add_run("Draw again", self._draw_again, icon="pencil", disabled=True)
        self.name.observe(self.safely(self._preview), "value")
        self.safely(self.refresh)()

    def refresh(self) -> None:
        """Offer the degradations that are registered by now, a new one of your own first."""
        own, before = own_names(), self.name.options
        names = (*own, *(name for name in degradations.names() if name in TITLES))
        if before != names:
            self.name.options = names
            self.name.value = next((name for name in own if name not in before), names[0])
        config = own_config(self.name.value, folder=self.folder)
        data = "MNIST" if config.data == "mnist" else "scikit-learn's digits, for MNIST is not on this disk"
        data += ", from the weights of the hot model" if config.start_from else ""
        self.note.value = hint(f"Trains on {data}. Changed the cell above? Run it, then press Train.")
        self._preview()

    def _preview(self) -> None:
        self.strip.value = ""
        try:
            tile = destroyed_tile(self.name.value, self.folder)
        except ThawError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ThawError(f"the degradation {self.name.value} fails ({what}); change its cell") from None
        self.strip.value = as_html([tile], 2)

    def _start(self) -> Run:
        self.refresh()
        config = own_config(self.name.value, self.minutes.value, folder=self.folder)
        return self._train(config, self.tau.value, self.seed.value)

    def _train(self, config: Config, tau: float, seed: int) -> Run:
        said = "Fitting where sampling starts ..."
        yield Update(0.0, said, always=True)
        try:
            trainer = own_trainer(config, self.out)
            with contextlib.suppress(Stopped):  # no reason not to show what it has learnt
                for step in trainer.all_steps():
                    said = progress_of(trainer)
                    yield Update(0.9 * step.share, said)
            self.model = trained_model(trainer)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            what = f"the degradation {config.degradation} fails in training ({error})"
            raise ThawError(f"{what}; change its cell") from None
        self.again.disabled = False
        yield from self._draw(self.model, f"{config.degradation}, trained on {config.data}", tau, seed)
        return f"{said}. It draws as it has learnt so far."

    def _draw_again(self) -> Run:
        if self.model is None:
            raise ThawError("train first")
        title = f"{self.model.config.degradation}, trained here"
        return self._draw(self.model, title, self.tau.value, self.seed.value)

    def _draw(self, model: Model, title: str, tau: float, seed: int) -> Run:
        for state in draw_in_steps(model, model.labels(40), seed=seed, tau=tau):
            tile = Tile(mosaic(to_uint8(state.images), 10), title)
            show = partial(put, self.result, as_html, [tile], 2)
            yield Update(0.9 + 0.1 * state.done / state.total, "", show, state.done == state.total)
        return f"40 digits at temperature {tau:g}."


def own_panel(out: str | Path = "contents/load_and_play", folder: str | Path | None = None) -> widgets.Widget:
    """Return the panel: pick a degradation, of your own or not, train it by the clock, draw."""
    return OwnPanel(out, folder).view
