"""The frame around every panel: controls, a button, Stop, a progress bar, one line of text, and the results.

Work is done in a thread, so that the page stays alive. What was started later wins: a run that has been
superseded is told to stop, and nothing of it is shown any more.
"""

import html
import re
import threading
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as widgets

from thaw.base import ThawError, by_git
from thaw.store import Weights, pretrained
from thaw.store.catalogue import catalogue

RESTART = "Nothing happens when you click? After a restart of the kernel, run all cells again."
REST = 0.4  # seconds without a move after which a hand has let go of a slider
REDRAW = 0.1  # least seconds between two signs of progress: more would only flood the page


class Stopped(Exception):  # noqa: N818
    """Raised within a run, between two of its steps, where Stop was pressed."""


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
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(" ".join(text.split()), quote=False))
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def hint(*reasons: str) -> str:
    """Return remarks, the reasons why controls are disabled, say, as small HTML; empty without any."""
    lines = [html.escape(reason, quote=False) for reason in reasons if reason]
    if not lines:
        return ""
    return f'<div style="opacity:0.75;font-size:85%;line-height:1.25">{"<br>".join(lines)}</div>'


class Update(NamedTuple):
    """What a run yields between two steps of its work."""

    share: float  # progress in [0, 1]
    text: str = ""  # what the panel says; unchanged where it is empty
    draw: Callable[[], object] | None = None  # changes the results
    always: bool = False  # else it is left out where the page was changed a moment ago


def put(widget: widgets.Widget, make: Callable[..., Any], *arguments: Any) -> None:
    """Give a widget the value `make(*arguments)`: with `partial`, what an `Update` draws."""
    widget.value = make(*arguments)


Run = Generator[Update, None, str | None]  # what it returns in the end is said


class Panel:
    """Controls on the left, results on the right; `view` is what is displayed.

    Args:
        controls: widgets, from top to bottom.
        results: widgets, from top to bottom.
        start: reads the settings and returns the run, a generator, which is gone through in a thread. Where it is
            stopped, `Stopped` is raised within it.
        button: what the button says.
        icon: its picture.
        name: of the panel, in the page.
    """

    def __init__(
        self, controls: Sequence[Any], results: Sequence[Any], start: Callable[[], Run], button: str = "Draw",
        icon: str = "pencil", name: str = "any",
    ) -> None:  # fmt: skip
        self.lock = threading.RLock()
        self.current: Run | None = None  # the run that may change the page
        self.thread: threading.Thread | None = None
        self.stopping = False
        self.following: Run | None = None  # the run that sketches while a slider moves
        self.moved = 0.0  # when one did last
        self.bar = widgets.FloatProgress(min=0, max=1, layout={"width": "100%", "height": "18px", "margin": "2px"})
        self.message = widgets.HTML(layout={"min_height": "32px", "margin": "0 2px"})
        self.buttons = widgets.HBox(layout={"flex_flow": "row wrap"})
        self.stop_button = self.add_button("Stop", self.stop, icon="stop", tooltip="Stop what is running")
        self.stop_button.add_class("thaw-stop")
        self.button = self.add_run(button, start, icon=icon, button_style="primary")
        self.button.add_class("thaw-run")
        note = widgets.HTML(hint(RESTART) + "<style>.thaw-panel img { image-rendering: pixelated; }</style>")
        left = {"width": "350px", "margin": "0 16px 8px 0"}
        self.controls = widgets.VBox([*controls, self.buttons, self.bar, self.message, note], layout=left)
        self.results = widgets.VBox(results, layout={"flex": "1 1 440px", "min_width": "300px", "overflow": "hidden"})
        self.view = widgets.HBox([self.controls, self.results], layout={"flex_flow": "row wrap", "width": "100%"})
        self.view.add_class("thaw-panel")
        self.view.add_class(f"thaw-{name}")
        self._rest()

    def add_button(self, text: str, react: Callable[[], None], **options: Any) -> widgets.Button:
        """Add a button, left of Stop."""
        button = widgets.Button(description=text, layout={"width": "auto"}, **options)
        button.on_click(lambda _: react())
        *others, stop = self.buttons.children or [None]
        self.buttons.children = [one for one in (*others, button, stop) if one is not None]
        return button

    def add_run(self, text: str, start: Callable[[], Run], **options: Any) -> widgets.Button:
        """Add a button that begins a run, left of Stop."""
        return self.add_button(text, lambda: self.run(start), **options)

    def say(self, text: str) -> None:
        """Show one line of HTML under the buttons."""
        self.message.value = f'<div style="line-height:1.35">{text}</div>' if text else ""

    def safely(self, react: Callable[[], Any]) -> Callable[..., None]:
        """Return a callback of which every error ends as a sentence in the panel."""

        def reacting(*_: Any) -> None:
            try:
                react()
            except Exception as error:  # whatever it is: a traceback would land in a log that nobody sees
                self.say(sentence(error))

        return reacting

    def run(self, start: Callable[[], Run]) -> None:
        """Begin a run; one that is under way is superseded."""
        with self.lock:
            self.current, self.stopping = None, False
            try:
                self.current = start()
            except Exception as error:
                self._rest(sentence(error))
                return
            self.stop_button.disabled, self.bar.value, self.bar.layout.visibility = False, 0.0, "visible"
            self.say("Working ...")
            self.thread = threading.Thread(target=self._work, args=(self.current,), daemon=True)
            self.thread.start()

    def follow(self, sketch: Callable[[], Run | None], start: Callable[[], Run]) -> Callable[..., None]:
        """Return a callback for sliders: while one moves there are sketches, and where it rests the run begins.

        Args:
            sketch: reads the settings and returns a short run, or None where there is nothing quick to show; nothing
                begins by itself then.
            start: returns the run.
        """

        def moving(*_: Any) -> None:
            self.moved = time.monotonic()
            if self.following is not None and self.current is self.following:
                return  # it sees the move
            if (first := sketch()) is not None:
                self.following = self._follow(first, sketch, start)
                self.run(lambda: self.following)

        return self.safely(moving)

    def _follow(self, now: Run | None, sketch: Callable[[], Run | None], start: Callable[[], Run]) -> Run:
        while now is not None:
            began = time.monotonic()
            yield from now
            while self.moved < began and time.monotonic() - self.moved < REST:
                time.sleep(REST / 20)
                yield Update(0.0)
            now = sketch() if self.moved >= began else None
        self.following = None
        return (yield from start())

    def _work(self, run: Run) -> None:
        shown = 0.0
        try:
            while self.current is run:
                stopping, self.stopping = self.stopping, False
                update = run.throw(Stopped()) if stopping else next(run)
                if update.always or time.monotonic() - shown >= REDRAW:
                    shown = time.monotonic()
                    self._apply(run, update)
        except StopIteration as end:
            said = end.value or ""
        except Stopped:
            said = "Stopped."
        except Exception as error:
            said = sentence(error)
        with self.lock:
            if self.current is run:
                self._rest(said)

    def _apply(self, run: Run, update: Update) -> None:
        with self.lock:
            if self.current is run:
                self.bar.value = min(1.0, update.share)
                if update.text:
                    self.say(html.escape(update.text, quote=False))
                if update.draw is not None:
                    update.draw()

    def _rest(self, said: str = "") -> None:
        self.stop_button.disabled, self.bar.value, self.bar.layout.visibility = True, 0.0, "hidden"
        self.say(said)

    def stop(self) -> None:
        """Ask the run under way to stop; it ends between two of its steps."""
        if not self.stop_button.disabled:
            self.stopping = True
            self.say("Stopping ...")

    def wait(self, seconds: float = 300.0) -> None:
        """Wait for the run under way to end."""
        if self.thread is not None:
            self.thread.join(seconds)
            if self.thread.is_alive():
                raise ThawError(f"the run did not end within {seconds:g} s")


def view_of(
    build: Callable[[], Panel], folder: str | Path | None, suits: Callable[[Weights], bool] = lambda _: True
) -> widgets.Widget:  # fmt: skip
    """Return the view of a panel, or the reason why there is none, as a sentence.

    Args:
        build: makes the panel.
        folder: of the weights.
        suits: which weights it needs at least one of.
    """
    try:
        if any(suits(weights) for weights in catalogue(folder)):
            return build().view
    except Exception as error:  # a damaged manifest, say
        return widgets.HTML(sentence(error))
    folder = pretrained(folder)
    return widgets.HTML(sentence(ThawError(f"no weights in {folder}/: restore them with {by_git(folder)}")))
