"""A picture to begin with: one of the embedded digits, one of the data set, or one drawn with the mouse."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import ipywidgets as widgets
from torch import Tensor

from thaw.base import ThawError, to_uint8
from thaw.data import on_disk
from thaw.play.panels.canvas import Canvas
from thaw.play.panels.controls import control
from thaw.play.panels.panel import hint
from thaw.play.pictures import img
from thaw.play.real import Picture, from_test_split
from thaw.store import example, examples_path


class Picker(widgets.VBox):
    """Controls that choose a picture; `read` returns which."""

    def __init__(self, folder: str | Path | None = None, data: str = "mnist") -> None:
        self.folder = folder
        self.kind = control(widgets.ToggleButtons, options=["draw"], style={"button_width": "98px"})
        self.number = control(widgets.IntSlider, "example", 14, 0, 19)
        self.index = control(widgets.BoundedIntText, "test image", 0, min=0, max=9999)
        self.canvas, self.preview, self.note = Canvas(), widgets.HTML(), widgets.HTML()
        super().__init__([self.kind, self.number, self.index, self.canvas, self.preview, self.note])
        for one, trait in ((self.kind, "value"), (self.number, "value"), (self.canvas, "strokes")):
            one.observe(lambda _: self._show(), trait)
        self.fit(data, "example")

    def fit(self, data: str, wanted: str = "") -> None:
        """Offer the pictures of a data set; the kind that is chosen stays where it can."""
        self.data, wanted = data, wanted or self.kind.value
        kinds = {"example": examples_path(data, self.folder).is_file(), "data set": on_disk(data), "draw": True}
        missing = f"{data} is not on this disk (THAW_DATA), so its images are not offered; nothing is downloaded."
        self.missing = "" if kinds["data set"] else missing
        offered = self.kind.options = tuple(kind for kind, there in kinds.items() if there)
        self.kind.value = wanted if wanted in offered else offered[0]
        self._show()

    def _show(self) -> None:
        kind = self.kind.value
        for one, name in ((self.number, "example"), (self.index, "data set"), (self.canvas, "draw")):
            one.layout.display = None if kind == name else "none"
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
        row = '<div style="display:flex;align-items:center;margin:2px">'
        self.preview.value = f'{row}{img(to_uint8(pixels)[0], 3)}<span style="margin-left:10px">{said}</span></div>'

    def read(self) -> Callable[[], Picture]:
        """Return what gets the picture that is chosen now; to be called where loading may take its time.

        Raises:
            ThawError: for an empty canvas.
        """
        if self.kind.value == "draw":
            pixels = self.canvas.picture()
            return lambda: (pixels, None)
        if self.kind.value == "example":
            return partial(example, self.number.value, self.data, self.folder)
        return partial(from_test_split, self.index.value, self.data)
