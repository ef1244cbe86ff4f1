"""A small model against itself: fast ISM and full runs, at both ends and in the middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from family import Family

from fastism import FastISM

Outputs = list[np.ndarray]


def ready(family: Family) -> Any:
    """The family's model with random weights under which everything has an effect."""
    if family.framework == "keras":
        import keras
        import keras_zoo

        # Names start anew; a collection of garbage at every model would take a third of a second.
        keras.backend.clear_session(free_memory=False)
        return keras_zoo.randomised(family.build())
    import torch
    import torch_zoo

    module = family.build().eval()
    with torch.no_grad():
        module(*(torch.zeros(2, *shape) for shape in family.shapes))
    return torch_zoo.randomised(module)


def built(family: Family, model: Any, **given: Any) -> FastISM:
    """Fast ISM of the family's model."""
    if family.framework == "torch":
        given |= {"input_shape": family.shapes, "channels_last": family.channels_last}
    return FastISM(model, test_correctness=False, **given)


def inputs_of(family: Family, count: int = 2, seed: int = 0) -> Outputs:
    """Random sequences, and whatever further inputs there are."""
    rng = np.random.default_rng(seed)
    x = np.eye(4, dtype=np.float32)[rng.integers(4, size=(count, family.length))]
    first = family.shapes[0][0] == 4
    x = np.ascontiguousarray(x.swapaxes(1, 2)) if first else x
    sides = [rng.random((count, *shape)).astype(np.float32) for shape in family.sides]
    return [x, *sides]


def forward(family: Family, model: Any) -> Callable[[Outputs], Outputs]:
    """The model itself: outputs for inputs, on the host."""
    if family.framework == "keras":
        import keras

        def run(inputs: Outputs) -> Outputs:
            made = model(inputs if len(inputs) > 1 else inputs[0], training=False)
            return [keras.ops.convert_to_numpy(y) for y in keras.tree.flatten(made)]

        return run
    import torch

    def run_module(inputs: Outputs) -> Outputs:
        with torch.inference_mode():
            made = model(*(torch.from_numpy(x) for x in inputs))
        return [y.numpy() for y in (made if isinstance(made, tuple) else (made,))]

    return run_module


def packed(arrays: Outputs) -> Any:
    """What a user gives: a list where there are several."""
    return arrays if len(arrays) > 1 else arrays[0]


def positions_of(family: Family) -> list[int]:
    """Both ends and the middle."""
    return [0, 1, family.length // 2, family.length - 2, family.length - 1]


def in_full(family: Family, model: Any, inputs: Outputs, positions: list[int]) -> Outputs:
    """Every mutant through the model, each output ``(sequences, positions, 4, *output)``."""
    count, first = len(inputs[0]), family.shapes[0][0] == 4
    batch = [np.repeat(x[:, None], 4 * len(positions), 1) for x in inputs]
    x = batch[0].swapaxes(2, 3) if first else batch[0]
    for number, position in enumerate(positions):
        x[:, 4 * number : 4 * number + 4, position] = np.eye(4)
    made = forward(family, model)([y.reshape(-1, *y.shape[2:]) for y in batch])
    return [y.reshape(count, len(positions), 4, *y.shape[1:]) for y in made]


def assert_exact(family: Family, model: Any, ism: FastISM) -> None:
    """Raise AssertionError unless fast ISM gives what the model gives for every mutant."""
    inputs, positions = inputs_of(family), positions_of(family)
    result = ism.saturate(packed(inputs), positions=positions)
    made = result.mutants if isinstance(result.mutants, list) else [result.mutants]
    expected = in_full(family, model, inputs, positions)
    assert len(made) == len(expected)
    for y, full in zip(made, expected, strict=True):
        y = y.swapaxes(1, 2) if ism.axes[1] == "character" else y
        assert y.shape == full.shape
        assert np.ptp(full, axis=(1, 2)).max() > 1e-5, "no effect to see"
        np.testing.assert_allclose(y, full, rtol=2e-4, atol=2e-5 * np.abs(full).max())
