"""Keeps what frameworks say about themselves off the user's terminal.

Requirements: none.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

#: Set before a framework is imported; whoever set these differently keeps it.
SETTINGS = {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR", "PYTHONWARNINGS": "ignore"}
#: Lines of the logging library of TensorFlow and XLA, which ignore the setting at their start.
LOGGED = re.compile(
    rb"[IWE]\d{4} |WARNING: All log messages before absl|\d{4}-\d\d-\d\d .*: [IWE] "
)


def set_up() -> None:
    """What can be asked of frameworks: to log errors only."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("absl").setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


@contextmanager
def without_logs() -> Iterator[None]:
    """Hold back what is written to stderr in here, then write it without the frameworks' logs."""
    sys.stderr.flush()
    try:
        before = os.dup(2)
    except OSError:
        # Stderr is closed: nobody can see anything.
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
            held.seek(0)
            for line in held:
                if not LOGGED.match(line):
                    os.write(2, line)
