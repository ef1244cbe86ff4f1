"""Install the locks of some purposes, and this project, into a virtual environment.

    python3.11 -m requirements.install run            as `make run` needs it
    python3.11 -m requirements.install run test docs  as `make test` needs it

A line per step says what is done and how long it took. What is there already is left as it is:
a file per purpose in the environment holds a digest of what was installed. An installation that was
interrupted goes on with the step it was in.

Requirements: the standard library, and a network. (It installs NumPy, without which the package
`fastism` and its exception cannot be imported, so that errors here are of another type.)
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from requirements.pins import lock_path, read_lock
from requirements.purposes import PURPOSES, ROOT

#: Installed before the others: PyTorch with what its wheel asks for, which depends on whether it
#: is one for GPUs; TensorFlow for its size, so that what is waited for has a line of its own.
FIRST = {"torch": "PyTorch", "tensorflow": "TensorFlow"}
#: Modules are compiled to bytecode when they are first imported, which few of them are.
INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")
WHEELS = ("--only-binary=:all:",)
PROJECT = ("--no-deps", "--no-build-isolation", "--editable", ".")
KERNELS = "_kernels_*"
NO_KERNELS = (
    "No C++ kernels: they need a C++ compiler with OpenMP, such as g++, and an x86-64 processor. "
    "They are optional: without them some models run slower on PyTorch, with the same results."
)


class InstallError(Exception):
    """A step that failed, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command and the line that tells of it."""

    title: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """What is installed, or not, as a whole.

    Attributes
    ----------
    name : str
        A purpose, or `project`.
    digest : str
        Of the files that say what it is; another digest is another installation.
    steps : tuple of Step
        In this order.
    """

    name: str
    digest: str
    steps: tuple[Step, ...]


def run_quietly(command: Sequence[str]) -> tuple[int, str]:
    """Run a command in the repository: its exit status, and all that it printed."""
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def digest_of(paths: Sequence[Path]) -> str:
    """A digest of the names and contents of files."""
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@dataclass(frozen=True, slots=True)
class Installer:
    """Makes a virtual environment what some purposes need.

    Attributes
    ----------
    environment : Path
        The virtual environment; made where it is missing or of another Python.
    root : Path
        The repository that is installed.
    run : callable
        Runs a command and returns its exit status and output.
    say : callable
        Prints a text as it is, without waiting for the end of a line.
    """

    environment: Path
    root: Path = ROOT
    run: Callable[[Sequence[str]], tuple[int, str]] = run_quietly
    say: Callable[[str], None] = field(default=lambda text: print(text, end="", flush=True))

    @property
    def python(self) -> str:
        """The interpreter of the environment."""
        return str(self.environment / "bin" / "python")

    def install(self, purposes: Sequence[str]) -> None:
        """Install what is missing of the locks of some purposes, and the project.

        Raises
        ------
        InstallError
            A step failed; what it printed is in the message.
        """
        start = time.monotonic()
        making = [] if self._is_usable() else [self._making()]
        parts = [*(self._locked(purpose) for purpose in purposes), self._project()]
        missing = [part for part in parts if making or not self._is_installed(part)]
        number = sum(len(part.steps) for part in [*making, *missing])
        if not number:
            return
        self.say(f"Installing into {self.environment}, once.\n")
        places = (f"[{place}/{number}]" for place in range(1, number + 1))
        for part in [*making, *missing]:
            self._take(part, places)
        self.say(f"Installed in {duration(time.monotonic() - start)}.\n")

    def _take(self, part: Part, places: Iterator[str]) -> None:
        """Run the steps of a part, and note that it is there."""
        if part.name == "project":
            for path in self._kernels():  # those of older sources
                path.unlink()
        for step in part.steps:
            self._do(step, next(places))
        if part.name == "project":
            names = [path.name.split(".")[0].rpartition("_")[2] for path in self._kernels()]
            self.say(f"C++ kernels: {', '.join(names)}.\n" if names else f"{NO_KERNELS}\n")
        if part.name != "python":
            self._stamp(part).write_text(f"{part.digest}\n")

    def _do(self, step: Step, place: str) -> None:
        """Run a step, and say how long it took."""
        self.say(f"{place} {step.title} ... ")
        start = time.monotonic()
        status, output = self.run(step.command)
        if status:
            self.say("failed\n")
            raise InstallError(
                f"{output.strip()}\n\n{' '.join(step.command)} ended with exit status {status}. "
                "Is there a network, and enough room on the disk? The same command again goes on "
                "with this step."
            )
        self.say(f"{duration(time.monotonic() - start)}\n")

    def _is_usable(self) -> bool:
        """Whether the environment is there, finished, and of the Python that runs this."""
        settings = self.environment / "pyvenv.cfg"
        needed = (settings, Path(self.python), self.environment / "bin" / "pip")
        if not all(path.exists() for path in needed):
            return False
        lines = (line.partition("=") for line in settings.read_text().splitlines())
        version = {name.strip(): value.strip() for name, _, value in lines}.get("version", "")
        return version.split(".")[:2] == [str(part) for part in sys.version_info[:2]]

    def _is_installed(self, part: Part) -> bool:
        stamp = self._stamp(part)
        return stamp.exists() and stamp.read_text().strip() == part.digest

    def _stamp(self, part: Part) -> Path:
        return self.environment / f".installed-{part.name}"

    def _making(self) -> Part:
        version = ".".join(str(part) for part in sys.version_info[:2])
        command = (sys.executable, "-m", "venv", "--clear", str(self.environment))
        return Part("python", "", (Step(f"an environment of Python {version}", command),))

    def _locked(self, purpose: str) -> Part:
        """The packages of a lock."""
        path, pins = lock_path(purpose), read_lock(purpose)
        steps = []
        for name, title in FIRST.items():
            if name in pins:
                alone = (f"--constraint={path}",) if name == "torch" else ("--no-deps",)
                words = (*INSTALL, *WHEELS, *alone, pins[name].requirement)
                steps.append(Step(f"{title} {pins[name].version}", (self.python, *words)))
        others = len(pins) - len(steps)
        words = (*INSTALL, *WHEELS, "--no-deps", f"--requirement={path}")
        if PURPOSES[purpose].apart:
            words = (*words, "--upgrade", f"--target={self.environment / purpose}")
        steps.append(Step(f"{others} packages of {path.name}", (self.python, *words)))
        return Part(purpose, digest_of([path]), tuple(steps))

    def _project(self) -> Part:
        """The package itself, from this folder."""
        sources = [p for suffix in ("cpp", "h") for p in self.root.glob(f"fastism/**/*.{suffix}")]
        files = [self.root / "pyproject.toml", self.root / "setup.py", *sources]
        title = "fastism itself, with its C++ kernels"
        command = (self.python, *INSTALL, *PROJECT)
        return Part("project", digest_of(files), (Step(title, command),))

    def _kernels(self) -> list[Path]:
        """The compiled kernels for this Python."""
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        return sorted(self.root.glob(f"fastism/**/{KERNELS}{suffix}"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, and install."""
    parser = argparse.ArgumentParser(description="Install locks and this project.")
    parser.add_argument("purposes", nargs="+", choices=PURPOSES, help="whose locks; run first")
    parser.add_argument(
        "--environment", type=Path, default=Path(".venv"), help="virtual environment (%(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        Installer(options.environment).install(options.purposes)
    except InstallError as error:
        raise SystemExit(f"\n{error}") from None
    except KeyboardInterrupt:
        raise SystemExit("\nInterrupted; the same command again goes on.") from None


if __name__ == "__main__":
    main()
