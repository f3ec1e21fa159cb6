"""One recorder: the figures and numbers that a notebook, a benchmark or a study leaves, each with its origin."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from thaw.base import sha256
from thaw.data import strip
from thaw.model import Model
from thaw.report import figures, results
from thaw.scoring import Judge, judge_path
from thaw.scoring.samples import weights_digest


def weights_of(*used: Model | Judge | Path) -> dict[str, str]:
    """Return the fingerprints of weights, for the origin of a result: file name in `pretrained/` -> SHA-256.

    Args:
        used: models from `thaw.load_model`, shipped feature networks, and other files in `pretrained/`. A model of a
            run directory goes by the name that `thaw export` would give it, and by the digest of its checkpoint, which
            the manifest then holds too.

    Raises:
        ThawError: for a model that was not loaded from a file.
    """
    found = {}
    for one in used:
        if isinstance(one, Judge | Path):
            path = one if isinstance(one, Path) else judge_path(one.data)
            found[path.name] = sha256(path)
        else:
            name = Path(one.info["file"]).name if "sha256" in one.info else one.config.release_name(one.epoch)
            found[name] = weights_digest(one)
    return dict(sorted(found.items()))


@dataclass(frozen=True)
class Recorder:
    """What one maker leaves: figures `<name>_<what>` and numbers `<name>.<what>`, with a dot in `ddpm_default` too."""

    name: str  # what all of them begin with
    made_by: dict[str, Any]  # where all of them come from: the notebook, script or benchmark, its settings, the seed
    plots: Path = results.PLOTS  # folder of figures and numbers
    judge: Judge | None = None  # the feature network that all of them rest on, if any

    def origin(self, *used: Model | Judge | Path, **more: Any) -> dict[str, Any]:
        """Return where a result comes from, with the fingerprints of the weights that were used for it."""
        rests_on = [*([] if self.judge is None else [self.judge]), *used]
        return self.made_by | ({"weights": weights_of(*rests_on)} if rests_on else {}) | more

    def show_grid(self, what: str, images: Tensor, columns: int, *used: Model | Judge, **style: Any) -> Image.Image:
        """Save uint8 images (N, C, H, W) as a grid, and return it for display."""
        path = Path(self.plots) / f"{self.name}_{what}.png"
        shown = Image.open(figures.save_grid(path, images, columns, self.origin(*used), **style))
        shown.load()  # and its file is closed
        return shown

    def show_walk(self, what: str, states: Sequence[Tensor], count: int = 10) -> Image.Image:
        """Save at most `count` states (B, C, H, W) of trajectories as a grid, one a row, and return it for display."""
        return self.show_grid(what, strip(states, count), min(count, len(states)))

    def show_figure(self, what: str, figure: Any, *used: Model | Judge) -> Any:
        """Save a matplotlib figure as PDF, and return it for display."""
        figures.save_figure(figure, Path(self.plots) / f"{self.name}_{what}.pdf", self.origin(*used))
        return figure

    def record(self, values: dict[str, tuple[Any, str]], *used: Model | Judge | Path, **more: Any) -> None:
        """Record numbers, what -> (value, format); `more` is added to their origin."""
        name = self.name.replace("_", ".", 1)
        named = {f"{name}.{what}": value for what, value in values.items()}
        results.record(named, self.origin(*used, **more), self.plots)
