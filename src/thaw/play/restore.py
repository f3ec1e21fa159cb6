"""Destroy and restore: one picture, damaged to a step t, and what each sampler makes of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import ipywidgets as widgets
import torch
from PIL import Image
from torch import Tensor

from thaw.base.errors import ThawError
from thaw.base.pixels import to_uint8
from thaw.base.seeding import generator
from thaw.model import Model
from thaw.play.chooser import ModelChooser, panel_view
from thaw.play.picker import Picker, example_for
from thaw.play.pictures import Tile, as_html, as_picture, shown
from thaw.play.shipped import Weights
from thaw.play.widgets import ROW, WIDE, Job, Panel, hint
from thaw.process import Process
from thaw.sampling import check_sampler

WARM = 3  # restorations with a seed of their own


def ways(process: Process) -> list[tuple[str, dict[str, object]]]:
    """Return the restorations that suit a process: (title, settings of `Model.restore`)."""
    low, high = process.tau
    tried = [("direct", {"sampler": "direct", "tau": low})]
    tried += [(f"Algorithm {n}", {"sampler": f"algorithm{n}", "tau": 0.0}) for n in (1, 2)]
    tried += [(f"warm, seed {seed}", {"sampler": "warm", "tau": high, "seed": seed}) for seed in range(WARM)]
    found = []
    for title, settings in tried:
        try:
            check_sampler(process, str(settings["sampler"]), float(settings["tau"]), 1.0)
        except ThawError:
            continue
        if not (title.startswith("warm") and high == 0):  # without noise it is Algorithm 2 once more
            found.append((title, settings))
    return found


def unsuited(process: Process) -> str:
    """Return why some of the restorations are not offered; empty where all are."""
    low, high = process.tau
    if high == 0:
        return "These weights are cold only: no warm restorations."
    return "These weights are hot only: no Algorithms 1 and 2." if low > 0 else ""


def destroy(model: Model, picture: Tensor, t: int, seed: int = 0) -> tuple[Tensor, Tensor | None]:
    """Return D_t of a picture, without noise, and the z that it was destroyed with.

    Args:
        model: of pixels.
        picture: (1, C, H, W) in [-1, 1].
        t: 1..T.
        seed: of z.
    """
    degradation = model.process.degradation
    if not 1 <= t <= degradation.steps:
        raise ThawError(f"t must be between 1 and T={degradation.steps}, got {t}")
    z = degradation.draw_z(1, generator(seed, "destroy"))
    return degradation(picture, torch.tensor([t]), z), z


def restorations(
    model: Model, picture: Tensor, t: int, label: int | None = None, seed: int = 0
) -> Iterator[tuple[list[Tile], int]]:
    """Destroy a picture and restore it every way that suits the model.

    Args:
        model: of pixels; see `ways`.
        picture: (1, C, H, W) in [-1, 1].
        t: how far, 1..T.
        label: the class, if the network is to be told.
        seed: of the damage; restorations have their own.

    Yields:
        The tiles so far (original, damaged, one a way; last of all with SSIM and PSNR), and how many ways there are.
    """
    x_t, z = destroy(model, picture, t, seed)
    y = None if label is None else model.labels(1, label)
    original, found = to_uint8(picture), ways(model.process)
    tiles = [Tile(original[0], "original"), Tile(shown(x_t)[0], f"destroyed,\nt = {t} of {model.process.steps}")]
    yield list(tiles), len(found)
    steps = model.config.sample_steps if model.process.steps > 100 else None
    for title, settings in found:
        restored = to_uint8(model.restore(x_t, t, y=y, z=z, eta=model.config.eta, steps=steps, **settings))
        tiles.append(Tile(restored[0], title))
        yield list(tiles), len(found)
    from thaw.scoring.metrics import restoration  # torchmetrics takes seconds to import: the pictures come first

    for index, tile in enumerate(tiles[1:], start=1):
        scores = restoration(tile.image[None], original)
        similar = f"SSIM {scores['ssim'].value:.2f}\n" if "ssim" in scores else ""  # images smaller than its window
        tiles[index] = tile._replace(text=f"{similar}PSNR {scores['psnr'].value:.1f} dB")
    yield tiles, len(found)


def restore(
    model: Model, picture: Tensor | None = None, t: int | None = None, label: int | None = None, seed: int = 0
) -> Image.Image:
    """Destroy a picture and return one figure of every restoration, with SSIM and PSNR.

    Args:
        model: of pixels; see `open_model`.
        picture: (1, C, H, W) in [-1, 1]; a real one of the model's data set by default.
        t: how far, 1..T; two thirds of the way by default.
        label: the class, if the network is to be told.
        seed: of the damage.
    """
    model._check_pixels()
    picture = example_for(model) if picture is None else picture
    t = max(1, round(2 * model.process.steps / 3)) if t is None else t
    *_, (tiles, _) = restorations(model, picture, t, label, seed)
    return as_picture([tiles[:4], tiles[4:]] if len(tiles) > 5 else [tiles])


class RestorePanel:
    """The panel; `view` is what is displayed."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.models = ModelChooser(folder, _of_pixels, "row_default_28", "destroy by")
        self.picker = Picker(folder, self.models.weights.data)
        self.far = widgets.IntSlider(1, 1, 2, description="how far, t", style=WIDE, layout=ROW)
        self.told = widgets.Checkbox(False, description="tell the network which digit it is", indent=False, layout=ROW)
        self.seed = widgets.BoundedIntText(0, min=0, max=10**9, description="seed", style=WIDE, layout=ROW)
        self.note, self.gallery = widgets.HTML(), widgets.HTML()
        controls = [*self.picker.controls, *self.models.controls, self.far, self.seed, self.told, self.note]
        self.panel = Panel(controls, [self.gallery], self._start, button="Destroy and restore", icon="magic")
        self.view = self.panel.view
        self.view.add_class("thaw-restore")
        fit = self.panel.safely(self._fit)
        self.models.observe(fit)
        self.far.observe(self.panel.safely(lambda _: self._hint()), "value")
        fit()

    def _fit(self) -> None:
        model = self.models.open()
        steps = model.process.steps
        share = self.far.value / self.far.max if self.far.max > 2 else 2 / 3
        self.far.max = steps
        self.far.value = max(1, round(share * steps))
        self.picker.fit(self.models.weights.data)
        self._hint()

    def _hint(self) -> None:
        self.note.value = hint(unsuited(self.models.open().process))

    def _start(self) -> Callable[[Job], str]:
        model, t, seed, told = self.models.open(), self.far.value, self.seed.value, self.told.value
        read, title = self.picker.read(), self.models.title

        def work(job: Job) -> str:
            job.report(0.02, "Getting the picture ...")
            picture, label = read()
            label = label if told and model.conditional else None
            for tiles, total in restorations(model, picture, t, label, seed):
                measured = bool(tiles[-1].text)
                job.put(self.gallery, as_html(tiles))
                last = len(tiles) == total + 2 and not measured
                text = (
                    "Measuring; the first time takes some seconds ..." if last else f"Way {len(tiles) - 1} of {total}"
                )
                job.report(0.95 * (len(tiles) - 1) / (total + 1), text)
            unknown = told and label is None
            return f"Restored with {title}." + (" Nobody knows which digit a drawing is." if unknown else "")

        return work


def _of_pixels(weights: Weights) -> bool:
    return weights.process != "latent"


def restore_panel(folder: str | Path | None = None) -> widgets.Widget:
    """Return the panel: choose or draw a digit, destroy it, restore it in several ways."""
    return panel_view(lambda: RestorePanel(folder), folder, _of_pixels)
