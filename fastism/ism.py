"""`FastISM`: exact saturation mutagenesis by delta propagation.

Requirements: numpy; frameworks only through front ends and backends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from math import prod
from typing import Any

import numpy as np

from fastism.backends import available_backends, get_backend
from fastism.backends.base import Array, Backend
from fastism.backends.precision import each_in, products_in
from fastism.calls.agreement import agree
from fastism.calls.base import MOST_SEQUENCES
from fastism.calls.filled import Filled
from fastism.calls.inputs import Ranges, check_outputs, check_positions, saturating_mutants
from fastism.calls.mutants import Mutants, Part
from fastism.calls.result import Saturation, listed
from fastism.edits.following import Following
from fastism.edits.hulls import joined
from fastism.edits.listed import Edits
from fastism.edits.plan import EditPlan, EditStrategy, Seam, make_edit_plan
from fastism.engines import Engines
from fastism.errors import FastISMError, NotFiniteError, no_memory
from fastism.frontends.batches import random_sequences
from fastism.graph.simplify import simplify
from fastism.naive_ism import NaiveISM
from fastism.pairs.engine import PairEngine
from fastism.pairs.plan import PairPlan, PairStrategy
from fastism.pairs.result import PairPart
from fastism.planning.plan import Plan, mutant_bytes
from fastism.planning.worth import least_speedup
from fastism.running.engine import Engine
from fastism.running.fastest import POSITIONS, time_each
from fastism.running.resident import laid_out, reordered
from fastism.scans.methods import Made, Scans
from fastism.scans.splices import Splices

#: In place of a backend's name: the fastest of those that are installed.
AUTO = "auto"
#: Bytes that mutants may take at a time unless the user says otherwise, on a CPU and on a GPU.
DEFAULT_MEMORY, DEVICE_MEMORY = 256 << 20, 1 << 30
#: Effects of substitutions are kept from step to step of a design where a sequence has so many
#: times the distance from which on they add up: a change in its middle then leaves half of them.
FAR = 4


def _default_memory(backend: Backend) -> int:
    """Bytes that mutants may take at a time on the device of `backend`."""
    free = backend.available_memory()
    return DEFAULT_MEMORY if free is None else max(min(free // 4, DEVICE_MEMORY), 1 << 20)


class FastISM(Scans):
    """Exact in-silico mutagenesis by delta propagation.

    A drop-in for fastISM 0.5 (Nair et al. 2022, doi:10.1093/bioinformatics/btac135): a change of
    one position is followed through the model as the difference to the reference, on the
    interval that it can reach.

    Parameters
    ----------
    model : keras.Model or torch.nn.Module
        A built functional or Sequential Keras model, or any torch module, which is run as at
        inference and left as it was found. Its weights are copied: make a new object after
        training further.
    seq_input_idx : int
        Which input is the sequence, ``(L, C)``; for torch modules ``(C, L)``.
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
    channels_last : bool
        For torch modules that take ``(N, L, C)``: inputs and results have that order too.
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
        channels_last: bool = False,
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
    def backend(self) -> str:
        """Name of the framework that mutants run on."""
        return self._backend.name

    @property
    def plan(self) -> Plan:
        """How mutants are run; printing it shows widths, costs and the expected speedup.

        After a run it shows as well which kernels PyTorch runs, see `fastism.backends.choices`.
        """
        engine = self.engine
        return replace(engine.plan, kernels=engine.kernels, least=self._least)

    @property
    def engine(self) -> Engine:
        """What runs `plan`: its chunks, and the memory that they may take."""
        width = self.perturb_width
        return self._engines.single(width, self._other_chars if width == 1 else 1)

    @property
    def sequences_per_run(self) -> int:
        """How many sequences share a run when all positions are saturated."""
        return self._sequences_per_run(1, self._other_chars)

    @property
    def num_outputs(self) -> int:
        """How many outputs the model has."""
        return len(self._graph.outputs)

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

    def naive(self, change_ranges: Ranges | None = None, batch_size: int | None = None) -> NaiveISM:
        """Naive ISM of the same model; parameters as for `NaiveISM`."""
        return NaiveISM(
            self.model,
            self.seq_input_idx,
            change_ranges,
            seqlen=self.seqlen,
            batch_size=batch_size,
            test_correctness=False,
            **self._given,
        )

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
                "its layers (print(ism.plan) with test_correctness=False shows them). "
                "NaiveISM gives correct results meanwhile."
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

    def _make_engines(self, make: Callable[..., Engines] = Engines) -> Engines:
        given = (self._backend, self._memory, self.precision, self._other_chars)
        return make(self._graph, *given)

    def _runs_naive(self, plan: Plan) -> bool:
        """Whether mutants run through the whole model instead of by `plan`."""
        return replace(plan, least=self._least).naive

    @cached_property
    def _whole(self) -> NaiveISM:
        """What runs mutants through the whole model where nothing is to be gained."""
        made = self.naive()
        made.limit(self._memory // mutant_bytes(self._graph))
        return made

    def _exactly(self) -> AbstractContextManager[None]:
        """Whatever the process allows: an engine rounds what it may where it works on deltas."""
        return products_in(self.backend, "float32")

    def _output_shapes(self, inputs: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
        return self._front.output_shapes(self._graph)

    def _sequences_per_run(self, width: int, alternatives: int) -> int:
        engine = self._engines.single(width, alternatives)
        if self._runs_naive(engine.plan):
            return self._whole._sequences_per_run(width, alternatives)
        room = self._memory // 4 // max(engine.reference_bytes, 1)
        if self._backend.resident:
            # Results of a group lie on the device twice: as they come, and as they leave.
            numbers = sum(map(prod, self.output_shapes)) * self.seqlen * self.num_chars
            size = np.dtype(self._graph.dtype).itemsize
            room = min(room, self._memory // 8 // (numbers * size))
        return max(1, min(MOST_SEQUENCES, room))

    def _begin(
        self,
        whole: Filled,
        part: slice,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        index: tuple[np.ndarray, ...],
        select: dict[int, np.ndarray | None],
    ) -> Callable[[], None]:
        given = (whole, part, inputs, mutants, index, select)
        if not self._backend.resident:
            return super()._begin(*given)
        swapped = whole.order.characters_first
        made = self._on_device(inputs, mutants, index, select, whole.shape, swapped)
        if made is None:
            return super()._begin(*given)
        copies = [[self._backend.start_copy(x) for x in arrays] for arrays in made]

        def finish() -> None:
            whole.put(part, *([copy() for copy in each] for each in copies))

        return finish

    def _on_device(
        self,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        index: tuple[np.ndarray, ...],
        select: dict[int, np.ndarray | None],
        shape: tuple[int, ...],
        swapped: bool,
    ) -> tuple[list[Array], list[Array]] | None:
        """References and mutants of a group as results hold them, on the device.

        None where mutants run through the whole model, or where the device has no room for all.
        """
        alternatives = self._other_chars if len(shape) == 2 else 1
        key = mutants.width, alternatives
        if self._runs_naive(self._engines.single(*key).plan):
            return None
        b, engine = self._backend, self._engines.resident(*key)
        try:
            with self._exactly():
                reference, parts = engine.run(inputs, mutants, self._kept(select))
                made = laid_out(b, reference, parts, index, shape, swapped)
        except Exception as error:
            if not no_memory(error):
                raise
            return None
        ranks = 1, 1 + len(shape)
        orders = [self._element_order(i, entries) for i, entries in select.items()]
        return tuple(
            [
                x if order is None else reordered(b, x, order, rank)
                for x, order in zip(arrays, orders, strict=True)
            ]
            for arrays, rank in zip((reference, made), ranks, strict=True)
        )

    def _element_order(self, number: int, entries: np.ndarray | None) -> np.ndarray | None:
        """Which elements of an output of the graph stand where in the model's own order of axes."""
        view = self._front.view(number)
        if not view:
            return None
        shape = self._graph.nodes[self._graph.outputs[number]].shape
        order = view(np.arange(prod(shape)).reshape(1, *shape))[0]
        return order if entries is None else order[entries]

    def _as_tensors(self, inputs: list[np.ndarray], outputs: Any, positions: Any) -> Saturation:
        if self.backend != "torch":
            raise FastISMError(
                f"as_tensors=True gives tensors of PyTorch; this model runs on {self.backend}. "
                'Use FastISM(model, backend="torch"), or leave it out for arrays of NumPy.'
            )
        chosen = check_positions(positions, self.seqlen)
        select = check_outputs(outputs, self._output_shapes(inputs))
        shape, b = (len(chosen), self.num_chars), self._backend
        swapped = self._order.characters_first
        alternatives = np.zeros((len(inputs[0]), len(chosen)), dtype=np.int64)
        groups = []
        for part, group in self._groups(inputs, 1, self._other_chars):
            mutants, index = saturating_mutants(group[self.seq_input_idx], chosen)
            np.add.at(alternatives[part], index[:2], 1)
            made = self._on_device(group, mutants, index, select, shape, swapped)
            if made is None:
                # Through the whole model, or by smaller pieces: on the host, and back.
                whole = Filled(len(group[0]), shape, self._order)
                self._fill(whole, slice(None), group, mutants, index, select)
                moved = (self._order.outward(y) for y in whole.mutants)
                made = tuple([b.asarray(y) for y in each] for each in (whole.reference, moved))
            groups.append(made)
        columns = [
            [b.concatenate(pieces, 0) for pieces in zip(*each, strict=True)]
            for each in zip(*groups, strict=True)
        ]
        return Saturation(*map(self._packed, columns), chosen, b.asarray(alternatives), self.axes)

    def _run(
        self,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        select: dict[int, np.ndarray | None],
        alternatives: int,
    ) -> tuple[list[np.ndarray], Iterator[Part]]:
        engine = self._engines.single(mutants.width, alternatives)
        if self._runs_naive(engine.plan):
            return self._whole._run(inputs, mutants, select, alternatives)
        context = self._exactly
        with context():
            reference, parts = engine.run(inputs, mutants, self._kept(select))
        shown = partial(self._shown, select)
        parts = (Part(part.index, shown(part.outputs)) for part in each_in(parts, context))
        return shown(reference), parts

    def edit_plan(self, outputs: Any = None) -> EditPlan:
        """How `perturb` runs mutants of several edits: what adds up, from which distance on.

        Parameters
        ----------
        outputs : optional
            As for `perturb`.
        """
        return self._edit_plan(tuple(check_outputs(outputs, self.output_shapes)))

    def _edit_plan(self, outputs: tuple[int, ...]) -> EditPlan:
        plan = self._engines.of_outputs(outputs).plan
        return make_edit_plan(plan, self._runs_naive(plan))

    def _run_edits(
        self, inputs: Sequence[np.ndarray], edits: Edits, select: dict[int, np.ndarray | None]
    ) -> tuple[list[np.ndarray], Iterator[Part]]:
        plan = self._edit_plan(tuple(select))
        if plan.strategy is not EditStrategy.ADDITION:
            return super()._run_edits(inputs, edits, select)
        edits = joined(inputs[self.seq_input_idx], edits, plan.near)
        counts = np.bincount(edits.mutant, minlength=len(edits))
        alone, far = np.flatnonzero(counts < 2), np.flatnonzero(counts > 1)
        reference, parts = self._run_hulls(inputs, edits.some(alone), select)

        def every() -> Iterator[Part]:
            for part in parts:
                yield Part(alone[part.index], part.outputs)
            if len(far):
                for part in self._run_far(inputs, edits.some(far), plan.seam, select):
                    yield Part(far[part.index], part.outputs)

        return reference, every()

    def saturate_changing(
        self, count: int, positions: Any = None
    ) -> Callable[[Any, Sequence[int]], Saturation]:
        """`saturate` for sequences that change a little from call to call, such as designs.

        Substitutions far from what has changed keep what they add at the seam of `edit_plan`, where
        that pays: where most are far, and their effects fit into the memory for mutants.

        Parameters
        ----------
        count, positions
            As for `BaseISM.saturate_changing`.
        """
        chosen = check_positions(positions, self.seqlen)
        plan = self._edit_plan(every := tuple(range(self.num_outputs)))
        adds = plan.strategy is EditStrategy.ADDITION and not self._backend.resident
        if not adds or FAR * plan.distance > self.seqlen:
            return super().saturate_changing(count, positions)
        engine = self._engines.edits(every, plan.seam)
        kept = Following(engine, plan, self.seq_input_idx, chosen, self.num_chars)
        if count * kept.sequence_bytes > self._memory:
            return super().saturate_changing(count, positions)
        return lambda x, numbers: self._followed(kept, chosen, x, numbers)

    def _followed(
        self, kept: Following, chosen: np.ndarray, x: Any, numbers: Sequence[int]
    ) -> Saturation:
        inputs, select = self._inputs(x), dict.fromkeys(range(self.num_outputs))
        whole = Filled(len(numbers), (len(chosen), self.num_chars), self._order)
        alternatives = np.zeros((len(numbers), len(chosen)), dtype=np.int64)
        for i, number in enumerate(numbers):
            one = [y[i : i + 1] for y in inputs]
            mutants, index = saturating_mutants(one[self.seq_input_idx], chosen)
            np.add.at(alternatives[i], index[1], 1)
            with products_in(self.backend, self.precision):
                reference, parts = kept.run(number, one, mutants, index)
                filled = whole.group(slice(i, i + 1), self._shown(select, reference))
                for made in parts:
                    where = tuple(axis[made.index] for axis in index)
                    for array, y in zip(filled, self._shown(select, made.outputs), strict=True):
                        if y is not None:
                            array[where] = y
        packed = self._packed(whole.reference), self._packed(whole.mutants)
        made = Saturation(*packed, chosen, alternatives)
        return replace(made, mutants=self._outward(made.mutants, (1, 2)), axes=self.axes)

    def _run_far(
        self,
        inputs: Sequence[np.ndarray],
        edits: Edits,
        seam: Seam,
        select: dict[int, np.ndarray | None],
    ) -> Iterator[Part]:
        """Mutants of edits that do not act on each other before the seam."""
        engine = self._engines.edits(tuple(select), seam)
        parts = engine.run(inputs, self.seq_input_idx, edits)
        every = dict.fromkeys(select)
        for part in each_in(parts, partial(products_in, self.backend, self.precision)):
            shown = zip(self._shown(every, part.outputs), select.values(), strict=True)
            chosen = [y if y is None or e is None else y[:, e] for y, e in shown]
            yield Part(part.index, chosen)

    def pair_plan(self, positions: Any = None, outputs: Any = None) -> PairPlan:
        """How `pairs` runs: by which method and why, and what it costs.

        Parameters
        ----------
        positions, outputs : optional
            As for `pairs`.
        """
        select = check_outputs(outputs, self.output_shapes)
        chosen = np.unique(check_positions(positions, self.seqlen))
        return self._engines.pair_plan(tuple(select), chosen)

    def _run_pairs(
        self,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        select: dict[int, np.ndarray | None],
        leading: tuple[int, int],
    ) -> Iterator[PairPart]:
        plan = self.pair_plan(mutants.start, dict.fromkeys(select))
        if plan.strategy is not PairStrategy.INTERACTIONS:
            runner = self._whole if plan.strategy is PairStrategy.NAIVE else super()
            yield from runner._run_pairs(inputs, mutants, select, leading)
            return
        engine = self._engines.of_outputs(tuple(select))
        kept = self._kept(select).values()
        wanted = list(zip(engine.plan.graph.outputs, kept, strict=True))
        made = PairEngine(engine, plan.block, self._memory).run(inputs, mutants, wanted, leading)
        context = self._exactly
        for part in each_in(made, context):
            yield PairPart(part.first, part.second, self._shown(select, part.outputs))

    def _run_splices(
        self, inputs: Sequence[np.ndarray], splices: Splices, select: dict[int, np.ndarray | None]
    ) -> Made:
        engine = self._engines.splices(splices.width)
        if self._runs_naive(engine.plan):
            yield from self._whole._run_splices(inputs, splices, select)
            return
        others = [None if i == self.seq_input_idx else x[0] for i, x in enumerate(inputs)]
        # Where shapes must be equal, blocks are as large with fewer mutants, and as slow.
        uniform = self._backend.uniform
        firsts = np.arange(len(splices)) if uniform else splices.firsts()
        lengths = np.diff([*firsts, len(splices)])
        parts = engine.splices(others, splices.some(firsts), self._kept(select))
        for part in each_in(parts, self._exactly):
            times = lengths[part.index]
            alike = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
            index = np.repeat(firsts[part.index], times) + alike
            yield index, [np.repeat(y, times, 0) for y in self._shown(select, part.outputs)]

    def _kept(self, select: Mapping[int, np.ndarray | None]) -> dict[int, np.ndarray | None]:
        """Entries that are chosen as soon as outputs are made."""
        # Along the first axis of the model's order of axes: after `_shown` where that changes it.
        return {i: None if self._front.view(i) else entries for i, entries in select.items()}

    def _shown(
        self, select: Mapping[int, np.ndarray | None], outputs: Sequence[np.ndarray | None]
    ) -> list[np.ndarray | None]:
        """Selected outputs in the model's own order of axes, each (mutants, *output) or None."""
        made = []
        for y, (i, entries) in zip(outputs, select.items(), strict=True):
            view = self._front.view(i)
            if y is not None and view:
                y = view(y)
                y = y if entries is None else y[:, entries]
            made.append(y)
        return made
