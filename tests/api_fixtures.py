"""Fixtures of the tests of the public methods: fast ISM of the two models, on each framework."""

from __future__ import annotations

import pytest
from api_cases import BACKENDS, SEVERAL, SINGLE

from fastism import FastISM


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def ism(backend) -> FastISM:
    return FastISM(SINGLE, test_correctness=False, backend=backend)


@pytest.fixture(scope="module")
def ism_several(backend) -> FastISM:
    return FastISM(SEVERAL, 1, test_correctness=False, backend=backend)
