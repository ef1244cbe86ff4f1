"""`FastISM`: exact saturation mutagenesis by delta propagation.

Requirements: numpy; frameworks only through front ends and backends.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fastism.backends import available_backends, get_backend
from fastism.backends.base import Backend
from fastism.calls.agreement import agree
from fastism.calls.inputs import Ranges
from fastism.calls.result import listed
from fastism.errors import FastISMError, NotFiniteError
from fastism.frontends.batches import random_sequences
from fastism.graph.simplify import simplify
from fastism.naive_ism import NaiveISM
from fastism.planning.worth import least_speedup
from fastism.resident import Resident
from fastism.running.fastest import POSITIONS, time_each

#: In place of a backend's name: the fastest of those that are installed.
AUTO = "auto"
#: Bytes that mutants may take at a time unless the user says otherwise, on a CPU and on a GPU.
DEFAULT_MEMORY, DEVICE_MEMORY = 256 << 20, 1 << 30


def _default_memory(backend: Backend) -> int:
    """Bytes that mutants may take at a time on the device of `backend`."""
    free = backend.available_memory()
    return DEFAULT_MEMORY if free is None else max(min(free // 4, DEVICE_MEMORY), 1 << 20)


class FastISM(Resident):
    """Exact in-silico mutagenesis by delta propagation.

    A drop-in for fastISM 0.5 (Nair et al. 2022, doi:10.1093/bioinformatics/btac135): a change of
    one position is followed through the model as the difference to the reference, on the
    interval that it can reach.

    Parameters
    ----------
    model : keras.Model, torch.nn.Module or torch.export.ExportedProgram
        A built functional or Sequential Keras model, any torch module, which is run as at
        inference and left as it was found, or one exported with an open batch axis. Its weights
        are copied: make a new object after training further.
    seq_input_idx : int
        Number of the input that is the sequence, ``(L, C)``; for torch modules ``(C, L)``. Inputs
        count from 0 in the model's own order, ``model.inputs`` for Keras: the alphabetical order
        of the keys where they are a dict. Calls take them as a list in that order.
    change_ranges : list of (start, end), optional
        0-based half-open ranges of one width that a call replaces; every single position by
        default.
    early_stop_layers : str or list of str, optional
        Layers after which everything is recomputed in full; paths of submodules for torch.
    test_correctness : bool
        Check at once that a sequence gives the same at every place of a batch and alone, and
        compare with naive ISM on a few random perturbations; raise if either does not hold.
    backend : str, optional
        Framework to run on: tensorflow, torch or jax; the model's own by default. Layers without a
        rule run only in their own framework. "auto" times a few positions on each framework that
        is installed and can run the model, once, and takes the fastest; `backend_seconds` has the
        times.
    seqlen : int, optional
        Sequence length, where the model leaves it open.
    memory : int, optional
        Bytes that mutants may take at a time, weights and references not counted: 256 MiB on a
        CPU, 1 GiB on a GPU or a quarter of what is free there, if that is less.
    input_shape : tuple of int, or list of them, optional
        For torch modules, which do not tell: ``(C, L)``, or one shape per input, without the
        batch axis. With `seqlen` alone, C is what the module's first Conv1d takes.
    channels_last : bool, optional
        True for torch modules that take ``(N, L, C)``: inputs and results have that order too.
        Without it a shape whose axes look exchanged is refused; False takes any as ``(C, L)``.
    precision : {"float32", "tf32"}
        What products round to. By default nothing is rounded further than the model's type, even
        if the process allows it. With "tf32" (about three digits), for NVIDIA GPUs that have it,
        factors of products of *deltas* are rounded, and nothing else: effects keep three digits,
        where naive ISM in TF32 loses digits of the outputs that effects are differences of.
    naive_below : float, optional
        The speedup below which deltas are not propagated: where the plan expects less, every mutant
        runs through the whole model as with `NaiveISM`, which gives the same and costs no more.
        1.2, or what the environment variable ``FASTISM_NAIVE_BELOW`` says; 0 always propagates.

    Raises
    ------
    FastISMError
        If the model cannot be read, a setting does not fit it, or the check fails.
    """

    def __init__(
        self,
        model: Any,
        seq_input_idx: int = 0,
        change_ranges: Ranges | None = None,
        early_stop_layers: str | Sequence[str] | None = None,
        test_correctness: bool = True,
        *,
        backend: str | None = None,
        seqlen: int | None = None,
        memory: int | None = None,
        input_shape: Any = None,
        channels_last: bool | None = None,
        precision: str = "float32",
        naive_below: float | None = None,
    ) -> None:
        given = (seq_input_idx, change_ranges, seqlen, input_shape, channels_last)
        least = least_speedup(naive_below)
        super().__init__(model, *given, check=test_correctness)
        self._given = {
            "input_shape": input_shape,
            "channels_last": channels_last,
            "precision": precision,
        }
        if memory is not None and memory < 1 << 20:
            raise FastISMError(f"memory={memory} bytes is too little; give at least {1 << 20}.")
        stops = [early_stop_layers] if isinstance(early_stop_layers, str) else early_stop_layers
        self._graph = simplify(self._front.graph(stops or ()))
        #: What is checked is delta propagation, whatever the plan expects of it.
        self._least = 0.0
        #: Seconds of a few mutants by framework, where ``backend="auto"`` compared them.
        self.backend_seconds: dict[str, float] = {}
        self._asked_memory = memory
        if backend == AUTO:
            self.backend_seconds = self._time_backends(precision)
            backend = min(self.backend_seconds, key=self.backend_seconds.__getitem__)
        name = backend or self._front.framework
        self._use(name, precision)
        if test_correctness:
            self._check_some()
        # Who names another backend wants the model to run there, and naive ISM runs the model.
        chosen = bool(self.backend_seconds)
        self._least = least if chosen or name == self._front.framework else 0.0

    def _use(self, name: str, precision: str) -> None:
        """Run on a framework from now on."""
        self._backend = get_backend(name, self._graph.dtype, self._front.device)
        self._settle(precision, name)
        asked = self._asked_memory
        self._memory = _default_memory(self._backend) if asked is None else asked
        self._engines = self._make_engines()

    def _time_backends(self, precision: str) -> dict[str, float]:
        """Seconds that mutants in the middle of a random sequence take, by framework."""
        own = self._front.framework
        names = [own, *(name for name in available_backends() if name != own)]
        inputs = random_sequences(self._front, 1)
        given = inputs if self.num_inputs > 1 else inputs[0]
        first = max(self.seqlen - POSITIONS, 0) // 2
        positions = np.arange(first, min(first + POSITIONS, self.seqlen))
        return time_each(
            names,
            partial(self._use, precision=precision),
            partial(self.saturate, given, positions=positions),
        )

    @property
    def sequences_per_run(self) -> int:
        """How many sequences share a run when all positions are saturated."""
        return self._sequences_per_run(1, self._other_chars)

    def test_correctness(
        self, batch_size: int = 10, replace_with: Any = 0, atol: float = 1e-6
    ) -> bool:
        """Whether fast and naive outputs agree on random sequences, for all ranges.

        Parameters
        ----------
        batch_size : int
            Number of random sequences.
        replace_with : 0 or array
            As for a call.
        atol : float
            Absolute tolerance; 1e-5 of the largest output and 1e-3 of the largest effect come
            on top, which single precision needs.

        Returns
        -------
        bool
        """
        naive = self.naive(self.change_ranges)
        return self._agrees(naive, self._random_inputs(batch_size), replace_with, atol)

    def verify(self, x: Any, positions: Any = None) -> float:
        """Largest absolute difference to naive ISM over all alternatives.

        Parameters
        ----------
        x : array, shape (N, L, C), or list of arrays
            As for `saturate`.
        positions : optional
            As for `saturate`; all positions by default, which takes as long as naive ISM.

        Returns
        -------
        float
        """
        naive = self.naive()
        fast = listed(self.saturate(x, positions=positions).mutants)
        slow = listed(naive.saturate(x, positions=positions).mutants)
        return max(float(np.abs(a - b).max()) for a, b in zip(fast, slow, strict=True))

    def _check_some(self) -> None:
        """A short comparison with naive ISM: both ends and the middle of the ranges."""
        last = len(self._ranges) - 1
        some = np.unique(np.linspace(0, last, min(last + 1, 24)).astype(int))
        ranges = [self.change_ranges[i] for i in some]
        naive = self.naive(ranges, batch_size=8)
        every, self._ranges = self._ranges, self._ranges[some]
        try:
            try:
                agrees = self._agrees(naive, self._random_inputs(1), 0, 1e-6)
            except NotFiniteError:
                # Some models are finite for sequences only, not for any numbers.
                agrees = self._agrees(naive, random_sequences(self._front, 3), 0, 1e-6)
        finally:
            self._ranges = every
        if not agrees:
            raise FastISMError(
                "Fast and naive ISM differ on this model, which should not happen: please report "
                "its layers (print(ism.plan) with test_correctness=False, or `fastism plan`, shows "
                "them). Naive ISM (NaiveISM, or --naive) gives correct results meanwhile."
            )

    def _random_inputs(self, count: int) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        shapes = self._front.input_shapes
        return [rng.random((count, *shape)).astype(self._front.dtype) for shape in shapes]

    def _agrees(
        self, naive: NaiveISM, inputs: list[np.ndarray], replace_with: Any, atol: float
    ) -> bool:
        given = inputs if self.num_inputs > 1 else inputs[0]
        outputs = zip(
            listed(self(given, replace_with)),
            listed(naive(given, replace_with)),
            self._front.forward(self._front.internal(inputs)),
            strict=True,
        )
        return agree(outputs, self.precision, atol)
