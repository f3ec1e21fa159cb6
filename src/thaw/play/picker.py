"""A picture to begin with: one of the embedded digits, one of the data set, or one drawn with the mouse."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import ipywidgets as widgets
from torch import Tensor

from thaw.base.errors import ThawError
from thaw.base.pixels import to_uint8
from thaw.data import FOLDERS, ImageSet, data_root, load
from thaw.model import Model
from thaw.play.canvas import Canvas
from thaw.play.pictures import source
from thaw.play.widgets import ROW, WIDE, hint
from thaw.store.examples import examples_path, load_examples
from thaw.store.inputs import load_data

Picture = tuple[Tensor, int | None]  # pixels (1, 1, 28, 28) in [-1, 1], and the class where it is known


def at_hand(data: str) -> bool:
    """Tell, without loading it, whether the files of a data set are on the disk."""
    return any((data_root() / FOLDERS.get(data, data) / "raw").glob("*images-idx3-ubyte*"))


@lru_cache(maxsize=2)
def _test_split(data: str, root: Path) -> ImageSet:
    return load(data, "test", download=False)


def example(number: int = 0, data: str = "mnist", folder: str | Path | None = None) -> Picture:
    """Return one of the embedded real digits: two of every class, in order of the classes.

    Raises:
        ThawError: for a number that none has.
    """
    images = load_examples(data, folder)
    if not 0 <= number < len(images):
        raise ThawError(f"there are {len(images)} examples, numbered from 0; got {number}")
    return images.pixels(slice(number, number + 1)), int(images.labels[number])


def example_for(model: Model, folder: str | Path | None = None) -> Tensor:
    """Return a real picture of a model's data set: an embedded one, or else its first test image.  (1, C, H, W)

    Raises:
        ThawError: where neither is there.
    """
    data = model.config.data_name
    if examples_path(data, folder).is_file():
        return example(14, data, folder)[0]
    images = model.config.model_copy(update={"autoencoder": None})
    return load_data(images, "test", download=False).pixels(slice(0, 1))


class Picker:
    """Controls that choose a picture; `read` tells which."""

    def __init__(self, folder: str | Path | None = None, data: str = "mnist") -> None:
        self.folder, self.data, self.missing = folder, data, ""
        self.kind = widgets.ToggleButtons(style={"button_width": "98px"}, layout=ROW)
        self.number = widgets.IntSlider(14, 0, 19, description="example", style=WIDE, layout=ROW)
        self.index = widgets.BoundedIntText(0, min=0, max=9999, description="test image", style=WIDE, layout=ROW)
        self.canvas = Canvas()
        self.preview, self.note = widgets.HTML(), widgets.HTML()
        self.controls = [self.kind, self.number, self.index, self.canvas, self.preview, self.note]
        self.kind.observe(lambda _: self._show(), "value")
        self.number.observe(lambda _: self._show(), "value")
        self.canvas.observe(lambda _: self._show(), "strokes")
        self.fit(data)

    def fit(self, data: str) -> None:
        """Offer the pictures of a data set."""
        self.data = data
        kinds = {"example": examples_path(data, self.folder).is_file(), "data set": at_hand(data), "draw": True}
        missing = f"{data} is not on this disk (THAW_DATA), so its images are not offered; nothing is downloaded."
        self.missing = "" if kinds["data set"] else missing
        before, offered = self.kind.value, [kind for kind, there in kinds.items() if there]
        if tuple(self.kind.options) != tuple(offered):
            self.kind.options = offered
            self.kind.value = before if before in offered else offered[0]
        self._show()

    def _show(self) -> None:
        kind = self.kind.value
        for control, name in ((self.number, "example"), (self.index, "data set"), (self.canvas, "draw")):
            control.layout.display = None if kind == name else "none"
        self.preview.value, self.note.value = "", hint(self.missing)
        try:
            if kind == "example":
                self._preview(*example(self.number.value, self.data, self.folder))
            elif kind == "draw" and self.canvas.strokes:
                self._preview(self.canvas.picture(), None)
        except ThawError as error:
            self.note.value = hint(str(error))

    def _preview(self, pixels: Tensor, label: int | None) -> None:
        said = "centred as MNIST is" if label is None else f"a real {label}"
        picture = f'<img src="{source(to_uint8(pixels)[0], 3)}" width="84" style="image-rendering:pixelated">'
        said = f'<span style="margin-left:10px">{said}</span>'
        self.preview.value = f'<div style="display:flex;align-items:center;margin:2px">{picture}{said}</div>'

    def read(self) -> Callable[[], Picture]:
        """Return what gets the picture that is chosen now; to be called where loading may take its time.

        Raises:
            ThawError: for an empty canvas.
        """
        kind, data, number, index = self.kind.value, self.data, self.number.value, self.index.value
        if kind == "draw":
            pixels = self.canvas.picture()
            return lambda: (pixels, None)
        if kind == "example":
            return lambda: example(number, data, self.folder)

        def from_data() -> Picture:
            images = _test_split(data, data_root())
            if index >= len(images):
                raise ThawError(f"{data} has {len(images)} test images; choose one below {len(images)}")
            return images.pixels(slice(index, index + 1)), int(images.labels[index])

        return from_data
