"""Random Keras models, perturbed at random: the library against the model itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import currently_in_test_context, given, note
from hypothesis import strategies as st

keras = pytest.importorskip("keras", reason="the models are Keras models")

from profiles import profile  # noqa: E402
from random_models import Example, examples, randomise  # noqa: E402

from fastism import FastISM, FastISMError  # noqa: E402
from fastism.intervals import Interval  # noqa: E402
from fastism.rules import Convolution  # noqa: E402

pytestmark = [pytest.mark.keras, pytest.mark.slow]

BACKEND = keras.backend.backend()
#: TensorFlow tries most; JAX compiles every model anew, and torch is tried from TensorFlow too.
SCALE = 1.0 if BACKEND == "tensorflow" else 0.25
#: On JAX and torch, Keras computes models of float64 in single precision here and there.
PRECISE = "float64" if BACKEND == "tensorflow" else "float32"
SEEDS = st.integers(0, 2**32 - 1)


def torch_is_installed() -> bool:
    from fastism.backends import available_backends

    return "torch" in available_backends()


@dataclass(frozen=True)
class Perturbation:
    """What is replaced by what.

    Parameters
    ----------
    ranges : list of (start, stop)
    replacement : 0 or ndarray
    """

    ranges: list[tuple[int, int]]
    replacement: Any

    def matrix(self, channels: int) -> np.ndarray:
        width = self.ranges[0][1] - self.ranges[0][0]
        return np.broadcast_to(np.asarray(self.replacement, float), (width, channels))


def random_perturbation(rng: np.random.Generator, length: int, channels: int) -> Perturbation:
    """Ranges at both ends and in between; replaced by zero, one row or a matrix."""
    width = int(min(rng.choice([1, 1, 2, 3, 5]), length))
    starts = {0, length - width, *rng.integers(0, length - width + 1, 4).tolist()}
    ranges = [(int(s), int(s) + width) for s in rng.permutation(sorted(starts))]
    kind = rng.choice(["zero", "one-hot", "real"])
    if kind == "zero":
        return Perturbation(ranges, 0)
    rows = np.eye(channels)[rng.integers(channels, size=width)]
    matrix = rows if kind == "one-hot" else rng.normal(size=(width, channels))
    return Perturbation(ranges, matrix[0] if width == 1 and rng.random() < 0.5 else matrix)


def random_sequences(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Three sequences: one-hot with unknown positions (zeros), or real numbers."""
    if rng.random() < 0.4:
        return rng.normal(size=(3, *shape))
    x = np.eye(shape[1])[rng.integers(shape[1], size=(3, shape[0]))]
    x[rng.random((3, shape[0])) < 0.15] = 0
    return x


def random_inputs(example: Example, rng: np.random.Generator) -> list[np.ndarray]:
    inputs = [rng.normal(size=(3, *shape)) for shape in example.shapes]
    inputs[example.sequence] = random_sequences(rng, example.shapes[example.sequence])
    return inputs


def packed(arrays: list[np.ndarray]) -> Any:
    """What a user gives: one array, or a list where the model has several inputs."""
    return arrays if len(arrays) > 1 else arrays[0]


def listed(x: Any) -> list[np.ndarray]:
    return x if isinstance(x, list) else [x]


# ---- the oracle: the model itself on every mutant -----------------------------------------


def predictions(example: Example, inputs: list[np.ndarray]) -> list[np.ndarray]:
    dtype = example.model.inputs[0].dtype
    given = [np.asarray(x, dtype) for x in inputs]
    made = example.model(keras.tree.pack_sequence_as(example.model.input, given), training=False)
    return [keras.ops.convert_to_numpy(y) for y in keras.tree.flatten(made)]


def brute_force(
    example: Example, inputs: list[np.ndarray], edits: list[tuple[int, int, np.ndarray]]
) -> list[np.ndarray]:
    """Outputs after each edit (sequence, start, rows), ``(edits, *output)``."""
    which = [sequence for sequence, _, _ in edits]
    batch = [x[which].copy() for x in inputs]
    for i, (_, start, rows) in enumerate(edits):
        batch[example.sequence][i, start : start + len(rows)] = rows
    return predictions(example, batch)


def called_by_hand(
    example: Example, inputs: list[np.ndarray], perturbation: Perturbation
) -> list[np.ndarray]:
    """What a call must return: ``(sequences, ranges, *output)``."""
    x = inputs[example.sequence]
    rows = perturbation.matrix(x.shape[2])
    edits = [(s, start, rows) for s in range(len(x)) for start, _ in perturbation.ranges]
    shape = len(x), len(perturbation.ranges)
    return [y.reshape(*shape, *y.shape[1:]) for y in brute_force(example, inputs, edits)]


def saturated_by_hand(
    example: Example, inputs: list[np.ndarray], positions: list[int]
) -> list[np.ndarray]:
    """What saturation must return: ``(sequences, positions, characters, *output)``."""
    x = inputs[example.sequence]
    characters = np.eye(x.shape[2])
    edits = [(s, p, c[None]) for s in range(len(x)) for p in positions for c in characters]
    shape = len(x), len(positions), len(characters)
    return [y.reshape(*shape, *y.shape[1:]) for y in brute_force(example, inputs, edits)]


@dataclass(frozen=True)
class Tolerance:
    """How far results may be from the oracle.

    Parameters
    ----------
    value, effect : float
        Factors of the largest output, and of the largest difference to the reference.
    floor : float
        Added to both: numbers inside a model are about one, and may cancel in its output.
    """

    value: float
    effect: float
    floor: float


#: Rounding only: 1e-16 and 6e-8 times what a dozen layers make of it.
TOLERANCES = {"float64": Tolerance(1e-11, 1e-9, 1e-14), "float32": Tolerance(3e-6, 3e-4, 1e-6)}
#: Two frameworks: in double precision too there are single-precision constants in some functions.
ACROSS = {"float64": Tolerance(1e-6, 1e-5, 1e-7), "float32": TOLERANCES["float32"]}


def assert_close(
    made: list[np.ndarray],
    expected: list[np.ndarray],
    reference: list[np.ndarray],
    tolerance: Tolerance,
) -> None:
    """Compare per output; `reference` ``(sequences, *output)`` gives the size of the effects."""
    assert len(made) == len(expected)
    for number, (a, b, r) in enumerate(zip(made, expected, reference, strict=True)):
        assert a.shape == b.shape
        assert np.isfinite(b).all(), "the model itself is not finite"
        spread = r.reshape(len(r), *[1] * (b.ndim - r.ndim), *r.shape[1:])
        effect = np.abs(b - spread).max()
        allowed = tolerance.value * np.abs(b).max() + tolerance.effect * effect + tolerance.floor
        worst = np.abs(a - b).max()
        assert worst <= allowed, (
            f"output {number} is off by {worst:.3g}; outputs reach {np.abs(b).max():.3g}, "
            f"effects {effect:.3g}, allowed is {allowed:.3g}"
        )


def tell(what: str) -> None:
    """A line of the report if hypothesis writes one."""
    if currently_in_test_context():
        note(what)


def check(example: Example, seed: int, tolerance: Tolerance, backend: str | None = None) -> None:
    """One call, or saturation at some positions."""
    rng = np.random.default_rng(seed)
    inputs = random_inputs(example, rng)
    reference = predictions(example, inputs)
    length, channels = example.shapes[example.sequence]
    settings = {
        "seq_input_idx": example.sequence,
        "early_stop_layers": example.stops or None,
        "test_correctness": False,
        "backend": backend,
    }
    if rng.random() < 0.6:
        perturbation = random_perturbation(rng, length, channels)
        tell(f"{perturbation}")
        ism = FastISM(example.model, change_ranges=perturbation.ranges, **settings)
        made = listed(ism(packed(inputs), perturbation.replacement))
        expected = called_by_hand(example, inputs, perturbation)
    else:
        positions = sorted({0, length - 1, *rng.integers(0, length, 3).tolist()})
        tell(f"saturated at {positions}")
        ism = FastISM(example.model, **settings)
        result = ism.saturate(packed(inputs), positions=positions)
        made = listed(result.mutants)
        expected = saturated_by_hand(example, inputs, positions)
        assert_close(listed(result.reference), reference, reference, tolerance)
    assert_close(made, expected, reference, tolerance)


# ---- tests ------------------------------------------------------------------------------


@profile(int(24 * SCALE))
@given(examples(PRECISE), SEEDS)
def test_random_models(example, seed):
    check(example, seed, TOLERANCES[PRECISE])


@profile(int(24 * SCALE))
@given(examples("float32"), SEEDS)
def test_random_models_in_single_precision(example, seed):
    check(example, seed, TOLERANCES["float32"])


@pytest.mark.skipif(not torch_is_installed(), reason="PyTorch is not installed")
@pytest.mark.skipif(BACKEND == "torch", reason="all tests here run on torch already")
@profile(int(24 * SCALE))
@given(examples(PRECISE, opaque=False), SEEDS)
def test_random_models_on_torch(example, seed):
    """A model of another framework, its recognised layers on torch."""
    try:
        check(example, seed, ACROSS[PRECISE], "torch")
    except FastISMError as error:
        # A layer without a rule that was made need not have become part of the model.
        assert example.opaque
        assert "runs only in its own framework" in str(error)


# ---- the comparison can fail ------------------------------------------------------------


def small_example() -> Example:
    inputs = keras.Input((16, 4))
    x = keras.layers.Conv1D(5, 3, dilation_rate=2, activation="relu")(inputs)
    x = keras.layers.MaxPooling1D(3)(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    randomise(model, 0)
    return Example(model, 0, [], False)


def too_narrow(self: Any, x: Any, length: int) -> Interval:
    """Forgets the last position that a convolution reaches."""
    made = AFFECTED(self, x, length)
    return Interval(made.start, np.maximum(made.stop - 1, made.start + 1))


def one_off(self: Any, x: Interval) -> Interval:
    """Puts a delta one position to the right."""
    return PLACED(self, x).shift(1)


AFFECTED, PLACED = Convolution.affected, Convolution.placed


@pytest.mark.parametrize(
    ("method", "wrong"), [("affected", too_narrow), ("placed", one_off)], ids=["narrow", "shifted"]
)
def test_a_wrong_rule_is_found(monkeypatch, method, wrong):
    example = small_example()
    for seed in range(4):
        check(example, seed, TOLERANCES["float32"])
    monkeypatch.setattr(Convolution, method, wrong)
    with pytest.raises(AssertionError, match="off by"):
        for seed in range(4):
            check(example, seed, TOLERANCES["float32"])


@pytest.mark.parametrize("factor", [1e-4, 1e-2])
def test_a_small_error_in_the_weights_is_found(factor):
    """Effects off by a hundredth of a percent are off."""
    example, rng = small_example(), np.random.default_rng(0)
    inputs = random_inputs(example, rng)
    reference = predictions(example, inputs)
    expected = saturated_by_hand(example, inputs, [0, 7, 15])
    effects = expected[0] - reference[0][:, None, None]
    off = [expected[0] + effects * factor * 10]
    assert_close(expected, expected, reference, TOLERANCES["float32"])
    with pytest.raises(AssertionError, match="off by"):
        assert_close(off, expected, reference, TOLERANCES["float32"])
