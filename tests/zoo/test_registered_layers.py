"""Keras layers that cannot be traced, declared by their authors."""

from __future__ import annotations

import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from keras import layers, ops  # noqa: E402
from keras_zoo import between_convolutions, checked  # noqa: E402

from fastism import FastISM, FastISMError, register, see_through  # noqa: E402
from fastism.frontends import registered  # noqa: E402

pytestmark = pytest.mark.keras
LENGTH = 72


class Hidden(layers.Layer):
    """What it does with symbolic tensors tells nothing."""

    def call(self, x):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("not traced")
        return self.made(x)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)


class Doubled(Hidden):
    """Twice its input, cut at zero."""

    def made(self, x):
        return 2.0 * ops.relu(x)


class Same(Hidden):
    """Its input."""

    def made(self, x):
        return x


@pytest.fixture(autouse=True)
def own_register(monkeypatch):
    monkeypatch.setattr(registered, "REGISTERED", {})
    monkeypatch.setattr("fastism.frontends.keras.REGISTERED", registered.REGISTERED)


@pytest.mark.parametrize("kind", [Doubled, Same])
def test_what_is_declared_runs_on_windows(kind):
    model = between_convolutions(kind(), LENGTH)
    assert len(checked(model, LENGTH).plan.opaque) == 1
    if kind is Same:
        see_through(Same)
    else:
        register(Doubled, lambda layer, x: ops.relu(x) * 2.0)
    plan = checked(model, LENGTH).plan
    assert plan.opaque == ()
    assert plan.speedup > 3


def test_a_wrong_declaration_is_found_when_the_model_is_built():
    register(Doubled, lambda layer, x: ops.relu(x) * 2.1)
    with pytest.raises(FastISMError, match="Fast and naive ISM differ"):
        FastISM(between_convolutions(Doubled(), LENGTH))


def test_a_declaration_that_cannot_be_read_is_opaque_and_says_so():
    register(Same, lambda layer, x: layer.no_such_thing)
    plan = checked(between_convolutions(Same(), LENGTH), LENGTH).plan
    told = "the function that was registered for it does more than Keras can trace"
    assert told in plan.reasons.values()


def test_what_is_no_class_is_refused():
    with pytest.raises(FastISMError, match="expected the class of a Keras layer"):
        see_through("Same")
    with pytest.raises(FastISMError, match="expected the class of a Keras layer"):
        register(Same, None)
