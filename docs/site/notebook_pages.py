"""The notebooks as pages: an executed copy where there is one, else the source with the figures that it drew."""

import ast
import base64
import html
import io
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output

from thaw.report.notebooks import drop_widgets

PLOTS = Path("Plots")
SHOWN = {"show_figure": ".pdf", "show_grid": ".png", "show_walk": ".png"}  # methods of thaw.report.recorder
EXECUTED = """:::{note}
Executed; its figures, numbers and lines are those of that run.
:::"""
DRAWN = """:::{note}
The code as it stands in the project, with the figures that it drew for [the report](../Report/report.pdf). Below each
stand the configuration, the seed and the commit that it comes from. The numbers it recorded are in
[a table](../numbers.md).
:::"""
BARE = """:::{note}
The code as it stands in the project; executed by hand or by `thaw notebook`, it shows its figures.
:::"""


def write(source: Path, target: Path) -> None:
    """Write the notebook that becomes the page of a source."""
    path = executed(source)
    notebook = nbformat.read(path or source, 4)
    if not path:
        add_figures(notebook, source.stem)
    drawn = any(cell.get("outputs") for cell in notebook.cells)
    notebook.cells.insert(1, new_markdown_cell(EXECUTED if path else DRAWN if drawn else BARE))
    drop_widgets(notebook)
    nbformat.write(notebook, target)


def executed(source: Path) -> Path | None:
    """Return the newest executed copy under `contents/`, or the source if it keeps its outputs, or None."""
    copies = [path for path in Path("contents").glob(f"**/{source.name}") if not {"smoke", ".site"} & {*path.parts}]
    if any(cell.get("outputs") for cell in nbformat.read(source, 4).cells):
        copies.append(source)
    return max(copies, key=lambda path: path.stat().st_mtime, default=None)


def add_figures(notebook: NotebookNode, name: str, plots: Path = PLOTS) -> None:
    """Put the committed figures of a notebook below the cells that draw them; what none is seen to draw, at the end.

    The JSON beside a figure tells its notebook; the strings of a cell tell the names of its figures.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    known = [list(strings(cell.source)) for cell in cells]
    rest = []
    for path, origin in figures_of(name, plots):
        fits = [max((fit(text, path) for text in texts), default=0) for texts in known]
        best = [cell for cell, length in zip(cells, fits, strict=True) if length and length == max(fits)]
        if best:  # two studies in one notebook draw figures of one name, the second below
            best[min(kind(origin, name, plots), len(best) - 1)].setdefault("outputs", []).extend(shown(path, origin))
        else:
            rest += shown(path, origin)
    if rest:
        notebook.cells += [new_markdown_cell("## Further figures"), nbformat.v4.new_code_cell("", outputs=rest)]


def figures_of(name: str, plots: Path = PLOTS) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the figures whose JSON names this notebook, with their origin."""
    for path in sorted(plots.glob("*.*.json")):
        origin = json.loads(path.read_text())
        if origin.get("notebook") == name:
            yield path.with_suffix(""), origin


def kind(origin: dict[str, Any], name: str, plots: Path) -> int:
    """Return which of the notebook's studies a figure belongs to: the place of its configuration's folder, or 0."""
    folders = sorted({Path(one["config"]).parent for _, one in figures_of(name, plots) if "config" in one})
    return folders.index(Path(origin["config"]).parent) if "config" in origin else 0


def strings(code: str) -> Iterator[str]:
    """Yield the strings of a cell, with `*` for what is filled in, and the files that a recorder's figures go to."""
    tree = ast.parse(code)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and id(node) not in inside):
            yield pattern(node)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in SHOWN and node.args:
            yield f"*_{pattern(node.args[0])}{SHOWN[node.func.attr]}"


def pattern(node: ast.expr) -> str:
    """Return a string of code, with `*` for what is filled in or for what is no string."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "*" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "*"


def fit(text: str, figure: Path) -> int:
    """Return how well a string names a figure, by its letters: whole as a path, or as the end of the name; 0: not."""
    name = text.rpartition("/")[2]
    if name.endswith((".png", ".pdf")):
        return fnmatchcase(figure.name, name) * (100 + len(name.replace("*", "")))  # before any other string
    return bool(re.fullmatch(r"\w+", name) and figure.stem.endswith(f"_{name}")) * len(name)


def shown(path: Path, origin: dict[str, Any]) -> list[NotebookNode]:
    """Return a figure and the line about its origin as outputs of a cell."""
    content = drawn(path) if path.suffix == ".pdf" else path.read_bytes()
    picture = {"image/png": base64.b64encode(content).decode()}
    facts = [path.name, origin.get("config"), f"seed {origin['seed']}" if "seed" in origin else None]
    facts += [f"n = {origin['n']:,}" if "n" in origin else None, f"commit {origin['commit']}"]
    line = html.escape(", ".join(str(fact) for fact in facts if fact))
    text = {"text/html": f'<p class="origin">{line}</p>'}
    return [new_output("display_data", data=picture), new_output("display_data", data=text)]


def drawn(pdf: Path) -> bytes:
    """Return the first page of a PDF as PNG, three pixels a point."""
    import pypdfium2

    with pypdfium2.PdfDocument(pdf) as document:
        buffer = io.BytesIO()
        document[0].render(scale=3).to_pil().save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
