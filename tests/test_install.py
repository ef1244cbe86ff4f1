"""The installer: which steps it takes, what it says, and what it leaves alone."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

from requirements import install, pins
from requirements.install import Installer, InstallError, duration, run_quietly

LOCKS = {
    "run": "".join(
        f"{pin}  # py3-none-any\n" for pin in ("a==2.0", "tensorflow==2.1", "torch==1.0")
    ),
    "test": "pytest==8.0  # py3-none-any\n",
    "docs": "mkdocs==1.0  # py3-none-any\n",
}


class Machine:
    """A folder with locks and sources, and commands that are noted instead of run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.environment = folder, folder / "env"
        self.commands: list[Sequence[str]] = []
        self.said, self.fail_on, self.compiles = "", "", True
        (folder / "fastism").mkdir()
        for name in ("pyproject.toml", "setup.py", "fastism/kernel.cpp", "fastism/kernel.h"):
            (folder / name).write_text(name)
        for name, text in LOCKS.items():
            (folder / f"{name}.lock").write_text(text)

    @property
    def kernel(self) -> Path:
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        return self.folder / "fastism" / f"_kernels_avx2{suffix}"

    def run(self, command: Sequence[str]) -> tuple[int, str]:
        self.commands.append(command)
        if self.fail_on and self.fail_on in " ".join(command):
            return 1, "no such host\n"
        if "venv" in command:
            (self.environment / "bin").mkdir(parents=True, exist_ok=True)
            for name in ("python", "pip"):
                (self.environment / "bin" / name).write_text("")
            version = ".".join(map(str, sys.version_info[:3]))
            (self.environment / "pyvenv.cfg").write_text(f"home = /x\nversion = {version}\n")
        if "--editable" in command and self.compiles:
            self.kernel.write_text("")
        return 0, ""

    def say(self, text: str) -> None:
        self.said += text

    def install(self, *purposes: str) -> list[str]:
        """The commands that it takes, and in `said` what was said."""
        self.commands, self.said = [], ""
        Installer(self.environment, self.folder, self.run, self.say).install(purposes)
        return [" ".join(command) for command in self.commands]


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    monkeypatch.setattr(pins, "FOLDER", tmp_path)
    return Machine(tmp_path)


def test_a_line_per_step_and_the_time_of_all(machine):
    assert len(machine.install("run")) == 5
    lines = machine.said.splitlines()
    steps = [re.fullmatch(r"\[(\d)/5\] (.+) \.\.\. \d+ s", line) for line in lines[1:6]]
    assert [step[1] for step in steps] == ["1", "2", "3", "4", "5"]
    assert [step[2] for step in steps][1:4] == [
        "PyTorch 1.0",
        "TensorFlow 2.1",
        "1 packages of run.lock",
    ]
    assert lines[6] == "C++ kernels: avx2."
    assert re.fullmatch(r"Installed in \d+ s\.", lines[7])
    assert len(lines) == 8


def test_wheels_only_and_nothing_that_is_not_locked(machine):
    making, torch, *others, project = machine.install("run", "test", "docs")
    assert making.split()[1:4] == ["-m", "venv", "--clear"]
    # PyTorch brings what its wheel asks for: libraries of CUDA, or none.
    assert torch.split()[-1] == "torch==1.0"
    assert f"--constraint={machine.folder / 'run.lock'}" in torch
    assert "--no-deps" not in torch
    assert all("--no-deps" in command for command in others)
    assert all("--only-binary=:all:" in command for command in (torch, *others))
    assert [command.split()[-1].rpartition("/")[2] for command in others] == [
        "tensorflow==2.1",
        "run.lock",
        "test.lock",
        "docs.lock",
    ]
    assert "--no-deps --no-build-isolation --editable ." in project


def test_what_is_there_is_left_alone(machine):
    machine.install("run")
    assert machine.install("run") == []
    assert machine.said == ""
    (command,) = machine.install("run", "test")
    assert command.endswith("test.lock")


@pytest.mark.parametrize(
    ("changed", "last_words"),
    [
        ("test.lock", ["test.lock"]),
        ("setup.py", ["."]),
        ("fastism/kernel.h", ["."]),
        ("run.lock", ["torch==1.0", "tensorflow==2.1", "run.lock"]),
    ],
)
def test_what_has_changed_is_installed_anew(machine, changed, last_words):
    machine.install("run", "test")
    path = machine.folder / changed
    path.write_text(f"{path.read_text()}\n# changed\n")
    commands = machine.install("run", "test")
    assert [command.split()[-1].rpartition("/")[2] for command in commands] == last_words


def test_a_failure_is_told_and_the_same_command_goes_on(machine):
    machine.fail_on = "test.lock"
    with pytest.raises(InstallError, match=r"(?s)^no such host\n.*test\.lock ended .*network"):
        machine.install("run", "test")
    assert "packages of test.lock ... failed\n" in machine.said
    assert "Installed" not in machine.said
    machine.fail_on = ""
    assert [c.split()[-1].rpartition("/")[2] for c in machine.install("run", "test")] == [
        "test.lock",
        ".",
    ]


def test_an_environment_of_another_python_is_made_anew(machine):
    machine.install("run")
    (machine.environment / "pyvenv.cfg").write_text("version = 2.7.18\n")
    assert len(machine.install("run")) == 5


def test_an_environment_that_was_not_finished_is_made_anew(machine):
    machine.install("run")
    (machine.environment / "bin" / "pip").unlink()
    assert len(machine.install("run")) == 5


def test_without_a_compiler_one_line_says_so(machine):
    machine.compiles = False
    machine.install("run")
    told = [line for line in machine.said.splitlines() if "kernels" in line]
    assert told[1:] == [install.NO_KERNELS]


def test_kernels_of_older_sources_do_not_stay(machine):
    machine.install("run")
    machine.compiles = False
    (machine.folder / "fastism" / "kernel.cpp").write_text("newer")
    machine.install("run")
    assert not machine.kernel.exists()


def test_what_a_command_prints_is_kept_for_its_failure():
    code = "import sys; print('a'); print('b', file=sys.stderr); sys.exit(3)"
    status, output = run_quietly([sys.executable, "-c", code])
    assert (status, sorted(output.split())) == (3, ["a", "b"])


def test_an_unknown_purpose_is_refused(capsys):
    with pytest.raises(SystemExit):
        install.main(["everything"])
    assert "invalid choice: 'everything'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [(InstallError("what to do"), "what to do"), (KeyboardInterrupt(), "Interrupted; the same")],
    ids=["failure", "interrupt"],
)
def test_an_error_ends_the_command_with_a_message(monkeypatch, error, words):
    def fail(*_) -> None:
        raise error

    monkeypatch.setattr(Installer, "install", fail)
    with pytest.raises(SystemExit, match=words):
        install.main(["run"])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (181, "3 min 1 s")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
