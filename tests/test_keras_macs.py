"""Multiply-adds of Keras layers without a rule, against counts by hand."""

from __future__ import annotations

import math

import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from keras import layers, ops  # noqa: E402

from fastism import FastISM  # noqa: E402
from fastism.frontends.keras_macs import multiply_adds  # noqa: E402

pytestmark = pytest.mark.keras
L, C = 30, 8
#: A layer on (L, C) and its multiply-adds.
COUNTED = {
    "LSTM": (lambda y: layers.LSTM(6)(y), L * 4 * 6 * (C + 6)),
    "GRU": (lambda y: layers.GRU(6, return_sequences=True)(y), L * 3 * 6 * (C + 6)),
    "both ways": (lambda y: layers.Bidirectional(layers.GRU(6))(y), 2 * L * 3 * 6 * (C + 6)),
    "attention": (
        lambda y: layers.MultiHeadAttention(2, 3, value_dim=5)(y, y),
        L * C * 2 * (3 + 3 + 5) + L * L * 2 * (3 + 5) + L * 2 * 5 * C,
    ),
    "dot attention": (lambda y: layers.Attention()([y, y]), 2 * L * L * C),
    "matmul": (lambda y: ops.matmul(y, ops.transpose(y, (0, 2, 1))), L * L * C),
    "einsum": (lambda y: ops.einsum("blc,bmc->blm", y, y), L * L * C),
}


def plan_of(function):
    x = keras.Input((L, 4))
    y = function(layers.Conv1D(C, 3, padding="same")(x))
    return FastISM(keras.Model(x, layers.Flatten()(y)), test_correctness=False).plan


@pytest.mark.parametrize("case", COUNTED)
def test_multiply_adds_of_what_has_no_rule_are_counted(case):
    function, expected = COUNTED[case]
    plan = plan_of(function)
    counted = [cost.naive for cost, step in zip(plan.costs, plan.steps, strict=True) if step.reason]
    assert sum(counted) == expected
    assert plan.uncounted == ()
    assert plan.speedup == pytest.approx(plan.naive_macs / plan.fast_macs)


class Own(layers.Layer):
    """Something that only its author knows."""

    def call(self, x):
        return keras.ops.fft((x, x))[0]


def test_a_layer_that_nothing_is_known_of_makes_the_speedup_unknown():
    plan = plan_of(Own(name="own"))
    assert plan.uncounted == ("own",)
    assert math.isnan(plan.speedup)
    assert "cannot be counted: own" in " ".join(str(plan).split())


def test_convolutions_over_two_axes():
    layer = layers.Conv2D(3, (3, 2))
    layer.build((None, 10, 6, 2))
    assert multiply_adds(layer, [(10, 6, 2)], (8, 5, 3)) == 8 * 5 * 3 * 3 * 2 * 2
    dense = layers.EinsumDense("abc,cd->abd", (None, 5))
    dense.build((None, 10, 6))
    assert multiply_adds(dense, [(10, 6)], (10, 5)) == 10 * 6 * 5
