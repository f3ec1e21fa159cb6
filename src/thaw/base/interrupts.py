"""Ctrl-C and SIGTERM, put off until it is safe to act on them, or passed on to another process."""

import signal
import sys
import threading
from collections.abc import Callable
from typing import Any


class Interrupts:
    """Within the block, the first Ctrl-C (or SIGTERM) only sets `received`; a second one acts at once.

    Only the main thread hears signals; in any other one nothing changes. The block may be entered again.

    Args:
        signals: that are heard.
        noted: called with the first one.
    """

    def __init__(self, *signals: int, noted: Callable[[int], None] = lambda _: None) -> None:
        self.received: int | None = None
        self._signals, self._noted = signals or (signal.SIGINT, signal.SIGTERM), noted
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if self.received is None and threading.current_thread() is threading.main_thread():
            for number in self._signals:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def _note(self, number: int, _: object) -> None:
        self.received = number
        self.__exit__()
        self._noted(number)

    def act(self) -> None:
        """Do what the signal stands for, if one came: KeyboardInterrupt, or exit code 143."""
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is not None:
            sys.exit(128 + self.received)
