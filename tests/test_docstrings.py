"""The examples in the library's docstrings run."""

import doctest
import importlib
import pkgutil
from importlib.machinery import ExtensionFileLoader

import pytest

import fastism

# Compiled kernels are libraries for ctypes beside the modules, and no modules themselves.
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(fastism.__path__, prefix="fastism.")
    if not isinstance(module.module_finder.find_spec(module.name).loader, ExtensionFileLoader)
)


#: Modules of kernels for GPUs, and what must be installed to import them.
OPTIONAL = {"fastism.backends.triton_programs": "triton"}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name], reason=f"{OPTIONAL[name]} is not installed")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_examples_are_found_at_all():
    finder = doctest.DocTestFinder(exclude_empty=True)
    sequences = importlib.import_module("fastism.sequences")
    assert sum(len(test.examples) for test in finder.find(sequences)) >= 2
