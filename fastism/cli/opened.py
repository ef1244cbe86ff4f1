"""From the MODEL argument and its options to a FastISM or NaiveISM.

Requirements: numpy, typer; the framework of the model is imported when it is loaded.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from fastism import __version__
from fastism.backends import NAMES
from fastism.backends.precision import PRECISIONS
from fastism.base_ism import BaseISM
from fastism.cli.exit_codes import Exit, Failure, parsed, refuse, stage
from fastism.cli.options import read_shape, read_size
from fastism.cli.progress import note, slow
from fastism.cli.silence import without_logs
from fastism.errors import FastISMError, NotFiniteError
from fastism.ism import AUTO, FastISM
from fastism.loading.devices import gpu_count, read_device
from fastism.loading.model_files import LoadedModel, is_keras, load_model
from fastism.naive_ism import NaiveISM

#: Mutants per batch of naive ISM: fixed, because a size chosen by timing changes the rounding of
#: the results from run to run.
NAIVE_BATCH = 128


@dataclass(frozen=True)
class ModelOptions:
    """Options of a command that say how its model is loaded and run; as the user wrote them."""

    unsafe: bool = False
    seqlen: int | None = None
    input_shape: str | None = None
    channels_last: bool = False
    backend: str | None = None
    device: str | None = None
    memory: str | None = None
    naive: bool = False
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.naive and self.backend is not None:
            raise refuse("--backend has no effect on --naive, which runs the model itself.")
        if self.backend is not None and self.backend not in (*NAMES, AUTO):
            raise refuse(
                f"--backend {self.backend}: expected one of {', '.join(NAMES)}, or {AUTO}."
            )
        if self.precision not in PRECISIONS:
            expected = " or ".join(PRECISIONS)
            raise refuse(f"--precision {self.precision}: expected {expected}.")
        parsed("--device", read_device, self.device) if self.device else None
        if self.bytes is not None and self.bytes < 1 << 20:
            raise refuse(f"--memory {self.memory} is too little; give at least 1M.")

    @property
    def bytes(self) -> int | None:
        """Memory in bytes, if it was given."""
        return parsed("--memory", read_size, self.memory) if self.memory else None

    @property
    def loading(self) -> dict[str, Any]:
        """What `fastism.loading.model_files.load_model` is told."""
        return {"unsafe": self.unsafe, "opaque": self.naive, "device": self.device}

    @property
    def described(self) -> dict[str, Any]:
        """What of it determines results, as options of a command; None where nothing was given."""
        return {
            "--seqlen": self.seqlen,
            "--input-shape": self.input_shape,
            "--backend": self.backend,
            "--precision": None if self.precision == "float32" else self.precision,
        }

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Input shape, if it was given."""
        return parsed("--input-shape", read_shape, self.input_shape) if self.input_shape else None


@dataclass(frozen=True)
class Opened:
    """A model that is ready to be scored.

    Parameters
    ----------
    ism : BaseISM
    loaded : LoadedModel
    given : mapping from str
        Settings that naive ISM of the same model takes as well.
    seconds : float
        How long it took to read and check the model, loading it left out.
    """

    ism: BaseISM
    loaded: LoadedModel
    given: Mapping[str, Any]
    seconds: float

    def naive(self) -> NaiveISM:
        """Naive ISM of the same model."""
        return NaiveISM(self.loaded.model, batch_size=NAIVE_BATCH, **self.given)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs: those of the model, or numbered ones."""
        return self.ism.output_names

    def random(self, count: int, seed: int = 0) -> np.ndarray:
        """Random one-hot sequences, shape (count, L, C)."""
        letters = np.random.default_rng(seed).integers(
            self.ism.num_chars, size=(count, self.ism.seqlen)
        )
        return np.eye(self.ism.num_chars, dtype=np.float32)[letters]

    def versions(self) -> dict[str, str]:
        """Versions of what takes part in scoring."""
        backend = getattr(self.ism, "backend", self.loaded.framework)
        names = ["numpy", *sorted({backend, self.loaded.framework})]
        names += ["keras"] if is_keras(self.loaded.model) else []
        found = {name: installed(name) or "unknown" for name in names}
        return {"fastism-suite": __version__, "python": platform.python_version(), **found}


def open_model(
    spec: str,
    options: ModelOptions,
    *,
    length: Callable[[], int] | None = None,
    check: bool = True,
    not_finite: bool = False,
    quiet: bool = False,
) -> Opened:
    """Load a model and build its FastISM or NaiveISM.

    Parameters
    ----------
    spec : str
    options : ModelOptions
    length : callable, optional
        Gives the length of the sequences where the model does not tell; without it the user
        must say.
    check : bool
        Compare fast and naive ISM on a few changes.
    not_finite : bool
        Take a model that gives no finite output for the sequences of that check.
    quiet : bool
        Say nothing of what takes long.
    """
    with stage(Exit.MODEL), slow("loading the model", quiet), without_logs():
        loaded = load_model(spec, **options.loading)
    settings = {"length": length, "check": check, "not_finite": not_finite, "quiet": quiet}
    return made_ready(loaded, options, **settings)


def made_ready(
    loaded: LoadedModel,
    options: ModelOptions,
    *,
    length: Callable[[], int] | None = None,
    check: bool = True,
    not_finite: bool = False,
    quiet: bool = False,
) -> Opened:
    """Build the FastISM or NaiveISM of a model; parameters as for `open_model`."""
    begun = time.monotonic()
    shape = loaded.input_shape if options.shape is None else options.shape
    seqlen = options.seqlen
    if seqlen is None and shape is None and _open_length(loaded.model):
        if length is None:
            raise refuse(
                "the model leaves the length of its input open: add --seqlen, or --input-shape "
                "for a PyTorch module."
            )
        seqlen = length()
    given: dict[str, Any] = {
        "seqlen": seqlen,
        "input_shape": shape,
        "channels_last": options.channels_last or None,
        "precision": options.precision,
    }
    with stage(Exit.MODEL), slow(_building(options, check), quiet), without_logs():
        if options.naive:
            ism: BaseISM = NaiveISM(loaded.model, batch_size=NAIVE_BATCH, **given)
        else:
            _check_gpu(options)
            fast = partial(
                FastISM, loaded.model, backend=options.backend, memory=options.bytes, **given
            )
            try:
                ism = fast(test_correctness=check)
            except NotFiniteError:
                if not not_finite:
                    raise
                ism = fast(test_correctness=False)
        if ism.num_inputs > 1:
            raise FastISMError(
                f"The model has {ism.num_inputs} inputs; the command line knows models of one. "
                "Give module:function that returns a model whose other inputs are fixed, or use "
                "fastism.FastISM in Python."
            )
    _say_backend(ism, quiet)
    return Opened(ism, loaded, given, time.monotonic() - begun)


def _building(options: ModelOptions, check: bool) -> str:
    """What is done with a model that was loaded."""
    doing = "reading the layers of the model"
    if options.backend == AUTO:
        doing += ", trying frameworks"
    return f"{doing} and comparing fast with naive ISM" if check else doing


def _say_backend(ism: BaseISM, quiet: bool) -> None:
    """Say which framework was chosen, and by which times."""
    seconds = getattr(ism, "backend_seconds", {})
    if seconds:
        times = ", ".join(f"{name} {seconds[name]:.3g} s" for name in sorted(seconds))
        note(f"backend: {ism.backend}, the fastest on a few positions ({times})", quiet)


def _check_gpu(options: ModelOptions) -> None:
    wanted = options.device is not None and not options.device.lower().startswith("cpu")
    named = options.backend not in (None, AUTO)
    if wanted and named and not gpu_count(options.backend):
        raise Failure(Exit.MODEL, f"{options.backend} finds no GPU for --device {options.device}.")


def _open_length(model: Any) -> bool:
    """Whether the length of the sequence must come from elsewhere."""
    if not is_keras(model):
        return True
    try:
        return model.inputs[0].shape[1] is None
    except (AttributeError, IndexError, TypeError):
        # Not built, which FastISM explains.
        return False


def installed(package: str) -> str | None:
    """Version of an installed package, None without it."""
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
