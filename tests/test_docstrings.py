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


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_examples_are_found_at_all():
    finder = doctest.DocTestFinder(exclude_empty=True)
    sequences = importlib.import_module("fastism.sequences")
    assert sum(len(test.examples) for test in finder.find(sequences)) >= 2
