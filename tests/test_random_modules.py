"""Random torch modules, perturbed at random: the library against the module itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import currently_in_test_context, given, note
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the models are torch modules")

from profiles import profile  # noqa: E402
from random_modules import Example, modules, randomise  # noqa: E402

from fastism import FastISM, NaiveISM  # noqa: E402
from fastism.rules import Convolution  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]

SEEDS = st.integers(0, 2**32 - 1)
#: Factors of the largest output and of the largest effect, and a floor: activations of order one
#: may cancel.
TOLERANCES = {"float64": (1e-11, 1e-9, 1e-13), "float32": (3e-6, 3e-4, 3e-6)}


def packed(arrays: list[np.ndarray]) -> Any:
    return arrays if len(arrays) > 1 else arrays[0]


def listed(x: Any) -> list[np.ndarray]:
    return x if isinstance(x, list) else [x]


def predictions(example: Example, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """What the module gives, two sequences at least: some modules squeeze."""
    given = [torch.tensor(np.asarray(x, example.dtype)) for x in inputs]
    with torch.no_grad():
        made = example.module(*given)
    return [y.numpy() for y in (made if isinstance(made, tuple) else (made,))]


def random_inputs(example: Example, rng: np.random.Generator) -> list[np.ndarray]:
    """Three sequences, one-hot with unknown positions (zeros) or real; positions come last."""
    inputs = [rng.normal(size=(3, *shape)) for shape in example.shapes]
    if rng.random() < 0.6:
        shape = example.shapes[example.sequence]
        channels, length = shape[::-1] if example.channels_last else shape
        x = np.eye(channels)[rng.integers(channels, size=(3, length))]
        x[rng.random((3, length)) < 0.15] = 0
        inputs[example.sequence] = x if example.channels_last else x.transpose(0, 2, 1)
    return inputs


def edited(
    example: Example, inputs: list[np.ndarray], edits: list[tuple[int, int, np.ndarray]]
) -> list[np.ndarray]:
    """Outputs after each edit (sequence, start, rows of characters), ``(edits, *output)``."""
    batch = [x[[sequence for sequence, _, _ in edits]].copy() for x in inputs]
    for i, (_, start, rows) in enumerate(edits):
        here = slice(start, start + len(rows))
        if example.channels_last:
            batch[example.sequence][i, here] = rows
        else:
            batch[example.sequence][i, :, here] = rows.T
    return predictions(example, batch)


def assert_close(
    made: list[np.ndarray], expected: list[np.ndarray], reference: list[np.ndarray], dtype: str
) -> None:
    value, relative, floor = TOLERANCES[dtype]
    assert len(made) == len(expected)
    for number, (a, b, r) in enumerate(zip(made, expected, reference, strict=True)):
        assert a.shape == b.shape
        assert np.isfinite(b).all(), "the module itself is not finite"
        spread = r.reshape(len(r), *[1] * (b.ndim - r.ndim), *r.shape[1:])
        effect = np.abs(b - spread).max(initial=0)
        allowed = value * np.abs(b).max(initial=0) + relative * effect + floor
        worst = np.abs(a - b).max(initial=0)
        assert worst <= allowed, f"output {number} is off by {worst:.3g}, allowed {allowed:.3g}"


def check(example: Example, seed: int, kind: type = FastISM) -> None:
    """One call, or saturation at some positions."""
    rng = np.random.default_rng(seed)
    inputs = random_inputs(example, rng)
    reference = predictions(example, inputs)
    shape = example.shapes[example.sequence]
    channels, length = shape[::-1] if example.channels_last else shape
    settings: dict[str, Any] = {
        "seq_input_idx": example.sequence,
        "input_shape": example.shapes,
        "channels_last": example.channels_last,
    }
    if kind is FastISM:
        settings |= {"early_stop_layers": example.stops, "test_correctness": False}
    else:
        settings |= {"batch_size": 4}
    if rng.random() < 0.5:
        width = int(min(rng.choice([1, 1, 2, 3, 5]), length))
        starts = sorted({0, length - width, *rng.integers(0, length - width + 1, 4).tolist()})
        rows, how = np.zeros((width, channels)), rng.choice(["zero", "one-hot", "real"])
        if how == "one-hot":
            rows = np.eye(channels)[rng.integers(channels, size=width)]
        elif how == "real":
            rows = rng.normal(size=(width, channels))
        given = rows if example.channels_last else rows.T
        given = rows[0] if width == 1 and rng.random() < 0.5 else given
        tell(f"{how} in {starts}, {width} wide")
        ranges = [(s, s + width) for s in starts]
        ism = kind(example.module, change_ranges=ranges, **settings)
        made = listed(ism(packed(inputs), 0 if how == "zero" else given))
        edits = [(s, start, rows) for s in range(3) for start in starts]
        grid: tuple[int, ...] = (3, len(starts))
    else:
        positions = sorted({0, length - 1, *rng.integers(0, length, 3).tolist()})
        tell(f"saturated at {positions}")
        ism = kind(example.module, **settings)
        result = ism.saturate(packed(inputs), positions=positions)
        assert_close(listed(result.reference), reference, reference, example.dtype)
        made = listed(result.mutants)
        if not example.channels_last:
            made = [y.swapaxes(1, 2) for y in made]
        characters = np.eye(channels)
        edits = [(s, p, c[None]) for s in range(3) for p in positions for c in characters]
        grid = (3, len(positions), channels)
    expected = [y.reshape(*grid, *y.shape[1:]) for y in edited(example, inputs, edits)]
    assert_close(made, expected, reference, example.dtype)


def tell(what: str) -> None:
    if currently_in_test_context():
        note(what)


@profile(10)
@given(modules("float64"), SEEDS)
def test_random_modules(example, seed):
    check(example, seed)


@profile(5)
@given(modules("float32"), SEEDS)
def test_random_modules_in_single_precision(example, seed):
    check(example, seed)


@profile(3)
@given(modules("float64"), SEEDS)
def test_naive_ism_of_random_modules(example, seed):
    check(example, seed, NaiveISM)


# ---- the comparison can fail ------------------------------------------------------------


def test_a_wrong_rule_is_found(monkeypatch):
    """A delta one position to the right of where it belongs."""
    conv = torch.nn.Conv1d(4, 5, 3, dilation=2)
    module = torch.nn.Sequential(conv, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(60, 2))
    randomise(module, 0)
    example = Example(module.eval(), [(4, 16)], 0, False, [], "float32", [])
    for seed in range(3):
        check(example, seed)
    right = Convolution.placed
    monkeypatch.setattr(Convolution, "placed", lambda self, x: right(self, x).shift(1))
    with pytest.raises(AssertionError, match="is off by"):
        for seed in range(3):
            check(example, seed)
