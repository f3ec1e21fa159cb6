"""Ctrl-C and SIGTERM, put off until it is safe to act on them."""

import signal
import sys
import threading
from typing import Any


class Interrupts:
    """Within the block, the first Ctrl-C (or SIGTERM) only sets `received`; a second one acts at once.

    Only the main thread hears signals; in any other one nothing changes. The block may be entered again.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if self.received is None and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def _note(self, number: int, _: object) -> None:
        self.received = number
        self.__exit__()

    def act(self) -> None:
        """Do what the signal stands for, if one came: KeyboardInterrupt, or exit code 143."""
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is not None:
            sys.exit(128 + self.received)
