"""The PyTorch twins: equal outputs with equal weights, both ways, and no Keras."""

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the twins are PyTorch modules")
keras = pytest.importorskip("keras", reason="the twins are compared with Keras models")

from keras import layers  # noqa: E402
from torch import nn  # noqa: E402

import fastism.models  # noqa: E402
from benchmarks.architectures import randomise_batch_norm  # noqa: E402
from fastism.errors import FastISMError  # noqa: E402
from fastism.models import torch as twins  # noqa: E402
from fastism.models.transfer import to_keras, to_torch  # noqa: E402

pytestmark = [pytest.mark.tensorflow, pytest.mark.torch]

CASES = {
    "basset": ("basset_model", {"seqlen": 210, "num_outputs": 3}),
    "basset with 5 characters": ("basset_model", {"seqlen": 48, "numchars": 5}),
    "factorized_basset": ("factorized_basset_model", {"seqlen": 150, "num_outputs": 2}),
    "bpnet": ("bpnet_model", {"seqlen": 101, "num_dilated_convs": 7}),
    "bpnet with 2 tasks": (
        "bpnet_model",
        {"seqlen": 30, "numchars": 5, "num_dilated_convs": 0, "num_tasks": 2},
    ),
    "deepsea": ("deepsea_model", {"seqlen": 201, "num_outputs": 11}),
    "beluga": ("beluga_model", {"seqlen": 345, "num_outputs": 12}),
}


def pair(case):
    """A Keras model with batch norms that do something, and its twin, fresh."""
    name, arguments = CASES[case]
    keras.utils.set_random_seed(4)
    model = getattr(fastism.models, name)(**arguments)
    randomise_batch_norm(model, seed=1)
    torch.manual_seed(9)
    return model, getattr(twins, name)(**arguments).eval()


def inputs_of(model, number=3):
    length, characters = model.input_shape[1:]
    letters = np.random.default_rng(0).integers(characters, size=(number, length))
    return np.eye(characters, dtype=np.float32)[letters]


def keras_outputs(model, x):
    return [keras.ops.convert_to_numpy(y) for y in keras.tree.flatten(model(x, training=False))]


def torch_outputs(module, x):
    with torch.no_grad():
        y = module(torch.from_numpy(np.ascontiguousarray(x.swapaxes(1, 2))))
    return [one.numpy() for one in (y if isinstance(y, list) else [y])]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, np.abs(a).max()))


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_equal_with_the_weights_of_keras(case):
    model, module = pair(case)
    x = inputs_of(model)
    expected = keras_outputs(model, x)
    assert (
        max(np.abs(a - b).max() for a, b in zip(expected, torch_outputs(module, x), strict=True))
        > 1e-3
    )
    to_torch(model, module)
    assert_same(expected, torch_outputs(module, x))
    assert not module.training
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_equal_with_the_weights_of_pytorch(case):
    model, module = pair(case)
    generator = torch.Generator().manual_seed(2)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0, generator=generator)
    x = inputs_of(model)
    to_keras(module, model)
    assert_same(torch_outputs(module, x), keras_outputs(model, x))


@pytest.mark.parametrize("case", ["basset", "bpnet", "beluga"])
def test_there_and_back_changes_nothing(case):
    model, module = pair(case)
    before = model.get_weights()
    to_torch(model, module)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    model.set_weights([np.zeros_like(weight) for weight in before])
    to_keras(module, model)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    to_torch(model, module)
    for name, value in module.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize("case", CASES)
def test_twins_are_as_large_as_the_models(case):
    model, module = pair(case)
    statistics = [b for n, b in module.named_buffers() if not n.endswith("num_batches_tracked")]
    count = sum(weight.numel() for weight in [*module.parameters(), *statistics])
    assert count == model.count_params()


@pytest.mark.parametrize("case", CASES)
def test_every_activation_is_a_module_that_is_used_once(case):
    _, module = pair(case)
    calls = {}
    kinds = (nn.ReLU, nn.Sigmoid, nn.MaxPool1d)
    for name, child in module.named_modules():
        if isinstance(child, kinds):
            calls[name] = 0
            child.register_forward_hook(
                lambda *_, name=name: calls.__setitem__(name, calls[name] + 1)
            )
    model, _ = pair(case)
    torch_outputs(module, inputs_of(model))
    assert calls
    assert set(calls.values()) == {1}


def test_training_of_a_twin_moves_the_statistics_as_in_keras():
    model, module = pair("basset with 5 characters")
    to_torch(model, module)
    x = inputs_of(model, 8)
    model(x, training=True)
    module.train()
    module(torch.from_numpy(np.ascontiguousarray(x.swapaxes(1, 2))))
    mean = keras.ops.convert_to_numpy(model.get_layer("conv1_norm").moving_mean.value)
    np.testing.assert_allclose(module.conv1_norm.running_mean.numpy(), mean, atol=1e-5)


@pytest.mark.parametrize(
    ("builder", "arguments"),
    [
        ("basset_model", {"seqlen": 47}),
        ("basset_model", {"numchars": 0}),
        ("factorized_basset_model", {"num_outputs": 1.5}),
        ("bpnet_model", {"num_dilated_convs": -1}),
        ("bpnet_model", {"num_tasks": 0}),
        ("deepsea_model", {"seqlen": 162}),
        ("beluga_model", {"seqlen": 309}),
        ("beluga_model", {"num_outputs": "all"}),
    ],
)
def test_arguments_are_checked_in_the_words_of_the_keras_builders(builder, arguments):
    (name,) = arguments
    with pytest.raises(FastISMError, match=f"{builder}: {name}=") as ours:
        getattr(twins, builder)(**arguments)
    with pytest.raises(FastISMError) as theirs:
        getattr(fastism.models, builder)(**arguments)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("builder", ["basset_model", "deepsea_model", "beluga_model"])
def test_the_shortest_length_works(builder):
    shortest = {"basset_model": 48, "deepsea_model": 163, "beluga_model": 310}[builder]
    module = getattr(twins, builder)(seqlen=shortest).eval()
    assert torch.isfinite(module(torch.zeros(1, 4, shortest))).all()


# ---- what does not fit -----------------------------------------------------------------------


def keras_model(dense=3, width=3, epsilon=1e-3, padding="same", **settings):
    """Convolution, batch norm, Flatten and a dense layer."""
    inputs = keras.Input((8, 4))
    x = layers.Conv1D(5, width, padding=padding, name="conv", **settings)(inputs)
    x = layers.BatchNormalization(epsilon=epsilon, name="norm")(x)
    x = layers.Dense(dense, name="fc")(layers.Flatten()(x))
    return keras.Model(inputs, x, name="small")


def torch_module(**changes):
    modules = {
        "conv": nn.Conv1d(4, 5, 3, padding="same"),
        "norm": nn.BatchNorm1d(5, eps=1e-3),
        "flatten": nn.Flatten(),
        "fc": nn.Linear(40, 3),
    } | changes
    module = nn.Sequential()
    for name, child in modules.items():
        if child is not None:
            module.add_module(name, child)
    return module


MISFITS = {
    "another width": (keras_model, {"conv": nn.Conv1d(4, 5, 5, padding=1)}, r"conv.*\(5, 4, 3\)"),
    "more filters": (keras_model, {"fc": nn.Linear(40, 4)}, "fc, kernel"),
    "another epsilon": (keras_model, {"norm": nn.BatchNorm1d(5)}, "norm.*epsilon=0.001.*eps=1e-05"),
    "another padding": (
        keras_model,
        {"conv": nn.Conv1d(4, 5, 3)},
        r"padding='same'.* and \(0,\) in",
    ),
    "another stride": (
        lambda: keras_model(strides=2, padding="valid"),
        {"conv": nn.Conv1d(4, 5, 3)},
        "strides",
    ),
    "another dilation": (
        keras_model,
        {"conv": nn.Conv1d(4, 5, 3, padding=2, dilation=2)},
        "dilation_rate",
    ),
    "no bias": (keras_model, {"fc": nn.Linear(40, 3, bias=False)}, "fc.*bias"),
    "no statistics": (
        keras_model,
        {"norm": nn.BatchNorm1d(5, eps=1e-3, track_running_stats=False)},
        "track_running_stats",
    ),
    "another kind": (keras_model, {"fc": nn.Conv1d(40, 3, 1)}, "Dense in Keras and Conv1d"),
    "another name": (
        keras_model,
        {"fc": None, "out": nn.Linear(40, 3)},
        "only Keras has fc, only PyTorch has out",
    ),
}


@pytest.mark.parametrize("what", MISFITS)
@pytest.mark.parametrize(
    "direction",
    [to_torch, lambda model, module: to_keras(module, model)],
    ids=["to_torch", "to_keras"],
)
def test_what_does_not_fit_is_refused_and_nothing_is_changed(what, direction):
    build, changes, message = MISFITS[what]
    model, module = build(), torch_module(**changes)
    weights = model.get_weights()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(FastISMError, match=message):
        direction(model, module)
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for name, value in module.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_norm_without_scale_is_one_of_ones():
    inputs = keras.Input((8, 4))
    x = layers.BatchNormalization(scale=False, center=False, name="norm")(inputs)
    model, module = keras.Model(inputs, x), torch_module(conv=None, fc=None, flatten=None)
    module.norm = nn.BatchNorm1d(4, eps=1e-3)
    nn.init.constant_(module.norm.weight, 2.0)
    with pytest.raises(FastISMError, match=r"norm, scale: .*not 1 throughout"):
        to_keras(module, model)
    to_torch(model, module)
    assert (module.norm.weight == 1).all()
    to_keras(module, model)


@pytest.mark.parametrize(
    "between",
    [layers.BatchNormalization, lambda **k: layers.Rescaling(2.0)],
    ids=["batch norm", "rescaling"],
)
def test_features_in_unknown_order_are_refused(between):
    inputs = keras.Input((8, 4))
    x = between(name="between")(layers.Flatten()(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="fc")(x))
    module = nn.Sequential()
    if model.get_layer(index=2).weights:
        module.add_module("between", nn.BatchNorm1d(32, eps=1e-3))
    module.add_module("fc", nn.Linear(32, 2))
    with pytest.raises(FastISMError, match="order of the inputs of 'fc'"):
        to_torch(model, module)


# ---- imports ---------------------------------------------------------------------------------


def test_twins_need_no_keras():
    code = (
        "import sys; from fastism.models.torch import basset_model; import fastism.models.transfer;"
        "basset_model(48); found = {'keras', 'tensorflow', 'jax'} & set(sys.modules);"
        "sys.exit(', '.join(found) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_builders_are_found_when_asked_for():
    assert fastism.models.basset_model.__module__ == "fastism.models.basset"
    assert set(fastism.models.__all__) <= set(dir(twins)) | {"none"}
    with pytest.raises(AttributeError, match="no attribute 'alexnet_model'"):
        _ = fastism.models.alexnet_model
