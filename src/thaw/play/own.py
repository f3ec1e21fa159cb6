"""Your own degradation: see what it does, train it for a minute, draw from what came out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import torch
from PIL import Image
from torch import Tensor

from thaw import degradations
from thaw.base.errors import ThawError
from thaw.base.pixels import to_uint8
from thaw.base.seeding import generator
from thaw.data import ImageSet
from thaw.experiment.config import Config
from thaw.model import Model
from thaw.play.picker import at_hand
from thaw.play.pictures import Tile, as_html, as_picture, mosaic, shown
from thaw.play.sample import drawing
from thaw.play.shipped import NAMES
from thaw.play.widgets import ROW, WIDE, Job, Panel, Stopped, hint
from thaw.store.examples import load_examples
from thaw.store.inputs import load_data
from thaw.store.weights import load_model, release_path

SHOWN = 10  # states of a strip
Report = Callable[[float, str], bool]  # (share of the time, what to say) -> whether to stop


def own_names() -> list[str]:
    """Return the registered degradations that are not the package's own, the newest first."""
    built_in = {*NAMES, "scale"}
    return [name for name in reversed(degradations.in_order()) if name not in built_in]


def strips(name: str, folder: str | Path | None = None, rows: int = 3, data: str = "mnist") -> Tensor:
    """Return some digits destroyed step by step, ten states a row.  (rows * 10, C, H, W) uint8

    Raises:
        ThawError: for an unknown degradation, or one that breaks its laws: D(x, 0) = x, values in [-1, 1].
    """
    images = load_examples(data, folder)
    x0 = images.pixels(torch.arange(0, len(images), len(images) // rows)[:rows])
    degradation = degradations.build(name, images.shape)
    z = degradation.draw_z(rows, generator(0, "strips"))
    states = []
    for index in range(SHOWN):
        t = torch.full((rows,), round(index * degradation.steps / (SHOWN - 1)))
        states.append(degradation(x0, t, z))
        if states[-1].shape != x0.shape or float(states[-1].abs().max()) > 1.001:
            raise ThawError(f"the degradation {name} must keep the shape, and values in [-1, 1]; see its forward")
    if not torch.equal(states[0], x0):
        raise ThawError(f"the degradation {name} changes the picture at t = 0; D(x, 0) must be x")
    return shown(torch.stack(states, dim=1).flatten(0, 1))


def destroying(name: str, folder: str | Path | None = None) -> Image.Image:
    """Return a figure of what a degradation does to some digits, from t = 0 to T."""
    return as_picture([[Tile(mosaic(strips(name, folder), SHOWN), f"{name}: t = 0 ... T")]], scale=2)


def hot_weights(data: str, folder: str | Path | None = None) -> Path | None:
    """Return the file of the shipped hot weights of a data set; None for none."""
    try:
        return release_path("default", data=data, folder=folder)
    except ThawError:
        return None


def hot_start(data: str, folder: str | Path | None = None) -> dict[str, Any]:
    """Return the settings that begin with the shipped hot weights of a data set, in a network like theirs; {} for none.

    What they know of the pictures serves another degradation too: a minute goes several times as far as from random
    weights (benchmarks/start.py).
    """
    path = hot_weights(data, folder)
    return {} if path is None else {"start_from": str(path), **load_model(path).config.network_settings()}


def own_config(
    name: str, minutes: float = 1.0, data: str | None = None, folder: str | Path | None = None, **settings: Any
) -> Config:
    """Return the experiment of a training by the clock, at all temperatures.

    It begins with the hot weights of the data set where they are shipped and `settings` ask for no other network, else
    with a small network.

    Args:
        name: of the degradation.
        minutes: how long.
        data: data set; MNIST where it is on the disk, else scikit-learn's digits.
        folder: where released weights are.
        settings: other fields of `Config`.
    """
    data = data or ("mnist" if at_hand("mnist") else "digits")
    start = hot_start(data, folder)
    quick = start if start and not start.keys() & settings.keys() else {"widths": (16, 32)}
    quick |= {"batch_size": 64, "terminal_components": 2, "sample_steps": 14, "eta": 1.0}
    quick |= {"epochs": 100_000, "minutes": minutes, "tau": (0.0, 1.0), "ema": 0.99, "guidance": 1.5}
    return Config(study="custom", set="mine", degradation=name, data=data, **(quick | settings))


def train_own(config: Config, run: str | Path, report: Report | None = None) -> Model:
    """Train until the time is up, or `report` says so, and return the averaged model.

    Args:
        config: see `own_config`.
        run: folder for the terminal distribution.
        report: called after each step with the share of the time and what to say; True stops the training.

    Raises:
        ThawError: if the data set is not there, the loss diverges, or no step was taken.
    """
    from thaw.training.parallel import build_accelerator
    from thaw.training.trainer import Trainer

    report = report or (lambda share, text: False)
    stop, seen = report(0.0, "Fitting where sampling starts ..."), 0
    images: ImageSet = load_data(config, "train", download=False)
    trainer = Trainer(config, images, Path(run), build_accelerator(config))
    while not (stop or trainer.done):
        for step in trainer.steps():
            seen += step.images
            loss = float(trainer.loss) / trainer.index
            if report(step.share, f"{seen:,} images seen, loss {loss:.3f}"):
                stop = True
                break
        trainer.check_loss()
        if not stop:
            trainer.end_epoch()
    if not seen:
        raise ThawError("stopped before the first step; nothing was learnt")
    return trainer.model()


def own(name: str, run: str | Path, minutes: float = 1.0, n: int = 40, seed: int = 0, **settings: Any) -> Image.Image:
    """Train a degradation for some minutes and return a figure: what it does, and digits drawn after it.

    Args:
        name: of a registered degradation.
        run: folder of the run.
        minutes: how long.
        n: digits.
        seed: of the digits.
        settings: other fields of `Config`.
    """
    model = train_own(own_config(name, minutes, **settings), run)
    destroyed = Tile(mosaic(strips(name), SHOWN), f"{name}: t = 0 ... T")
    drawn = to_uint8(model.sample(model.labels(n), seed=seed))
    title = f"after {minutes:g} min of training on {model.config.data}, warm"
    return as_picture([[destroyed], [Tile(mosaic(drawn, 10), title)]], scale=2, gap=8)


class OwnPanel:
    """The panel; `view` is what is displayed."""

    def __init__(self, out: str | Path = "contents/load_and_play", folder: str | Path | None = None) -> None:
        self.run, self.folder, self.model = Path(out) / "own", folder, None
        self.name = widgets.Dropdown(description="degradation", style=WIDE, layout=ROW)
        self.minutes = widgets.FloatSlider(1, min=0.1, max=5, step=0.1, description="minutes", style=WIDE, layout=ROW)
        self.tau = widgets.FloatSlider(1, min=0, max=1, step=0.05, description="temperature", style=WIDE, layout=ROW)
        self.tau.description_tooltip = "of the digits that are drawn"
        self.seed = widgets.BoundedIntText(0, min=0, max=10**9, description="seed", style=WIDE, layout=ROW)
        self.note, self.strip, self.result = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.panel = Panel([self.name, self.minutes, self.tau, self.seed, self.note], [self.strip, self.result],
                           self._start, button="Train", icon="graduation-cap")  # fmt: skip
        self.again = self.panel.add_button("Draw again", self._draw_again, icon="pencil", disabled=True)
        self.view = self.panel.view
        self.view.add_class("thaw-own")
        self.name.observe(self.panel.safely(lambda _: self._preview()), "value")
        self.panel.safely(self.refresh)()

    def refresh(self) -> None:
        """Offer the degradations that are registered by now, a new one of your own first."""
        own, built_in = own_names(), [name for name in degradations.names() if name in NAMES]
        before = self.name.options
        if list(before) != [*own, *built_in]:
            self.name.options = [*own, *built_in]
            fresh = [name for name in own if name not in before]
            self.name.value = fresh[0] if fresh else self.name.options[0]
        data = "MNIST" if at_hand("mnist") else "scikit-learn's digits, for MNIST is not on this disk"
        data += ", from the weights of the hot model" if at_hand("mnist") and hot_weights("mnist", self.folder) else ""
        self.note.value = hint(f"Trains on {data}. Changed the cell above? Run it, then press Train.")
        self._preview()

    def _preview(self) -> None:
        self.strip.value = ""
        try:
            images = strips(self.name.value, self.folder)
        except ThawError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ThawError(f"the degradation {self.name.value} fails ({what}); change its cell") from None
        self.strip.value = as_html([Tile(mosaic(images, SHOWN), f"{self.name.value}: t = 0 ... T")], 2)

    def _start(self) -> Callable[[Job], str]:
        self.refresh()
        config = own_config(self.name.value, self.minutes.value, folder=self.folder)
        tau, seed = self.tau.value, self.seed.value
        title = f"{config.degradation}, trained on {config.data}"

        def work(job: Job) -> str:
            told = ["Fitting where sampling starts ..."]

            def report(share: float, text: str) -> bool:
                told[0] = text
                if job.asked.is_set():
                    return True
                job.report(0.9 * share, text)
                return False

            try:
                model = train_own(config, self.run, report)
            except (RuntimeError, TypeError, ValueError, IndexError) as error:
                what = f"the degradation {config.degradation} fails in training ({error})"
                raise ThawError(f"{what}; change its cell") from None
            if not job.current:
                raise Stopped
            job.show(self._learnt, model)
            job.asked.clear()  # stopping a training is no reason not to show what it has learnt
            self._draw(job, model, tau, seed, title)
            return f"{told[0]}. It draws as it has learnt so far."

        return work

    def _learnt(self, model: Model) -> None:
        self.model, self.again.disabled = model, False

    def _draw_again(self) -> Callable[[Job], str]:
        model, tau, seed = self.model, self.tau.value, self.seed.value
        if model is None:
            raise ThawError("train first")
        return lambda job: self._draw(job, model, tau, seed, f"{model.config.degradation}, trained here")

    def _draw(self, job: Job, model: Model, tau: float, seed: int, title: str) -> str:
        for state in drawing(model, model.labels(40), seed=seed, tau=tau):
            if job.report(0.9 + 0.1 * state.done / state.total):
                self._publish(job, state.images, title)
        self._publish(job, state.images, title)
        return f"40 digits at temperature {tau:g}."

    def _publish(self, job: Job, images: Tensor, title: str) -> None:
        tile = Tile(mosaic(to_uint8(images), 10), title)
        job.put(self.result, as_html([tile], 2))


def own_panel(out: str | Path = "contents/load_and_play", folder: str | Path | None = None) -> widgets.Widget:
    """Return the panel: pick a degradation, of your own or not, train it by the clock, draw."""
    return OwnPanel(out, folder).view
