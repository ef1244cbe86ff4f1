"""CREsted in a process of an environment of its own, asked for one design after the other.

Requirements: the standard library.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.peers.environment import own_environment
from fastism.errors import FastISMError

SCRIPT = Path(__file__).with_name("run_crested.py")


@dataclass(frozen=True, slots=True)
class Design:
    """One answer.

    Attributes
    ----------
    clock, process : float
        Seconds that it took, on the clock and of its process on all processors.
    design : str
        Letters.
    """

    clock: float
    process: float
    design: str


class Crested:
    """A process that evolves one sequence with one model; to be used in a ``with`` statement.

    Parameters
    ----------
    python : Path
        The interpreter of its environment, which ``workflows/envs/crested.txt`` describes.
    model : Path
        Keras file.
    sequence : str
        Letters to begin with.
    steps : int
        Substitutions to make.
    script : Path
        What that interpreter runs.
    """

    def __init__(
        self, python: Path, model: Path, sequence: str, steps: int, script: Path = SCRIPT
    ) -> None:
        words = [str(python), str(script), "--model", str(model)]
        self._words = [*words, "--sequence", sequence, "--steps", str(steps)]

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                self._words, stdin=pipe, stdout=pipe, text=True, env=own_environment()
            )
        except OSError as error:
            raise FastISMError(
                f"{self._words[0]} does not run ({error}); give the interpreter of an environment "
                "with what workflows/envs/crested.txt lists."
            ) from None
        try:
            self._answer()
        except FastISMError:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def run(self) -> Design:
        """One design.

        Raises
        ------
        FastISMError
            The process has ended; what it wrote to its errors says why.
        """
        with contextlib.suppress(OSError):  # It may have ended, which the missing answer tells.
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        said = self._answer()
        return Design(said["clock"], said["process"], said["design"])

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise FastISMError(
                f"CREsted ended with status {self._process.wait()} and no answer; see its message "
                "above."
            )
        return json.loads(line)

    def _stop(self) -> None:
        """End it by asking for nothing more."""
        with contextlib.suppress(OSError):  # It may have ended already.
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
