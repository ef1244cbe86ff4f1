"""Scripts for fastISM 0.5 that declare layers of their own run, and get what they wanted."""

from __future__ import annotations

import warnings

import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from keras import layers, ops  # noqa: E402
from keras_zoo import between_convolutions, checked  # noqa: E402

from fastism import fast_ism_utils  # noqa: E402

pytestmark = pytest.mark.keras
NAMES = (
    *("SEE_THROUGH_LAYERS", "AGGREGATE_LAYERS", "LOCAL_LAYERS", "POOLING_LAYERS"),
    "STOP_LAYERS",
)


class MyActivation(layers.Layer):
    """An activation of one's own."""

    def call(self, x):
        return x * ops.sigmoid(2 * x)


@pytest.mark.parametrize("name", NAMES)
def test_the_old_sets_are_there_and_say_once_that_nothing_depends_on_them(name, monkeypatch):
    monkeypatch.setattr(fast_ism_utils, name, fast_ism_utils.LayerNames())
    names = getattr(fast_ism_utils, name)
    with pytest.warns(UserWarning, match="'MyActivation'.*has no effect.*without being declared"):
        names.add("MyActivation")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names.add("MyActivation")
    with pytest.warns(UserWarning, match="'Other'"):
        names.update({"MyActivation"}, ["Other"])
    assert names == {"MyActivation", "Other"}


def test_what_was_declared_runs_on_windows():
    plan = checked(between_convolutions(MyActivation(), 72), 72).plan
    assert plan.opaque == ()
    assert plan.speedup > 3
