"""Pairs of edits on random graphs: interactions against whole tensors of every double mutant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, note
from hypothesis import strategies as st
from numpy_backend import NumpyBackend
from profiles import profile
from random_graphs import graphs, outputs_of, random_inputs

from fastism.calls.inputs import saturating_mutants
from fastism.calls.mutants import Mutants
from fastism.graph import Graph
from fastism.pairs.engine import PairEngine
from fastism.planning.plan import make_plan
from fastism.running.engine import Engine

SEEDS = st.integers(0, 2**32 - 1)


def every_pair(position: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of edits at two positions, the one further left first."""
    edits = range(len(position))
    return [(a, z) for a in edits for z in edits if position[a] < position[z]]


def double_mutants(
    inputs: Sequence[np.ndarray], which: int, mutants: Mutants, pairs: list[tuple[int, int]]
) -> list[np.ndarray]:
    """Inputs of every double mutant."""
    batch = [np.repeat(x, len(pairs), 0) for x in inputs]
    for row, pair in enumerate(pairs):
        for edit in pair:
            batch[which][row, mutants.start[edit]] = mutants.replacement[edit, 0]
    return batch


def check(graph: Graph, seed: int, block: int, memory: int, positions: Sequence[int]) -> None:
    rng = np.random.default_rng(seed)
    inputs = random_inputs(graph, 1, rng)
    mutants, _ = saturating_mutants(inputs[graph.sequence], np.asarray(positions))
    engine = Engine(make_plan(graph), NumpyBackend(), 1 << 20)
    wanted = [(i, None) for i in graph.outputs]
    pairs = every_pair(mutants.start)
    expected = outputs_of(graph, double_mutants(inputs, graph.sequence, mutants, pairs))
    reference = outputs_of(graph, inputs)
    number = {pair: row for row, pair in enumerate(pairs)}
    seen = np.zeros(len(pairs), dtype=int)
    for part in PairEngine(engine, block, memory).run(inputs, mutants, wanted, (0, 1000)):
        rows = [
            number[pair] for pair in zip(part.first.tolist(), part.second.tolist(), strict=True)
        ]
        np.add.at(seen, rows, 1)
        for made, all_of_them, alone in zip(part.outputs, expected, reference, strict=True):
            right = all_of_them[rows]
            if made is None:
                made = np.broadcast_to(alone, right.shape)
            assert made.shape == right.shape
            np.testing.assert_allclose(made, right, rtol=1e-9, atol=1e-10)
    assert (seen == 1).all()


def some_positions(rng: np.random.Generator, length: int) -> list[int]:
    """Both ends and a few between, in any order."""
    some = {0, length - 1, *rng.integers(0, length, 4).tolist()}
    return [int(p) for p in rng.permutation(sorted(some))]


@profile(60)
@given(graphs(), SEEDS, st.integers(1, 4), st.sampled_from([64, 4096, 1 << 20]))
def test_pairs_of_random_graphs(graph, seed, block, memory):
    positions = some_positions(np.random.default_rng(seed), graph.nodes[graph.perturbed].shape[0])
    note(f"positions {positions}")
    check(graph, seed, block, memory, positions)
