"""Small numbers that hypothesis draws and shrinks, for models that are grown from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st


class Draw:
    """Small numbers for hypothesis to shrink."""

    def __init__(self, draw: Callable) -> None:
        self.draw = draw

    def int(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def of(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def bool(self) -> bool:
        return self.draw(st.booleans())
