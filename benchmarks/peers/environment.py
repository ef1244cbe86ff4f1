"""Make the environment of a peer from its pinned requirements, and say what is in it.

    python -m benchmarks.peers.environment --help

A peer that cannot be installed is no failure: the description says why, and so will its records.

Requirements: the standard library, and a network.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fastism.errors import FastISMError


@dataclass(frozen=True, slots=True)
class PeerEnvironment:
    """An environment that was made, or why it was not.

    Attributes
    ----------
    python : str
        Its interpreter; an empty string where it could not be made.
    reason : str
        Why it could not.
    versions : dict from str to str
        What it holds.
    """

    python: str
    reason: str
    versions: dict[str, str]

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{json.dumps(asdict(self), indent=1)}\n")

    @classmethod
    def read(cls, path: Path) -> PeerEnvironment:
        """The inverse of `write`.

        Raises
        ------
        FastISMError
            The file is missing or is not what `write` writes.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise FastISMError(
                f"{path} does not describe an environment ({error}); delete it and let the "
                "workflow make it anew."
            ) from None


def own_environment() -> dict[str, str]:
    """The variables of this process without those that would lead Python to this repository."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "KERAS_BACKEND")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, "PYTHONNOUSERSITE": "1"}


def make(requirements: Path, folder: Path) -> PeerEnvironment:
    """Make a virtual environment and install requirements, in the order of the file.

    Parameters
    ----------
    requirements : Path
        Every line is pinned; the first package is installed before the others, as what they
        require may otherwise come in another version.
    folder : Path
        Of the environment; emptied if it is there.
    """
    lines = [line.strip() for line in requirements.read_text().splitlines()]
    pins = [line for line in lines if line and not line.startswith("#")]
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    steps = [
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [*pip, "install", "--quiet", pins[0]],
        [*pip, "install", "--quiet", "--requirement", str(requirements)],
    ]
    for step in steps:
        done = subprocess.run(
            step, capture_output=True, text=True, env=own_environment(), check=False
        )
        sys.stderr.write(done.stdout + done.stderr)
        if done.returncode:
            return PeerEnvironment("", _reason(done.stderr or done.stdout), {})
    return PeerEnvironment(str(python.absolute()), "", _versions(pip))


def _reason(said: str) -> str:
    """What pip complained about, without its advice."""
    lines = said.strip().splitlines() or ["no message"]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return f"The environment could not be made: {errors[0]}"


def _versions(pip: Sequence[str]) -> dict[str, str]:
    listed = subprocess.run(
        [*pip, "list", "--format", "json"],
        capture_output=True,
        text=True,
        env=own_environment(),
        check=True,
    )
    return {entry["name"]: entry["version"] for entry in json.loads(listed.stdout)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the environment of a peer and describe it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.environment", description=main.__doc__
    )
    parser.add_argument("--requirements", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="JSON")
    given = parser.parse_args(arguments)
    make(given.requirements, given.folder).write(given.output)


if __name__ == "__main__":
    main()
