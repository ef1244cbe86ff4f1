"""How far a long command is: a bar on a terminal, a line now and then elsewhere; all on stderr.

Requirements: rich, typer.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: Seconds between lines where stderr is not a terminal.
INTERVAL = 10.0
Advance = Callable[[int], None]


def note(message: str, quiet: bool = False) -> None:
    """One line on stderr, unless the user asked for quiet."""
    if not quiet:
        typer.echo(f"fastism: {message}", err=True)


def duration(seconds: float) -> str:
    """Seconds for people: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Lines:
    """Progress as plain lines: at the first batch, every few seconds, and at the end."""

    def __init__(
        self,
        total: int,
        done: int,
        clock: Callable[[], float] = time.monotonic,
        unit: str = "sequences",
    ) -> None:
        self._total, self._done, self._clock, self._unit = total, done, clock, unit
        self._begin, self._first = clock(), done
        self._last, self._said = float("-inf"), done

    def __call__(self, count: int) -> None:
        """Add what was done since."""
        self._done += count
        now = self._clock()
        if now - self._last >= INTERVAL:
            self._say(now)

    def end(self) -> None:
        """Say how it ended, unless the last line does."""
        if self._said < self._done:
            self._say(self._clock())

    def _say(self, now: float) -> None:
        self._last, self._said = now, self._done
        note(self.line(now))

    def line(self, now: float) -> str:
        """Counts, rate and time left."""
        rate = (self._done - self._first) / max(now - self._begin, 1e-9)
        left = duration((self._total - self._done) / max(rate, 1e-9))
        return f"{self._done} of {self._total} {self._unit}, {rate:.3g} per second, {left} left"


@contextmanager
def slow(message: str, quiet: bool = False, after: float = 3.0) -> Iterator[None]:
    """Say what takes long, as soon as it has taken some seconds.

    Parameters
    ----------
    message : str
    quiet : bool
        Say nothing.
    after : float
        Seconds.
    """
    try:
        # What runs meanwhile may hold back what is written to stderr.
        stderr = os.dup(2)
    except OSError:
        yield
        return

    def say() -> None:
        os.write(stderr, f"fastism: {message} ...\n".encode())

    timer = threading.Timer(after, say)
    timer.daemon = True
    try:
        if not quiet:
            timer.start()
        yield
    finally:
        timer.cancel()
        if timer.is_alive():
            timer.join()
        os.close(stderr)


@contextmanager
def progress(total: int, done: int, quiet: bool, unit: str = "sequences") -> Iterator[Advance]:
    """What is to be called with the number of sequences that were finished.

    Parameters
    ----------
    total, done : int
        Sequences in all, and those of an earlier run.
    quiet : bool
        Show nothing.
    unit : str
        What they are called.
    """
    if quiet:
        yield lambda count: None
    elif not sys.stderr.isatty():
        lines = Lines(total, done, unit=unit)
        yield lines
        lines.end()
    else:
        columns = (
            TextColumn("scoring"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=total, completed=done, rate="")
            begin, first = time.monotonic(), done

            def advance(count: int) -> None:
                nonlocal done
                done += count
                rate = (done - first) / max(time.monotonic() - begin, 1e-9)
                bar.update(task, advance=count, rate=f"{rate:.3g} per second")

            yield advance
