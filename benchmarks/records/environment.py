"""The process and the machine: settings before frameworks are imported, and what a record says.

Requirements: none. Imports no framework, as some settings count only before that.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from benchmarks.records import Where

PACKAGES = ("fastism-suite", "numpy", "keras", "tensorflow", "torch", "jax", "shap", "captum")
ROOT = Path(__file__).resolve().parents[2]


def prepare(keras_backend: str = "tensorflow", device: str = "cpu", threads: int = 0) -> None:
    """Settle framework, device and processors of this process, before Keras is imported.

    Parameters
    ----------
    keras_backend : {"tensorflow", "torch", "jax"}
    device : {"cpu", "gpu"}
        "cpu" hides every GPU.
    threads : int, default 0
        Processors to use; 0 for all that there are. Where the system can, the process is bound to
        them, which all frameworks respect.
    """
    os.environ["KERAS_BACKEND"] = keras_backend
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["MPLBACKEND"] = "Agg"
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ["JAX_PLATFORMS"] = "cpu"
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        if hasattr(os, "sched_setaffinity"):
            allowed = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, allowed[:threads])


def missing_device(device: str) -> str | None:
    """Why a device cannot be used, or None."""
    if device == "gpu" and not _gpu():
        return "No GPU is visible: nvidia-smi finds none."
    return None


def describe(device: str = "cpu") -> Where:
    """Describe the machine, the packages and the state of the repository."""
    return Where(
        cpu=_cpu(),
        gpu=_gpu() if device == "gpu" else "",
        threads=_threads(),
        memory_bytes=_memory(),
        system=f"{platform.system()} {platform.machine()}",
        versions=_versions(),
        commit=_commit(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def caption(where: Where) -> str:
    """Hardware, software and date, as they stand below a table."""
    versions = ", ".join(f"{name} {version}" for name, version in where.versions.items())
    return (
        f"{where.cpu}, {where.threads} threads. Measured {where.date[:10]} at commit "
        f"{where.commit or 'unknown'} with {versions}."
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def _memory() -> int:
    """Bytes of the machine; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _gpu() -> str:
    found = _output(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return found.splitlines()[0] if found else ""


def _threads() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _commit() -> str:
    git = ["git", "-C", str(ROOT)]
    commit = _output([*git, "rev-parse", "--short=12", "HEAD"])
    changed = _output([*git, "status", "--porcelain", "--untracked-files=no"])
    return f"{commit}+" if commit and changed else commit


def _output(command: Sequence[str]) -> str:
    """What a program prints, stripped; nothing where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
