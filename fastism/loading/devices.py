"""Which processor a process uses: told to frameworks through the environment, before they start.

Requirements: none; `gpu_count` imports the framework that it asks.
"""

from __future__ import annotations

import importlib
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastism.errors import FastISMError
from fastism.files.locks import lock

#: Where Linux shows the GPUs that a process may use.
DEVICES = Path("/dev")


def read_device(device: str) -> tuple[str, str]:
    """Kind and number of a device: ``cpu``, ``gpu``, or ``gpu:I`` for the I-th (or cuda).

    Raises
    ------
    FastISMError
        For anything else.
    """
    kind, _, number = device.lower().replace("cuda", "gpu").partition(":")
    if kind not in ("cpu", "gpu") or (number and (kind == "cpu" or not number.isdecimal())):
        raise FastISMError(
            f"The device {device!r} is unknown: use cpu, gpu, or gpu:I for the I-th."
        )
    return kind, number


def choose_device(device: str | None) -> None:
    """Tell frameworks that are not yet in use which processor to use.

    To be called once: from then on one GPU at most can be seen. ``gpu`` without a number is one
    that no other process of this user has chosen in the same way, where there is one.

    Raises
    ------
    FastISMError
        As `read_device`, or if fewer GPUs than I can be seen.
    """
    if device is None:
        return
    kind, number = read_device(device)
    if kind == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        os.environ["JAX_PLATFORMS"] = "cpu"
        return
    known = visible_gpus(os.environ, DEVICES)
    if number:
        if known and int(number) >= len(known):
            raise FastISMError(f"There is no device {device}: {len(known)} can be seen.")
        os.environ["CUDA_VISIBLE_DEVICES"] = known[int(number)] if known else number
    elif len(known) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = claim(known, Path(tempfile.gettempdir()))


def visible_gpus(environment: Mapping[str, str], devices: Path) -> list[str]:
    """The GPUs that this process may use, by the names that ``CUDA_VISIBLE_DEVICES`` has.

    Parameters
    ----------
    environment : mapping of str to str
    devices : Path
        The folder of the system's devices.

    Returns
    -------
    list of str
        Numbers or identifiers; empty where none are known.
    """
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name and name != "-1"]
    found = [entry for entry in devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", entry.name)]
    # CUDA counts those that there are; a container may have /dev/nvidia3 alone, which is its first.
    return [str(number) for number in range(len(found))]


def claim(gpus: Sequence[str], folder: Path) -> str:
    """One of several GPUs for this process, as long as it runs.

    Parameters
    ----------
    gpus : sequence of str
        Their names.
    folder : Path
        Where a file for each GPU is locked by the process that uses it.

    Returns
    -------
    str
        One that nobody else claimed. Where all are taken, or where there are no locks, processes
        are spread over all of them.
    """
    user = os.getuid() if hasattr(os, "getuid") else ""
    for name in gpus:
        path = folder / f"fastism-{user}-gpu-{re.sub(r'[^0-9A-Za-z-]', '_', name)}.lock"
        try:
            # Not closed on purpose: the lock ends with the process.
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            continue
        if lock(handle):
            return name
        os.close(handle)
    return gpus[os.getpid() % len(gpus)]


def gpu_count(framework: str) -> int:
    """How many GPUs a framework can use; imports it."""
    try:
        if framework == "torch":
            return importlib.import_module("torch").cuda.device_count()
        if framework == "tensorflow":
            tensorflow = importlib.import_module("tensorflow")
            return len(tensorflow.config.list_physical_devices("GPU"))
        return len(importlib.import_module("jax").devices("gpu"))
    except (ImportError, RuntimeError):
        return 0
