"""Every case of every primitive, by its name."""

from __future__ import annotations

from array_cases import ARRAY_CASES
from backend_case import Case
from window_cases import WINDOW_CASES

CASES: dict[str, list[Case]] = {}
for _generator in (*ARRAY_CASES, *WINDOW_CASES):
    for _case in _generator():
        CASES.setdefault(_case.primitive, []).append(_case)
