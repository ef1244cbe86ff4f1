"""What was measured on a device, kept in a file for later processes.

Requirements: none. Programs for GPUs are compiled before they can be timed, which takes seconds for
each; so they are measured once per device, and not once per process.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from fastism.errors import FastISMError
from fastism.files.whole import whole_file

#: Times by the name of the kernel, by class of shapes.
Times = dict[str, dict[str, float]]


def cache_folder() -> Path:
    """Where files are kept: ``FASTISM_CACHE_DIR``, or ``fastism`` in the user's cache folder."""
    own = os.environ.get("FASTISM_CACHE_DIR")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "fastism"


class KeptTimes:
    """The file of one device with one set of versions.

    A file that cannot be read or written is no error: what it would hold is measured again.

    Parameters
    ----------
    facts : mapping of str to str
        Whatever times depend on beside shapes: the device, and versions of what runs on it.
    folder : Path, optional
        `cache_folder` by default.
    """

    def __init__(self, facts: Mapping[str, str], folder: Path | None = None) -> None:
        self._facts = dict(sorted(facts.items()))
        digest = hashlib.sha256(json.dumps(self._facts).encode()).hexdigest()[:16]
        self.path = (cache_folder() if folder is None else folder) / f"kernels-{digest}.json"
        self._times: Times | None = None

    def get(self, shape: str) -> dict[str, float]:
        """Seconds of kernels for a class of shapes; nothing where it was not measured."""
        if self._times is None:
            self._times = self._read()
        return self._times.get(shape, {})

    def put(self, shape: str, seconds: Mapping[str, float]) -> None:
        """Keep what was measured, beside what other processes kept meanwhile."""
        self._times = {**self._read(), shape: dict(seconds)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self.path) as written:
                text = json.dumps({"facts": self._facts, "seconds": self._times}, indent=1)
                written.write_text(text + "\n", encoding="utf-8")
        except (OSError, FastISMError):
            return

    def _read(self) -> Times:
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            return {
                str(shape): {str(name): float(s) for name, s in times.items()}
                for shape, times in kept["seconds"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
