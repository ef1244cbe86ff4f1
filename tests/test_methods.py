"""The attribution methods on small models: identities, their failure, one against the other."""

import doctest
import importlib
import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the methods explain Keras models")

from keras import layers  # noqa: E402

from benchmarks.architectures import build  # noqa: E402
from benchmarks.attribution.explained import Explained, sample_outputs  # noqa: E402
from benchmarks.attribution.identities import (  # noqa: E402
    completeness_residual,
    relative_difference,
)
from benchmarks.attribution.per_output import PerOutputMethod  # noqa: E402
from benchmarks.methods import Attribution, discover  # noqa: E402

METHODS = discover()
ON_TENSORFLOW = ["gradient_x_input", "taylor_ism", "integrated_gradients", "deepshap"]
OF_CAPTUM = [name for name in METHODS if name.startswith("captum_")]


def missing(*packages):
    return [package for package in packages if importlib.util.find_spec(package) is None]


needs_tensorflow = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(
        bool(missing("tensorflow", "shap")) or keras.backend.backend() != "tensorflow",
        reason="these methods explain models on TensorFlow, and DeepSHAP needs shap",
    ),
]
needs_captum = [
    pytest.mark.torch,
    pytest.mark.skipif(bool(missing("torch", "captum")), reason="captum works on PyTorch"),
]


def cases(names, marks):
    return [pytest.param(name, marks=marks) for name in names]


EVERY = [*cases(ON_TENSORFLOW, needs_tensorflow), *cases(OF_CAPTUM, needs_captum)]


def sequences(number, length, seed=0, characters=4):
    letters = np.random.default_rng(seed).integers(characters, size=(number, length))
    return np.eye(characters, dtype=np.float32)[letters]


def make(name):
    return METHODS[name]("torch" if name.startswith("captum_") else "tensorflow")


def ran(name, model, x):
    method = make(name)
    assert method.refuse() is None
    method.set_up(model, x)
    return method, method.run()


@pytest.fixture(autouse=True)
def _untuned(monkeypatch, request):
    """Timing several batch sizes takes long and is nothing that results depend on."""
    if "tuned" not in request.node.name:
        monkeypatch.setattr(PerOutputMethod, "tune", lambda self, run, x, rows: min(rows, 16))


def small_bpnet():
    from fastism.models.bpnet import bpnet_model

    keras.utils.set_random_seed(3)
    return bpnet_model(seqlen=60, num_dilated_convs=2)


def small_deepsea():
    from fastism.models.deepsea import deepsea_model

    keras.utils.set_random_seed(3)
    return deepsea_model(seqlen=163, num_outputs=7)


# ---- what every method does ------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_shapes_settings_and_identity(name):
    x = sequences(2, 60)
    method, result = ran(name, small_bpnet(), x)
    # 61 scalar outputs: the profile and the counts, of which four are explained.
    assert method.explained == [
        Explained(0, 0),
        Explained(0, 20),
        Explained(0, 40),
        Explained(1, 0),
    ]
    assert len(result.values) == 4
    assert all(isinstance(v, np.ndarray) and v.shape == (2, 60, 4) for v in result.values)
    assert all(v.dtype == np.float32 and np.abs(v).max() > 0 for v in result.values)
    np.testing.assert_array_equal(result.positions, np.arange(60))
    assert method.settings["outputs"] == 61
    assert method.batch_size >= 1
    if name == "captum_feature_ablation":
        assert (method.scale, method.settings["outputs_kept"]) == (1.0, 4)
    else:
        assert (method.scale, method.settings["outputs_timed"]) == (61 / 4, 4)
    check = method.check(result)
    assert check.holds, check
    assert check.residual < check.tolerance


@pytest.mark.parametrize("name", EVERY)
def test_another_number_of_sequences_changes_nothing(name):
    model, x = small_bpnet(), sequences(5, 60)
    method, few = ran(name, model, x[:2])
    method.set_up(model, x)
    many = method.run()
    for a, b in zip(few.values, many.values, strict=True):
        np.testing.assert_allclose(a, b[:2], atol=1e-5 * np.abs(b).max())
    assert method.check(many).holds


@pytest.mark.parametrize("name", EVERY)
def test_equal_sequences_in_a_batch_are_explained_each_by_itself(name):
    model, x = small_bpnet(), sequences(2, 60)[[0, 1, 0, 0]]
    method, result = ran(name, model, x)
    assert method.check(result).holds
    shuffled = "deep" in name  # against references of their own
    for values in result.values:
        same = np.abs(values[2] - values[0]).max() <= 1e-5 * np.abs(values).max()
        assert same != shuffled


@pytest.mark.parametrize("name", [case for case in EVERY if "taylor" not in case.values[0]])
def test_wrong_attributions_fail_the_check(name):
    model, x = small_bpnet(), sequences(1, 60)
    method, result = ran(name, model, x)
    spoilt = [np.full_like(v, np.nan) for v in result.values]
    assert not method.check(Attribution.of(spoilt, result.positions)).holds
    if name in ("gradient_x_input", "captum_input_x_gradient"):
        return  # their identity is that of another, linear model; see below
    if "integrated" not in name:  # which would integrate again, and correctly
        halved = [v / 2 for v in result.values]
        check = method.check(Attribution.of(halved, result.positions))
        assert not check.holds
        assert check.residual > 0.2


@pytest.mark.parametrize("name", EVERY)
def test_a_method_that_does_something_else_fails_its_check(name, monkeypatch):
    """The computation itself is spoilt: everything times 1.2, wherever it is called."""
    cls = METHODS[name]
    if name == "captum_feature_ablation":
        run = cls.run
        monkeypatch.setattr(
            cls,
            "run",
            lambda self: Attribution.of(
                [1.2 * v for v in run(self).values], np.arange(self._sequences.shape[1])
            ),
        )
    else:
        inner = "_integrate" if "integrated" in name else "explain"
        original = getattr(cls, inner)
        monkeypatch.setattr(cls, inner, lambda *a, **k: 1.2 * original(*a, **k))
    method, result = ran(name, small_bpnet(), sequences(1, 60))
    check = method.check(result)
    assert not check.holds
    assert check.residual == pytest.approx(0.2, rel=0.5)


@pytest.mark.parametrize("name", [*ON_TENSORFLOW, *OF_CAPTUM])
def test_what_cannot_run_is_refused(name, monkeypatch):
    method = METHODS[name]("jax")
    assert "the models run on jax" in method.refuse()
    module = "benchmarks.attribution.per_output"
    monkeypatch.setattr(f"{module}.find_spec", lambda package: None)
    assert "is not installed" in make(name).refuse()


def test_variants_are_one_per_framework():
    setting = SimpleNamespace(keras_backend="jax", backends=("torch",), naive_mutants=1)
    for name in ON_TENSORFLOW:
        assert [m.backend for m in METHODS[name].variants(setting)] == ["jax"]
    for name in OF_CAPTUM:
        assert [m.backend for m in METHODS[name].variants(setting)] == ["torch"]


@pytest.mark.parametrize(
    "name",
    [
        *cases(["gradient_x_input"], needs_tensorflow),
        *cases(["captum_input_x_gradient"], needs_captum),
    ],
)
def test_batch_sizes_are_tuned_among_those_that_can_be_filled(name):
    few = make(name).tune(lambda x: None, sequences(2, 5), 2)
    assert few == 2
    tried = set()
    assert make(name).tune(lambda x: tried.add(len(x)), sequences(2, 5), 50) in tried
    assert tried <= {16, 32, 50}
    method, _ = ran(name, small_bpnet(), sequences(3, 60))
    assert method.batch_size == 3


# ---- one against the other -------------------------------------------------------------------

PAIRS = [
    (small_bpnet, "gradient_x_input", "captum_input_x_gradient", 1e-5),
    (small_deepsea, "gradient_x_input", "captum_input_x_gradient", 1e-5),
    (small_bpnet, "integrated_gradients", "captum_integrated_gradients", 1e-4),
    (small_deepsea, "integrated_gradients", "captum_integrated_gradients", 1e-4),
    # Not DeepSEA: shap and captum have different rules for inputs of a max pool that are those of
    # the reference. Of the rest of the difference, see the rule for small changes before a ReLU.
    (small_bpnet, "deepshap", "captum_deeplift_shap", 1e-3),
]


@pytest.mark.parametrize(
    ("model", "ours", "theirs", "tolerance"),
    [pytest.param(*pair, marks=[*needs_tensorflow, *needs_captum]) for pair in PAIRS],
)
def test_captum_and_tensorflow_agree_on_equal_weights(model, ours, theirs, tolerance):
    model = model()
    x = sequences(2, model.input_shape[1], seed=1)
    (one, first), (other, second) = ran(ours, model, x), ran(theirs, model, x)
    assert one.explained == other.explained
    for a, b in zip(first.values, second.values, strict=True):
        assert relative_difference(b, a) < tolerance


@pytest.mark.parametrize("name", cases(["captum_feature_ablation"], needs_captum))
def test_feature_ablation_is_fast_ism_with_zeros(name):
    from fastism import FastISM

    model, x = small_deepsea(), sequences(2, 163)
    method, result = ran(name, model, x)
    mutants = FastISM(model, test_correctness=False)(x, replace_with=0)
    reference = keras.ops.convert_to_numpy(model(x))
    for target, values in zip(method.explained, result.values, strict=True):
        lost = reference[:, None, target.element] - mutants[..., target.element]
        for character in range(4):
            np.testing.assert_allclose(values[..., character], lost, atol=1e-6)


# ---- Taylor ISM ------------------------------------------------------------------------------


def exact_ism(model, x, positions=None):
    from fastism import NaiveISM

    result = NaiveISM(model, batch_size=32).saturate(x, positions=positions)
    return Attribution.of(result.mutants, result.positions)


def two_heads(activation, length=20):
    """A profile and a scalar output, linear or not."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((length, 4))
    x = layers.Conv1D(8, 5, padding="same", activation=activation)(inputs)
    profile = layers.Conv1D(2, 3, padding="same")(x)
    return keras.Model(inputs, [profile, layers.Dense(1)(layers.Flatten()(x))])


@pytest.mark.parametrize("name", cases(["taylor_ism"], needs_tensorflow))
def test_taylor_ism_knows_its_error(name):
    x = sequences(3, 20)
    some = np.array([2, 5, 6, 19])
    errors = {}
    for activation in ("linear", "softplus"):
        model = two_heads(activation)
        method, result = ran(name, model, x)
        assert not method.exact
        assert method.check(result).holds
        for values in result.values:
            assert np.abs(values * x).max() == 0  # nothing at the reference character
        found = [method.ism_error(result, exact_ism(model, x, p)) for p in (None, some)]
        errors[activation] = [error.difference / error.spread for error in found]
    assert max(errors["linear"]) < 1e-4
    assert min(errors["softplus"]) > 1e-2
    assert max(errors["softplus"]) < 1


@pytest.mark.parametrize("name", cases(["taylor_ism"], needs_tensorflow))
def test_the_error_of_taylor_ism_is_the_largest_difference(name):
    model, x = two_heads("softplus"), sequences(1, 20)
    method, result = ran(name, model, x)
    exact = exact_ism(model, x)
    reference = [keras.ops.convert_to_numpy(y) for y in model(x)]
    largest = 0.0
    for target, values in zip(method.explained, result.values, strict=True):
        mutants = exact.values[target.output].reshape(1, 20, 4, -1)[..., target.element]
        effect = mutants - reference[target.output].reshape(-1)[target.element]
        largest = max(largest, np.abs(values - effect).max() / effect.std())
    error = method.ism_error(result, exact)
    assert error.difference / error.spread == pytest.approx(largest, rel=1e-3)


# ---- completeness where it is hard -----------------------------------------------------------


@pytest.mark.parametrize("name", cases(["integrated_gradients"], needs_tensorflow))
def test_integrated_gradients_take_more_steps_where_fifty_are_too_few(name, monkeypatch):
    module = importlib.import_module("benchmarks.methods.integrated_gradients")
    monkeypatch.setattr(module, "STEPS", 1)
    model, x = build("basset", 60), sequences(2, 60)
    method, result = ran(name, model, x)
    check = method.check(result)
    assert check.holds
    assert "steps (" in check.identity
    assert check.identity.endswith("with 1)")


@pytest.mark.parametrize(
    "name", [*cases(["deepshap"], needs_tensorflow), *cases(["captum_deeplift_shap"], needs_captum)]
)
@pytest.mark.parametrize("architecture", ["basset", "factorized_basset"])
def test_deeplift_is_complete_with_pools_and_batch_norms(name, architecture):
    model, x = build(architecture, 60, seed=2), sequences(2, 60)
    method, result = ran(name, model, x)
    assert method.check(result).residual < 1e-3


@pytest.mark.parametrize("name", cases(["captum_deeplift_shap"], needs_captum))
@pytest.mark.parametrize(
    "model",
    [small_deepsea, lambda: build("factorized_basset", 60, seed=2)],
    ids=["small_deepsea", "factorized_basset"],
)
def test_the_check_sees_what_captum_does_where_activation_and_pool_touch(name, model, monkeypatch):
    module = importlib.import_module("benchmarks.methods.captum_deeplift_shap")
    model = model()
    x = sequences(2, model.input_shape[1])
    method, result = ran(name, model, x)
    assert method.check(result).residual < 1e-3
    monkeypatch.setattr(module, "_copy_inputs", lambda twin: [])
    method.set_up(model, x)
    check = method.check(method.run())
    assert not check.holds
    assert check.residual > 0.02


@pytest.mark.parametrize("name", cases(["deepshap"], needs_tensorflow))
def test_deepshap_fails_with_a_reason_where_shap_has_no_rule(name):
    inputs = keras.Input((12, 4))
    x = layers.Conv1D(3, 3, activation="softsign")(inputs)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(x)))
    with pytest.raises(Exception, match="shap_Softsign"):
        ran(name, model, sequences(1, 12))
    # Others go on as if nothing had happened.
    method, result = ran("gradient_x_input", model, sequences(1, 12))
    assert method.check(result).holds


@pytest.mark.parametrize("name", cases(["captum_deeplift_shap"], needs_captum))
def test_a_model_without_twin_is_refused_by_name(name):
    inputs = keras.Input((12, 4))
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(inputs)), name="mine")
    with pytest.raises(Exception, match=r"twin of a model called 'mine'.*basset_model"):
        ran(name, model, sequences(1, 12))


# ---- the parts -------------------------------------------------------------------------------


def test_completeness_residual_is_in_units_of_the_difference():
    values = np.full((2, 5, 4), 0.05)
    assert completeness_residual(values, np.array([1.0, 1.0])) == pytest.approx(0.0, abs=1e-12)
    assert completeness_residual(values, np.array([1.0, 2.0])) == pytest.approx(0.5)
    assert completeness_residual(values * np.nan, np.array([1.0, 1.0])) == np.inf
    # Terms that cancel: one thousandth of their size is a small residual, not an infinite one.
    cancelling = np.array([1.0, -1.0, 0.001]).reshape(1, 3, 1)
    assert completeness_residual(cancelling, np.zeros(1)) < 1e-3
    assert completeness_residual(np.zeros((1, 3, 1)), np.zeros(1)) == 0


def test_relative_difference_sees_shapes_and_nan():
    ones = np.ones((2, 3))
    assert relative_difference(ones * 1.5, ones) == pytest.approx(0.5)
    assert relative_difference(ones[:1], ones) == np.inf
    assert relative_difference(ones * np.nan, ones) == np.inf


@pytest.mark.parametrize(
    ("shapes", "most", "expected"),
    [
        ([(1,)], 4, [(0, 0)]),
        ([(3,)], 4, [(0, 0), (0, 1), (0, 2)]),
        ([(919,)], 4, [(0, 0), (0, 306), (0, 612), (0, 918)]),
        ([(1000,), (1,)], 4, [(0, 0), (0, 333), (0, 667), (1, 0)]),
        (
            [(2, 3), (1,), (4,)],
            11,
            [(0, i) for i in range(6)] + [(1, 0)] + [(2, i) for i in range(4)],
        ),
    ],
    ids=["one", "as many", "more", "last one", "all of three outputs"],
)
def test_explained_outputs_are_spread_evenly(shapes, most, expected):
    assert [(t.output, t.element) for t in sample_outputs(shapes, most)] == expected


@pytest.mark.parametrize(
    "module",
    ["attribution.explained", "attribution.per_output", "methods.integrated_gradients"],
)
def test_examples_run(module):
    done = doctest.testmod(importlib.import_module(f"benchmarks.{module}"))
    assert done.attempted > 0
    assert done.failed == 0
