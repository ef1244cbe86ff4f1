"""Small torch members of published families: exact, opaque where pinned, and gaining as pinned."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the models are torch modules")

import pins
from exactness import assert_exact, built, ready
from torch_mixers import family as mixers
from torch_stacks import family as stacks

pytestmark = pytest.mark.torch
FAMILIES = {one.name: one for one in stacks.families + mixers.families}
#: Of families from packages: what to import, all of them in requirements/test.lock and no extra.
PACKAGES = {"bpnet-lite": "bpnetlite", "gReLU": "grelu", "enformer-pytorch": "enformer_pytorch"}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_exact_and_as_pinned(name):
    family = FAMILIES[name]
    if family.source.startswith("package "):
        package = family.source.removeprefix("package ")
        pytest.importorskip(PACKAGES[package], reason=f"{package} is in no extra")
    model = ready(family)
    ism = built(family, model)
    assert_exact(family, model, ism)
    pin, made = pins.pins()[name], pins.pinned(family, ism)
    assert made.opaque == pin.opaque
    assert made.expected == (pin.expected and pytest.approx(pin.expected, rel=0.02))
