"""Where the `fastism` command begins: before anything that takes time to import, or may be missing.

Requirements: none.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

#: As `Exit.INTERRUPTED` and `Exit.USAGE`, whose module is not imported yet.
_INTERRUPTED, _USAGE = 130, 2


class FirstSignals:
    """Ctrl-C and termination while no command handles them.

    While modules are imported, the process ends at once, as nothing has begun. Later the first
    signal raises KeyboardInterrupt, which the command line says in a line, and the second one ends
    the process.
    """

    def __init__(self) -> None:
        self.importing, self.requested = True, False

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self.importing or self.requested:
            if not self.requested:
                os.write(2, b"fastism: interrupted\n")
            os._exit(_INTERRUPTED)
        self.requested = True
        raise KeyboardInterrupt


def main() -> None:
    """The entry point of the `fastism` command."""
    signals = FirstSignals()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signals.receive)
    try:
        from fastism.cli.app import application

        command = application()
    except ModuleNotFoundError as error:
        from fastism.errors import install

        if error.name is None or error.name.partition(".")[0] == "fastism":
            raise
        sys.stderr.write(
            f"fastism: error: the command line needs the package {error.name}. {install('cli')}\n"
        )
        sys.exit(_USAGE)
    signals.importing = False
    command()
