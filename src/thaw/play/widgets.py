"""The frame around every panel: controls, a button, Stop, a progress bar, one line of text, and the results.

Work is done in a thread, so that the page stays alive. What was started later wins: a run that has been
superseded is told to stop, and nothing of it is shown any more.
"""

import html
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from thaw.base.errors import ThawError

WIDE = {"description_width": "6.5em"}
ROW = {"width": "330px"}
RESTART = "Nothing happens when you click? After a restart of the kernel, run all cells again."
REDRAW = 0.1  # least seconds between two signs of progress: more would only flood the page


class Stopped(Exception):  # noqa: N818
    """Raised within a job that was stopped or superseded."""


def sentence(error: BaseException) -> str:
    """Return what went wrong as one sentence of HTML."""
    if isinstance(error, ThawError):
        text = str(error)
    elif isinstance(error, OSError):
        text = f"{error.strerror or error}: {error.filename or 'a file'}"
    elif isinstance(error, MemoryError):
        text = "not enough memory; choose fewer digits"
    else:
        text = f"something unexpected happened ({type(error).__name__}: {error}); run all cells again"
    text = html.escape(" ".join(text.split()), quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


class Job:
    """One run of a panel, seen from inside its thread."""

    def __init__(self, panel: "Panel") -> None:
        self.panel, self.asked, self.stopped, self._told = panel, threading.Event(), False, 0.0

    @property
    def current(self) -> bool:
        """Whether no later run has taken its place."""
        return self.panel.job is self

    def check(self) -> None:
        """Raise `Stopped` if this run was stopped or superseded; call it between the steps of long work."""
        if self.asked.is_set():
            raise Stopped

    def show(self, publish: Callable[..., Any], *values: Any) -> None:
        """Change what the panel shows by `publish(*values)`, unless this run was superseded."""
        with self.panel.lock:
            if self.current:
                publish(*values)

    def put(self, widget: widgets.Widget, value: Any) -> None:
        """Give a widget a value, unless this run was superseded."""
        self.show(setattr, widget, "value", value)

    def report(self, share: float, text: str | None = None) -> bool:
        """Show progress in [0, 1], now and then, and raise `Stopped` if asked to; True where it was shown."""
        self.check()
        if time.monotonic() - self._told < REDRAW and share < 1:
            return False
        self._told = time.monotonic()

        def publish() -> None:
            self.panel.bar.value = min(1.0, share)
            if text is not None:
                self.panel.say(html.escape(text, quote=False))

        self.show(publish)
        return True


class Panel:
    """Controls on the left, results on the right.

    Args:
        controls: widgets, from top to bottom.
        results: widgets, from top to bottom.
        start: reads the settings, in the caller's thread, and returns the work: a function of its `Job` that may
            return a line of text.
        button: what the button says.
        icon: its picture.
    """

    def __init__(
        self, controls: list[Any], results: list[Any], start: Callable[[], Callable[[Job], str | None]],
        button: str = "Draw", icon: str = "pencil",
    ) -> None:  # fmt: skip
        self.lock, self.job, self.thread = threading.RLock(), None, None
        self.button = widgets.Button(description=button, button_style="primary", icon=icon, layout={"width": "auto"})
        self.stop_button = widgets.Button(
            description="Stop", icon="stop", disabled=True, tooltip="Stop what is running", layout={"width": "auto"}
        )
        self.bar = widgets.FloatProgress(min=0, max=1, layout={"width": "100%", "height": "18px", "margin": "2px"})
        self.message = widgets.HTML(layout={"min_height": "32px", "margin": "0 2px"})
        self.buttons = widgets.HBox([self.button, self.stop_button], layout={"flex_flow": "row wrap"})
        self.button.on_click(lambda _: self.run(start))
        self.stop_button.on_click(lambda _: self.stop())
        self.button.add_class("thaw-run")
        self.stop_button.add_class("thaw-stop")
        note = widgets.HTML(hint(RESTART) + "<style>.thaw-panel img { image-rendering: pixelated; }</style>")
        below = [self.buttons, self.bar, self.message, note]
        self.controls = widgets.VBox([*controls, *below], layout={"width": "350px", "margin": "0 16px 8px 0"})
        self.results = widgets.VBox(results, layout={"flex": "1 1 440px", "min_width": "300px", "overflow": "hidden"})
        self.view = widgets.HBox([self.controls, self.results], layout={"flex_flow": "row wrap", "width": "100%"})
        self.view.add_class("thaw-panel")
        self._idle()

    def add_button(self, text: str, start: Callable[[], Callable[[Job], str | None]], **options: Any) -> widgets.Button:
        """Add a button for another kind of run, left of Stop."""
        button = widgets.Button(description=text, layout={"width": "auto"}, **options)
        button.on_click(lambda _: self.run(start))
        *first, stop = self.buttons.children
        self.buttons.children = (*first, button, stop)
        return button

    def _idle(self) -> None:
        self.stop_button.disabled, self.bar.value, self.bar.layout.visibility = True, 0.0, "hidden"

    def say(self, text: str) -> None:
        """Show one line of HTML under the buttons."""
        self.message.value = f'<div style="line-height:1.35">{text}</div>' if text else ""

    def safely(self, react: Callable[..., Any]) -> Callable[..., None]:
        """Return a callback of which every error ends as a sentence in the panel."""

        def reacting(*arguments: Any) -> None:
            try:
                react(*arguments)
            except Exception as error:  # whatever it is: a traceback would land in a log that nobody sees
                self.say(sentence(error))

        return reacting

    def run(self, start: Callable[[], Callable[[Job], str | None]]) -> None:
        """Begin a run; one that is under way is superseded."""
        with self.lock:
            self.stop(quietly=True)
            self.job = job = Job(self)
            try:
                work = start()
            except Exception as error:
                self._end(job, sentence(error))
                return
            self.stop_button.disabled, self.bar.value, self.bar.layout.visibility = False, 0.0, "visible"
            self.say("Working ...")
            self.thread = threading.Thread(target=self._work, args=(job, work), daemon=True)
            self.thread.start()

    def _work(self, job: Job, work: Callable[[Job], str | None]) -> None:
        try:
            said = work(job) or ""
        except Stopped:
            said = "Stopped."
        except Exception as error:
            said = sentence(error)
        self._end(job, said)

    def _end(self, job: Job, said: str) -> None:
        with self.lock:
            if job.current:
                self._idle()
                self.say(said)

    def stop(self, quietly: bool = False) -> None:
        """Ask the run under way to stop; it ends between two of its steps."""
        if self.job is not None:
            self.job.asked.set()
            if not quietly and not self.stop_button.disabled:
                self.say("Stopping ...")

    def wait(self, seconds: float = 300.0) -> None:
        """Wait for the run under way to end."""
        if self.thread is not None:
            self.thread.join(seconds)
            if self.thread.is_alive():
                raise ThawError(f"the run did not end within {seconds:g} s")


def hint(*reasons: str) -> str:
    """Return the reasons why controls are disabled, as small HTML; empty without any."""
    lines = [html.escape(reason, quote=False) for reason in reasons if reason]
    if not lines:
        return ""
    return f'<div style="opacity:0.75;font-size:85%;line-height:1.25">{"<br>".join(lines)}</div>'
