"""Running notebooks without a screen: papermill with checked parameters, an executed copy and its HTML."""

import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from thaw.base import Interrupts, ThawError, advice, check_target, make_folder, project_root, write_text
from thaw.base.arguments import checked_parameters


def run_notebook(notebook: str | Path, output: str | Path, parameters: dict[str, Any] | None = None) -> Path:
    """Execute a notebook in the project's root and write the executed copy and its HTML.

    Args:
        notebook: the source, e.g. `notebooks/01_ddpm.ipynb`; not changed.
        output: path of the executed `.ipynb`; the HTML lies beside it. A failed run leaves
            `<name>.failed.ipynb` instead, with the error inside.
        parameters: values for the notebook's parameters cell.

    Raises:
        ThawError: for a missing notebook, a parameter that it does not have or that is of another type than its
            default, or an error in a cell.
        KeyboardInterrupt: on Ctrl-C, once the running cell has ended in order (a training saves what it has).
    """
    import papermill  # takes a second to import

    notebook, output = Path(notebook), check_target(output, ".ipynb", inputs=[notebook])
    check_target(output, ".ipynb", also=[output.with_suffix(".html")])
    failed = output.with_name(f"{output.stem}.failed.ipynb")
    if not notebook.is_file():
        known = ", ".join(sorted(p.stem for p in notebook.parent.glob("*.ipynb"))) or "none"
        raise ThawError(f"no notebook {notebook}; {advice(notebook, f'there are: {known}')}")
    known = {key: found["default"] for key, found in papermill.inspect_notebook(_literal(notebook)).items()}
    parameters = checked_parameters(parameters or {}, known, notebook.name)
    make_folder(output.parent)
    before = dict(os.environ)
    os.environ["THAW_HEADLESS"] = "1"  # inherited by the kernel: lines instead of progress bars
    try:
        tell = Progress()
        with Interrupts(signal.SIGINT, noted=_to_kernel), now_and_then(tell.pulse, 1.0):
            papermill.execute_notebook(
                _literal(notebook), _literal(failed), parameters=parameters, kernel_name="python3",
                cwd=str(project_root()), progress_bar=False, stdout_file=sys.stdout, stderr_file=sys.stderr,
                on_cell_start=tell.begin,
                extra_arguments=["--log-level=ERROR"],  # a kernel greets with a warning about its local sockets
            )  # fmt: skip
    except papermill.exceptions.PapermillExecutionError as error:
        reason = f"{error.ename}: {error.evalue}".strip().splitlines()[0]
        if error.ename == "KeyboardInterrupt":
            failed.unlink(missing_ok=True)
            raise KeyboardInterrupt from None
        if error.ename == "ThawError":
            failed.unlink(missing_ok=True)
            reason = str(error.evalue)
        raise ThawError(f"{notebook.name} stopped: {reason}") from None
    finally:
        os.environ.clear()
        os.environ.update(before)
    failed.replace(output)
    write_text(output.with_suffix(".html"), as_html(output))
    return output


@contextlib.contextmanager
def now_and_then(work: Callable[[], None], seconds: float) -> Iterator[None]:
    """Do a piece of work every so many seconds, in a thread, while the block runs."""
    done = threading.Event()

    def often() -> None:
        while not done.wait(seconds):
            work()

    thread = threading.Thread(target=often, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Progress:
    """Lines that tell where a notebook is: one a section, and, by `pulse`, one now and then in a long cell.

    Args:
        clock: returns seconds.
    """

    FIRST = 10.0  # seconds in a cell before it is told; the next time after twice as many, and so on

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.started, self.section = clock, clock(), "the first cells"
        self.begun, self.due = self.started, self.FIRST

    def begin(self, cell: Any, cell_index: int) -> None:
        """Note that a cell begins, which may be a heading."""
        self.begun, self.due = self.clock(), self.FIRST
        heading = re.match(r"#+ +(.+)", cell.source) if cell.cell_type == "markdown" else None
        if heading:
            self.section = heading[1].strip()
            self._tell(self.section)

    def pulse(self) -> None:
        """Tell that a cell is still running, where it has been for long."""
        if self.clock() - self.begun >= self.due:
            self.due *= 2
            self._tell(f"... {self.section}")

    def _tell(self, what: str) -> None:
        print(f"{self.clock() - self.started:5.0f} s  {what}", flush=True)


def _literal(path: Path) -> str:
    """Return a path as papermill takes it, which puts parameters in the place of {braces}."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _to_kernel(number: int) -> None:
    """Send a signal on to the notebook's kernel, as JupyterLab does.

    Left to itself, the kernel's client would break down half-way with tracebacks of its own.
    """
    import psutil

    children = psutil.Process().children()
    kernels = [child for child in children if any("ipykernel" in part for part in child.cmdline())]
    if not kernels:
        raise KeyboardInterrupt
    for kernel in kernels:
        kernel.send_signal(number)


WIDGET = "application/vnd.jupyter.widget-view+json"
NO_WIDGETS = "<p><em>Here the notebook shows a live panel: open it with <code>make lab</code>.</em></p>"
FORMULA, PLACE = re.compile(r"(\$\$?)(.+?)\1", re.DOTALL), "thawformula{}end"


def drop_widgets(notebook: Any) -> None:
    """Put a line in the place of each live widget: they need a kernel, and scripts from elsewhere."""
    notebook.metadata.pop("widgets", None)
    for output in (one for cell in notebook.cells for one in cell.get("outputs", [])):
        if WIDGET in output.get("data", {}):
            output.data = {"text/html": NO_WIDGETS}


def as_html(notebook: Path) -> str:
    """Return an executed notebook as HTML with its figures inside; a line takes the place of each live widget.

    Formulas are MathML, since a page is to load no scripts from the internet.
    """
    import nbformat
    from latex2mathml.converter import convert
    from nbconvert import HTMLExporter

    formulas: list[str] = []

    def keep(found: re.Match[str]) -> str:
        """Keep a formula as MathML, which the exporter's own cleaning would drop."""
        formulas.append(convert(found[2].strip(), display="block" if found[1] == "$$" else "inline"))
        return PLACE.format(len(formulas) - 1)

    content = nbformat.read(notebook, 4)
    drop_widgets(content)
    for cell in content.cells:
        if cell.cell_type == "markdown":
            cell.source = FORMULA.sub(keep, cell.source)
    page = HTMLExporter(embed_images=True).from_notebook_node(content)[0]
    return re.sub(PLACE.format(r"(\d+)"), lambda found: formulas[int(found[1])], page)
