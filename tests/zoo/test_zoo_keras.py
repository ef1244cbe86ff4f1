"""Small Keras members of published families: exact, opaque where pinned, and gaining as pinned."""

from __future__ import annotations

import pytest

pytest.importorskip("keras", reason="the models are Keras models")

import pins
from exactness import assert_exact, built, ready
from keras_families import family as register

FAMILIES = {one.name: one for one in register.families}
#: Repeated on every backend of Keras. The others show that layers are read and planned as they
#: should be, which is the same on all of them; what backends compute is held to the oracle.
REPEATED = ("BPNet, Keras", "DeepSTARR", "SpliceAI")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.keras if name in REPEATED else pytest.mark.tensorflow)
        for name in FAMILIES
    ],
)
def test_a_family_is_exact_and_as_pinned(name):
    family = FAMILIES[name]
    model = ready(family)
    ism = built(family, model)
    assert_exact(family, model, ism)
    pin, made = pins.pins()[name], pins.pinned(family, ism)
    assert made.opaque == pin.opaque
    assert made.expected == pytest.approx(pin.expected, rel=0.02)
