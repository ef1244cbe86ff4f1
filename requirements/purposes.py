"""What each lock is for, and which packages are installed without what they ask for.

Requirements: the standard library.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Alone:
    """A package of the tests that is installed without most of what it asks for.

    Attributes
    ----------
    requirement : str
        The package and its lower bound.
    imports : tuple of str
        What it asks for and what the tests import with it, in the versions it asks for. The rest
        stays away.
    """

    requirement: str
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a lock holds.

    Attributes
    ----------
    title : str
        First line of the lock.
    extras : tuple of str
        Of `pyproject.toml`.
    over : str
        The purpose whose lock is installed before; its packages are not repeated.
    alone : tuple of Alone
        Packages that are no extra.
    apart : bool
        Whether it is installed into a folder of its own, named like the purpose, in the
        environment: only processes see it that have that folder on their path.
    """

    title: str
    extras: tuple[str, ...]
    over: str = ""
    alone: tuple[Alone, ...] = ()
    apart: bool = False


PURPOSES = {
    "run": Purpose(
        "What `make run` and every config of the benchmark need.",
        ("tensorflow", "jax", "torch", "bench"),
    ),
    "test": Purpose(
        "What the tests need on top of run.lock, and docs.lock for those of the pages.",
        ("cli", "cluster", "dev"),
        over="run",
        alone=(
            # Its models are layers of PyTorch. For reading experiments it asks for MACS3, which
            # asks for cykhash: both have to be compiled.
            Alone("bpnet-lite>=1.1.0"),
            # Asks for six packages more to be trained.
            Alone("enformer-pytorch>=0.8.12", ("einops", "polars", "transformers")),
            # Asks for another captum than the benchmark.
            Alone("gReLU>=1.1.0"),
        ),
    ),
    "docs": Purpose(
        "What the site needs on top of run.lock: its reference of commands is made from them.",
        ("cli", "docs"),
        over="run",
    ),
    "triton": Purpose(
        # TensorFlow and Triton each bring a copy of LLVM: where TensorFlow was imported before,
        # importing Triton ends the process. PyTorch imports it where it is installed.
        "What tests of the kernels for GPUs need, in a folder of its own.",
        ("triton",),
        apart=True,
    ),
}

#: Asked for by a package of the locks, but left out, and why.
LEFT_OUT = {
    "connection-pool": "has no wheel; Snakemake asks for it and imports it nowhere",
}


def project() -> dict:
    """The table `project` of `pyproject.toml`."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements_of(purpose: str) -> list[str]:
    """The requirements of the project for a purpose, as `pyproject.toml` writes them."""
    table = project()
    extras = table["optional-dependencies"]
    lines = [line for extra in PURPOSES[purpose].extras for line in extras[extra]]
    own = [] if PURPOSES[purpose].apart else table["dependencies"]
    return list(dict.fromkeys([*own, *lines]))
