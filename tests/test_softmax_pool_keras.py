"""Sums over positions weighted by their softmax in Keras models: exact, however they are written.

x -- conv -- relu -- conv -- scores -- softmax over positions --\\
                 \\-- conv -- values ------------------------- multiply -- sum over positions
"""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from keras import layers, ops  # noqa: E402

from fastism import FastISM, NaiveISM  # noqa: E402
from fastism.rules import GlobalSoftmaxPool  # noqa: E402

pytestmark = pytest.mark.keras
LENGTH = 40


def model(*cases) -> keras.Model:
    """Values pooled by functions of scores and values, each ``(batch, length, channels)``."""
    keras.utils.set_random_seed(3)
    x = keras.Input((LENGTH, 4))
    y = layers.Conv1D(6, 5, activation="relu")(x)
    values = layers.Conv1D(3, 3)(y)
    scores = {count: layers.Conv1D(count, 3)(y) * 5.0 for count in {c for _, c in cases}}
    return keras.Model(x, [function(scores[count], values) for function, count in cases])


def classic(scores, values):
    """As attention is written in many tutorials: flattened, repeated, and turned."""
    weights = layers.Activation("softmax")(layers.Flatten()(scores))
    weights = layers.Permute((2, 1))(layers.RepeatVector(3)(weights))
    return layers.Lambda(lambda y: ops.sum(y, axis=1))(layers.Multiply()([values, weights]))


def weighted(scores, values):
    return ops.sum(ops.softmax(scores, axis=1) * values, axis=1)


def as_matrices(scores, values):
    weights = ops.transpose(ops.softmax(scores, axis=-2), (0, 2, 1))
    return ops.squeeze(ops.matmul(weights, values), 1)


def as_columns(scores, values):
    weights = layers.Softmax(axis=1)(scores)
    return layers.Flatten()(ops.matmul(ops.transpose(values, (0, 2, 1)), weights))


def mean(scores, values):
    product = layers.Multiply()([layers.Softmax(axis=-2)(scores), values])
    return layers.GlobalAveragePooling1D()(product)


def in_one_vector(scores, values):
    weights = ops.softmax(layers.Flatten()(scores))
    return ops.sum(ops.expand_dims(weights, -1) * values, axis=1)


SPELLINGS = {
    "one score": (weighted, 1),
    "a score per channel": (weighted, 3),
    "mean": (mean, 3),
    "matmul of a row": (as_matrices, 1),
    "matmul with a column": (as_columns, 1),
    "dot": (lambda s, v: layers.Dot(1)([layers.Softmax(axis=1)(s), v]), 1),
    "einsum": (lambda s, v: ops.einsum("blk,blc->bkc", ops.softmax(s, axis=1), v), 1),
    "einsum per channel": (lambda s, v: ops.einsum("blc,blc->bc", ops.softmax(s, axis=1), v), 3),
    "in one vector": (in_one_vector, 1),
    "repeated and turned": (classic, 1),
}


#: Of other products: why they have no rule.
OTHERS = {
    "two tensors that depend": lambda s, v: ops.matmul(ops.transpose(s, (0, 2, 1)), v),
    "other axes than positions": lambda s, v: layers.Dot((2, 2))([s, v]),
    "a sum over positions": lambda s, v: ops.einsum("bls,bmc->bsc", s, v),
}


def one_hot() -> np.ndarray:
    letters = np.random.default_rng(0).integers(4, size=(1, LENGTH))
    return np.eye(4, dtype=np.float32)[letters]


def test_every_spelling_reads_out_of_windows():
    made = model(*SPELLINGS.values())
    fast = FastISM(made, test_correctness=False)
    pools = [n for n in fast.plan.graph.nodes if isinstance(n.rule, GlobalSoftmaxPool)]
    assert (len(pools), fast.plan.opaque) == (len(SPELLINGS), ())
    places = [0, 1, 19, LENGTH - 1]
    found, right = (ism.saturate(one_hot(), positions=places) for ism in (fast, NaiveISM(made)))
    for case, y, naive, delta in zip(
        SPELLINGS, found.mutants, right.mutants, right.delta(), strict=True
    ):
        assert np.abs(delta).max() > (1e-5 if case == "mean" else 1e-3)
        np.testing.assert_allclose(y, naive, rtol=2e-5, atol=2e-6, err_msg=case)


def test_other_products_are_opaque_and_say_why():
    made = model(*((function, 3) for function in OTHERS.values()))
    fast = FastISM(made, test_correctness=False)
    for told in OTHERS:
        assert told in str(fast.plan)
    assert fast.verify(one_hot(), positions=[0, 20]) < 1e-3
