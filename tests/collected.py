"""Collects the tests and writes what was found: ``python tests/collected.py FILE``.

One line per test: its name, and a digest of each of its parameters. Run in a process of its own by
tests/test_collection.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from parameter_ids import digest


class Writer:
    """A plugin that writes every test that is collected to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._path.write_text("".join(f"{line(item)}\n" for item in session.items))


def line(item: pytest.Item) -> str:
    """What tells a test from the others: its name and its parameters."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return " ".join([item.nodeid, *(f"{name}={digest(v)}" for name, v in parameters.items())])


if __name__ == "__main__":
    options = ["--collect-only", "--quiet", "--quiet", "-p", "no:cacheprovider", "-p", "no:xdist"]
    sys.exit(pytest.main(options, plugins=[Writer(Path(sys.argv[1]))]))
