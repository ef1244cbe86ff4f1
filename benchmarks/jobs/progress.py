"""What a job shows while it runs: lines on the terminal, a moving status, and a log.

Requirements: rich.
"""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

logger = logging.getLogger("benchmarks")


class Progress:
    """Shows the stages of a job.

    Every line also goes to the log, which is standard error where that is not a terminal (the
    workflow redirects it to a file).

    Parameters
    ----------
    title : str
        What the job measures.
    console : Console, optional
        Where to show it; standard output by default.
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.title = title
        self.console = console or Console(highlight=False)
        self._status: Status | None = None
        if not sys.stderr.isatty():
            logging.basicConfig(format="%(asctime)s %(message)s")
            logger.setLevel(logging.INFO)

    def __enter__(self) -> Self:
        self.console.rule(f"[bold]{self.title}", align="left", characters="─")
        if self.console.is_terminal:
            self._status = self.console.status("starting")
            self._status.start()
        logger.info("%s", self.title)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._status:
            self._status.stop()

    def now(self, text: str) -> None:
        """Say what is under way; on the terminal, the next such text replaces it."""
        logger.info("%s", text)
        if self._status:
            self._status.update(text)

    def done(self, text: str) -> None:
        """Say what has come out; stays on the terminal."""
        logger.info("%s", text)
        self.console.print(f"  {text}", markup=False, soft_wrap=True)

    def wrong(self, text: str) -> None:
        """Say what went wrong; stays on the terminal, in red."""
        logger.error("%s", text)
        self.console.print(f"  {text}", style="bold red", markup=False, soft_wrap=True)


def counted(number: int) -> str:
    """A number of sequences in words."""
    return "1 sequence" if number == 1 else f"{number} sequences"
