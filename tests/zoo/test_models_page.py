"""docs/models.md shows what the zoo's tests hold, and the comparison with full runs can fail."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("torch", reason="the page lists torch modules")
pytest.importorskip("keras", reason="the page lists Keras models")

import pins
from exactness import assert_exact, built, ready
from torch_stacks import family as stacks

from fastism.rules import Convolution


def without_times(table: str) -> list[str]:
    """Rows without their last cell."""
    return [re.sub(r"[^|]*\|$", "", line) for line in table.splitlines()]


def test_the_page_is_that_of_the_pins():
    text = pins.PAGE.read_text(encoding="utf-8")
    rows = without_times(pins.shown(text))
    assert rows == without_times(pins.table(pins.pins(), times=False)), (
        "run `python tests/zoo/pins.py`, which writes docs/models.md"
    )
    assert len(rows) > 30


def test_every_pin_is_of_a_family_and_of_every_family_there_is_one():
    families = [one.name for framework in pins.MODULES for one in pins.families(framework)]
    assert sorted(pins.pins()) == sorted(families)
    assert len(set(families)) == len(families)


def test_the_table_is_renewed_between_its_marks():
    text = f"before {pins.BEGIN} old {pins.END} after"
    once = pins.filled(text, "| new |")
    assert pins.shown(once) == "| new |"
    assert once.startswith("before ")
    assert once.endswith(" after")


def test_a_wrong_rule_is_found(monkeypatch):
    family = next(one for one in stacks.families if one.name == "DeepBind")
    model = ready(family)
    assert_exact(family, model, built(family, model))
    right = Convolution.placed
    monkeypatch.setattr(Convolution, "placed", lambda self, x: right(self, x).shift(1))
    with pytest.raises(AssertionError, match="Not equal"):
        assert_exact(family, model, built(family, model))
