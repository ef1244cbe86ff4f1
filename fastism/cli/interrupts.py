"""Ctrl-C and termination: stop once in an orderly way, at the second time at once.

Requirements: none.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fastism.cli.exit_codes import Exit

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Whether the user wants to stop.

    The first signal raises KeyboardInterrupt wherever the program is; a library may swallow that
    (in a destructor, in a callback), so `check` raises it again between batches.
    """

    def __init__(self) -> None:
        self.requested = False

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self.requested:
            os._exit(Exit.INTERRUPTED)
        self.requested = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has come."""
        if self.requested:
            raise KeyboardInterrupt


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Handle signals in here; outside the main thread, where that is impossible, do nothing."""
    state = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    before = {each: signal.signal(each, state.receive) for each in SIGNALS}
    try:
        yield state
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
