"""Deltas of the single edits of one block, which all of its tiles look at.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fastism.backends.base import Array
from fastism.pairs.propagate import Geometry, Model, Propagation, Window
from fastism.rules import ReadsOut, Rule


@dataclass(frozen=True)
class Singles:
    """The edits of a block, each on its own.

    Parameters
    ----------
    edits : ndarray of int, shape (edits,)
    windows : mapping of int to (start, stop)
        By node, where the block can differ from the reference.
    deltas : mapping of int to array, each (width, edits, channels)
        Difference to the reference on the window.
    vectors : mapping of int to array, each (edits, features)
        Of every linear readout.
    """

    edits: np.ndarray
    windows: Mapping[int, Window]
    deltas: Mapping[int, Array]
    vectors: Mapping[int, Array]

    def __len__(self) -> int:
        return len(self.edits)


def is_flatten(rule: Rule) -> bool:
    """Whether a readout is a dense layer after Flatten, and not a pool over all positions."""
    return rule.reads_out is ReadsOut.ROWS


def mean_factor(model: Model, index: int) -> float:
    """What a sum over positions is multiplied with at the global pool `index`."""
    node = model.graph.nodes[index]
    return node.rule.factor(model.graph.nodes[node.inputs[0]].shape[0])


def run_singles(
    model: Model,
    geometry: Geometry,
    edits: np.ndarray,
    delta: Array,
    readouts: tuple[int, ...],
) -> Singles:
    """Follow every edit of a block through the model.

    Parameters
    ----------
    model : Model
    geometry : Geometry
        From `fastism.pairs.windows.single_windows`.
    edits : ndarray of int, shape (edits,)
    delta : array, shape (width, 1, edits, channels)
        Of the perturbed input.
    readouts : tuple of int
        Those that are linear.
    """
    known = {model.graph.perturbed: delta}
    deltas = Propagation(model, geometry, model.reference, known).run()
    vectors = {
        index: _vector(model, geometry, index, deltas[model.graph.nodes[index].inputs[0]])
        for index in readouts
    }
    flat = {i: model.b.reshape(x, (x.shape[0], len(edits), -1)) for i, x in deltas.items()}
    return Singles(edits, geometry.windows, flat, vectors)


def _vector(model: Model, geometry: Geometry, index: int, delta: Array) -> Array:
    node, b = model.graph.nodes[index], model.b
    if is_flatten(node.rule):
        start = np.array([geometry.windows[node.inputs[0]][0]])
        weights, which = model.weights[index], np.zeros(1, dtype=np.int64)
        return node.rule.read_rows(b, weights, [delta], [start], model.tables[index], [which])
    total = b.sum(delta, 0)[0] * mean_factor(model, index)
    return model.tables[index] + total
