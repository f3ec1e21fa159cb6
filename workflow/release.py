"""The notebooks with what they showed when they were executed, as a code host shows them:  make release

    python workflow/release.py [EXECUTED.ipynb ...]

Takes the newest executed copy of each notebook under contents/ (the runs', the whole study's), or those that are named,
and puts its outputs into notebooks/, marked as to be kept: the hook of `make hooks` strips those of all others.
"""

import base64
import io
import sys
from pathlib import Path
from typing import Annotated, Any

import nbformat
from cyclopts import Parameter
from nbformat import NotebookNode
from PIL import Image

from thaw.base.errors import ThawError
from thaw.base.files import digest_of, project_root, write_text
from thaw.cli import options as o
from thaw.report.notebooks import drop_widgets

NOTEBOOKS, COPIES = Path("notebooks"), Path("contents")
MOST = 1_000_000  # bytes of a notebook: what a code host shows, and what a history bears
COLOURS = 256
Executed = Annotated[list[Path] | None, Parameter(help="executed copies; by default the newest under contents/")]


def shown(output: NotebookNode) -> NotebookNode:
    """Return an output as it is kept: one picture of few colours, no place of this machine."""
    output = nbformat.from_dict(output)
    data = output.get("data", {})
    if "execution_count" in output:
        output.execution_count = None
    if "image/png" in data:
        image, kept = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))), io.BytesIO()
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(kept, "png", optimize=True)
        few = base64.b64encode(kept.getvalue()).decode()
        data["image/png"] = min(few, data["image/png"].replace("\n", ""), key=len)
        data.pop("image/jpeg", None)
    if "text" in output:
        output.text = output.text.replace(f"{project_root()}/", "")
    return output


def code(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells, but for the parameters that papermill put in."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [cell for cell in cells if "injected-parameters" not in cell.metadata.get("tags", [])]


def digest(notebook: NotebookNode) -> str:
    """Return what tells the code that the outputs of a notebook belong to."""
    return digest_of([cell.source for cell in code(notebook)])


def is_of(copy: Path, source: NotebookNode) -> bool:
    """Return whether a copy is an execution, to the end, of the code as it stands, at its full size."""
    notebook = nbformat.read(copy, 4)
    told = [cell.source for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    cells = code(notebook)
    alike = [cell.source for cell in cells] == [cell.source for cell in code(source)]
    failed = any(output.output_type == "error" for cell in cells for output in cell.outputs)
    whole = all(cell.execution_count for cell in cells)
    return alike and whole and not failed and not any("smoke = True" in text for text in told)


def release(path: Path, copies: list[Path]) -> int | None:
    """Put the outputs of the newest of the copies that is of this notebook into it; return its bytes, None for none.

    Raises:
        ThawError: if it would come to more than `MOST` bytes.
    """
    notebook = nbformat.read(path, 4)
    fitting = [copy for copy in copies if copy.name == path.name and is_of(copy, notebook)]
    if not fitting:
        return None
    executed = nbformat.read(max(fitting, key=lambda copy: copy.stat().st_mtime), 4)
    drop_widgets(executed)
    for cell, done in zip(code(notebook), code(executed), strict=True):
        cell.outputs, cell.execution_count = [shown(output) for output in done.outputs], None
        cell.metadata.pop("execution", None)  # when each ran, from an earlier execution
    for name in ("widgets", "papermill"):
        notebook.metadata.pop(name, None)
    notebook.metadata |= {"keep_output": True, "executed": digest(notebook)}
    text = nbformat.writes(notebook) + "\n"
    if len(text.encode()) > MOST:
        raise ThawError(f"{path} would have {len(text.encode()):,} bytes, more than {MOST:,}; show less in it")
    write_text(path, text)
    return len(text.encode())


def main(executed: Executed = None, /) -> None:
    """Write the notebooks with their outputs."""
    named: list[Any] = executed or [copy for copy in COPIES.rglob("*.ipynb") if "smoke" not in copy.parts]
    if missing := [str(copy) for copy in named if not copy.is_file()]:
        raise ThawError(f"no executed notebook {missing[0]}; `thaw notebook NAME --out FILE` writes one")
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        size = release(path, named)
        print(f"{path}  " + (f"{size:,} bytes" if size else "no copy of the code as it stands: left as it is"))


if __name__ == "__main__":
    sys.exit(o.run(main))
