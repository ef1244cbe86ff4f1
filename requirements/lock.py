"""Write the locks: what pip chooses for the extras of the project, wheels only.

    python -m requirements.lock              pins stay as they are where they can
    python -m requirements.lock --upgrade    the newest versions

Requirements: packaging, pip 22.2 or newer, and a network; Linux (x86-64) with Python 3.11.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from requirements.pins import Pin, lock_path, read_lock
from requirements.purposes import LEFT_OUT, PURPOSES, Alone, requirements_of

#: The machine that the locks are for.
MACHINE = ("Linux", "x86_64", "3.11")
#: What PyTorch asks for where its wheel is one for GPUs. It differs from wheel to wheel, so that no
#: lock holds it: PyTorch alone is installed with what it asks for.
OF_GPU_WHEELS = re.compile(r"nvidia-.*|cuda-.*|triton")
HEADER = """\
# {title}
# Written by `python -m requirements.lock`; requirements/__init__.py says when. Python 3.11 on Linux
# (x86-64). Behind each pin: the tags of its wheel.
"""


class Chosen:
    """What pip would install, as its report tells it.

    Parameters
    ----------
    entries : list of dict
        The list ``install`` of the report.
    """

    def __init__(self, entries: list[dict]) -> None:
        self.metadata = {canonicalize_name(e["metadata"]["name"]): e["metadata"] for e in entries}
        self._urls = {
            canonicalize_name(e["metadata"]["name"]): e["download_info"]["url"] for e in entries
        }

    def pin(self, name: str) -> Pin:
        """The line of a lock for a package.

        Raises
        ------
        SystemExit
            What pip chose is no wheel.
        """
        metadata = self.metadata[name]
        file = unquote(urlsplit(self._urls[name]).path).rpartition("/")[2]
        if not file.endswith(".whl"):
            raise SystemExit(
                f"{metadata['name']} has no wheel ({file}). Replace what asks for it, or name the "
                "package that does in requirements/purposes.py (Alone, LEFT_OUT)."
            )
        tags = "-".join(file.removesuffix(".whl").split("-")[-3:])
        return Pin(metadata["name"], metadata["version"].partition("+")[0], tags)

    def needed(self, name: str, extras: Iterable[str] = ()) -> list[Requirement]:
        """What a package asks for here, without what is left out."""
        lines = map(Requirement, self.metadata[name].get("requires_dist", []))
        return [
            line
            for line in lines
            if any(applies(line, extra) for extra in ("", *extras))
            and canonicalize_name(line.name) not in LEFT_OUT
            and not OF_GPU_WHEELS.fullmatch(canonicalize_name(line.name))
        ]

    def closure(self, requirements: Iterable[Requirement]) -> set[str]:
        """The names of all that the requirements ask for, themselves among them."""
        found: set[tuple[str, frozenset[str]]] = set()
        waiting = list(requirements)
        while waiting:
            line = waiting.pop()
            key = (canonicalize_name(line.name), frozenset(line.extras))
            if key not in found:
                found.add(key)
                waiting += self.needed(*key)
        return {name for name, _ in found}


def applies(requirement: Requirement, extra: str = "") -> bool:
    """Whether a requirement of a package holds on this machine, with one extra or none."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def choose(lines: Iterable[str], *arguments: str) -> Chosen:
    """Ask pip what it would install into an empty environment."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    # What has no wheel is left out afterwards, but pip wants to read it before.
    sources = [f"--no-binary={name}" for name in LEFT_OUT]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command += ["--only-binary=:all:", *sources, f"--report={report}", *arguments, *lines]
        subprocess.run(command, check=True)
        return Chosen(json.loads(report.read_text())["install"])


def imports_of(alone: Sequence[Alone], chosen: Chosen) -> list[Requirement]:
    """What packages that are installed alone need all the same, in the versions they ask for."""
    found = []
    for package in alone:
        name = canonicalize_name(Requirement(package.requirement).name)
        asked = {canonicalize_name(line.name): line for line in chosen.needed(name)}
        for wanted in package.imports:
            found.append(Requirement(f"{wanted}{asked[wanted].specifier}"))
    return found


def write(constraints: Sequence[str]) -> None:
    """Resolve all purposes together, so that they agree, and write a lock for each."""
    alone = [package for purpose in PURPOSES.values() for package in purpose.alone]
    by_themselves = choose([p.requirement for p in alone], "--no-deps", *constraints)
    asked = {name: [*map(Requirement, requirements_of(name))] for name in PURPOSES}
    for name, purpose in PURPOSES.items():
        asked[name] += imports_of(purpose.alone, by_themselves)
    lines = dict.fromkeys(str(line) for requirements in asked.values() for line in requirements)
    chosen = choose(lines, *constraints)
    names = {name: chosen.closure(requirements) for name, requirements in asked.items()}
    for name, purpose in PURPOSES.items():
        wanted = names[name] - names.get(purpose.over, set())
        pins = [chosen.pin(package) for package in wanted]
        for package in purpose.alone:
            key = canonicalize_name(Requirement(package.requirement).name)
            pins.append(by_themselves.pin(key))
        text = "".join(f"{pin}\n" for pin in sorted(pins, key=lambda pin: pin.key))
        lock_path(name).write_text(HEADER.format(title=purpose.title) + text)
        print(f"{lock_path(name).name}: {len(pins)} packages")


def current_pins() -> list[str]:
    """The pins of the locks that are there."""
    found = (read_lock(name) for name in PURPOSES if lock_path(name).exists())
    return [pin.requirement for pins in found for pin in pins.values()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, and write the locks."""
    parser = argparse.ArgumentParser(description="Write the locks of all purposes.")
    parser.add_argument(
        "--upgrade", action="store_true", help="take the newest versions, whatever is pinned now"
    )
    options = parser.parse_args(arguments)
    here = (platform.system(), platform.machine(), ".".join(platform.python_version_tuple()[:2]))
    if here != MACHINE:
        raise SystemExit(f"The locks are for {' '.join(MACHINE)}; this is {' '.join(here)}.")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{line}\n" for line in ([] if options.upgrade else current_pins()))
        file.flush()
        write([f"--constraint={file.name}"])


if __name__ == "__main__":
    main()
