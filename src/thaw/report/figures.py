"""Every figure: crisp pixels for images, one matplotlib style for curves, the origin beside each file."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from thaw.base import replacing, write_json
from thaw.data import grids
from thaw.report.results import commit

STYLE = Path(__file__).with_name("thaw.mplstyle")
MARKERS = "os^Dv*Xp"
DASHES = ["-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (2.5, 1))]


def write_origin(path: Path, origin: dict[str, Any]) -> None:
    """Write `<figure>.json` beside a figure: where it comes from, and the commit."""
    write_json(path.with_name(path.name + ".json"), origin | {"commit": commit()})


def save_grid(
    path: str | Path, images: Tensor, columns: int, origin: dict[str, Any] | None = None, **style: Any
) -> Path:
    """Save a grid of uint8 images as PNG (see `thaw.data.grid`); with `origin`, its JSON beside it."""
    path = grids.save_grid(path, images, columns, **style)
    if origin is not None:
        write_origin(path, origin)
    return path


def save_figure(figure: Any, path: str | Path, origin: dict[str, Any] | None = None) -> Path:
    """Save a matplotlib figure (PDF for curves), reproducibly: no date inside, letters as TrueType."""
    from matplotlib import rc_context

    path = Path(path)
    with replacing(path) as temporary, rc_context({"pdf.fonttype": 42}):  # read on saving, not on drawing
        figure.savefig(temporary, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
    if origin is not None:
        write_origin(path, origin)
    return path


@contextlib.contextmanager
def drawing(*inches: float, **layout: Any) -> Iterator[tuple[Any, Any]]:
    """Yield a figure in the style of the study, of the style's size unless told, and its axes; see `plt.subplots`."""
    from matplotlib import pyplot as plt

    with plt.style.context(STYLE):
        figure, axes = plt.subplots(figsize=inches or None, **layout)
        yield figure, axes
        plt.close(figure)


def curves(series: dict[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str, **options: Any):
    """Draw labelled curves on one pair of axes.

    Args:
        series: label -> (x values, y values).
        options: `log` and `log_x` for a logarithmic y or x axis; `markers` False for plain lines; `floor` for a
            dashed line with its label, (value, label), and none for the value None; `beside` for a legend on the right
            of the axes; `pairs` for every second curve dashed, in the colour of the one before.

    Returns:
        The matplotlib figure.
    """
    from matplotlib import pyplot as plt

    with drawing() as (figure, axes):
        colours = plt.rcParams["axes.prop_cycle"].by_key()["color"]
        for index, (label, (x, y)) in enumerate(series.items()):
            turn, dashes = index, index  # colour, marker and dashes differ, so that no two curves are alike in grey
            if options.get("pairs"):
                turn, dashes = index // 2, index % 2
            marker = MARKERS[turn % len(MARKERS)] if options.get("markers", True) else None
            style = {"color": colours[turn % len(colours)], "linestyle": DASHES[dashes % len(DASHES)]}
            axes.plot(x, y, marker=marker, label=label if "$" in label else label.replace("_", " "), **style)
        if options.get("floor") and options["floor"][0] is not None:
            value, label = options["floor"]
            axes.axhline(value, linestyle="--", linewidth=0.8, color="0.4", label=label)
        if options.get("log"):
            axes.set_yscale("log")
            plain_ticks(axes.yaxis)
        if options.get("log_x"):
            axes.set_xscale("log")
        axes.set(xlabel=x_label, ylabel=y_label)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(**({"loc": "center left", "bbox_to_anchor": (1.02, 0.5)} if options.get("beside") else {}))
    return figure


def plain_ticks(axis: Any) -> None:
    """Label a logarithmic axis with 0.5 and 2, not with powers of ten; more densely where it is short."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high > 8 * low else range(1, 10)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def dots(values: dict[str, float], x_label: str, floor: tuple[float, str] | None = None) -> Any:
    """Draw one dot a name on a logarithmic axis, the largest value on top.

    Args:
        values: name -> value, all above 0.
        floor: a dashed line with its label, (value, label); none for a value of None.

    Returns:
        The matplotlib figure.
    """
    names = sorted(values, key=values.__getitem__)
    with drawing() as (figure, axes):
        figure.set_figheight(0.6 + 0.135 * len(names))
        axes.plot([values[name] for name in names], range(len(names)), "o", markersize=3.5)
        axes.set_yticks(range(len(names)), names, fontsize=7.5)
        if floor and floor[0] is not None:
            axes.axvline(floor[0], linestyle="--", color="0.4", label=floor[1])
            axes.legend(loc="lower right")
        axes.set(xscale="log", xlabel=x_label, ylim=(-0.7, len(names) - 0.3))
        plain_ticks(axes.xaxis)
    return figure
