"""Weights of a Keras model into its twin in PyTorch, and back.

Requirements: numpy. Neither framework is imported here; models bring their own.

Layers are paired by name. What differs between the two is put right: kernels are
``(width, in, out)`` in Keras and ``(out, in, width)`` in PyTorch, dense kernels ``(in, out)`` and
``(out, in)``. Keras flattens ``(positions, channels)`` and PyTorch ``(channels, positions)``, so
that the inputs of a dense layer that follows a Flatten are permuted as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastism.errors import FastISMError

Permutation = Callable[[np.ndarray], np.ndarray]

#: Keras layer -> the PyTorch module that has its weights.
KINDS = {
    "Conv1D": "Conv1d",
    "Conv1DTranspose": "ConvTranspose1d",
    "Dense": "Linear",
    "BatchNormalization": "BatchNorm1d",
}
# Layers that leave the order of features as it is.
_PASSED = ("Dropout", "Activation", "ReLU", "BatchNormalization")
# Settings that change what the same weights do: Keras attribute, PyTorch attribute.
_SETTINGS = {
    "Conv1D": (("strides", "stride"), ("dilation_rate", "dilation"), ("groups", "groups")),
    "Conv1DTranspose": (("strides", "stride"), ("dilation_rate", "dilation")),
    "BatchNormalization": (("epsilon", "eps"),),
    "Dense": (),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """One array on both sides.

    Attributes
    ----------
    name : str
        Layer and weight, for messages.
    variable : keras.Variable or None
        None where Keras leaves the weight out and PyTorch has it: a scale of ones or an offset of
        zeros.
    tensor : torch.Tensor
        A parameter or a buffer.
    default : float
        What stands for the weight where `variable` is None.
    there, back : callable
        From the array of Keras to that of PyTorch, and the inverse.
    """

    name: str
    variable: Any
    tensor: Any
    default: float
    there: Permutation
    back: Permutation


def to_torch(keras_model: Any, module: Any) -> None:
    """Copy the weights of a Keras model into a PyTorch module.

    Parameters
    ----------
    keras_model : keras.Model
        Functional or Sequential, built, not nested; on any Keras backend.
    module : torch.nn.Module
        Has one submodule per layer with weights, of the name of the layer. Changed in place; its
        device, dtypes and mode stay as they are.

    Raises
    ------
    FastISMError
        Layers, shapes or settings of the two do not fit; nothing has been changed then.
    """
    arrays = []
    for pair in _pairs(keras_model, module):
        shape = tuple(pair.tensor.shape)
        if pair.variable is None:
            array = np.full(shape, pair.default, dtype=np.float32)
        else:
            array = pair.there(_array(pair.variable))
        _check_shape(pair.name, array.shape, shape)
        arrays.append((pair.tensor, np.ascontiguousarray(array)))
    for tensor, array in arrays:
        # Through `data`, so that a parameter needs no graph of gradients switched off.
        target = tensor.data
        target.copy_(target.new_tensor(array))


def to_keras(module: Any, keras_model: Any) -> None:
    """Copy the weights of a PyTorch module into a Keras model.

    Parameters
    ----------
    module : torch.nn.Module
    keras_model : keras.Model
        As for `to_torch`. Changed in place.

    Raises
    ------
    FastISMError
        Layers, shapes or settings of the two do not fit, or PyTorch has a scale or an offset that
        the Keras model leaves out; nothing has been changed then.
    """
    arrays = []
    for pair in _pairs(keras_model, module):
        array = pair.tensor.detach().cpu().numpy()
        if pair.variable is None:
            if not (array == pair.default).all():
                raise FastISMError(
                    f"{pair.name}: the Keras layer has no such weight, and the module's is not "
                    f"{pair.default:g} throughout. Build the Keras layer with it."
                )
            continue
        # What PyTorch would have for the Keras weight is compared, as that needs no inverse.
        _check_shape(pair.name, pair.there(np.empty(pair.variable.shape)).shape, array.shape)
        arrays.append((pair.variable, pair.back(array)))
    for variable, array in arrays:
        variable.assign(array)


def _pairs(keras_model: Any, module: Any) -> list[Pair]:
    """Every array of the two, paired; all of both are accounted for."""
    pairs: list[Pair] = []
    layers = [layer for layer in keras_model.layers if layer.weights]
    submodules = {
        name: child
        for name, child in module.named_modules()
        if [*child.parameters(recurse=False), *child.buffers(recurse=False)]
    }
    missing = [layer.name for layer in layers if layer.name not in submodules]
    extra = [name for name in submodules if name not in {layer.name for layer in layers}]
    if missing or extra:
        raise FastISMError(
            f"The layers of {keras_model.name!r} and {type(module).__name__} do not fit: "
            f"only Keras has {', '.join(missing) or 'none'}, only PyTorch has "
            f"{', '.join(extra) or 'none'}. Layers with weights must have the names of submodules."
        )
    for layer in layers:
        pairs += _pairs_of(layer, submodules[layer.name])
    return pairs


def _pairs_of(layer: Any, child: Any) -> Iterator[Pair]:
    kind, other = type(layer).__name__, type(child).__name__
    if KINDS.get(kind) != other:
        known = ", ".join(f"{a} with {b}" for a, b in KINDS.items())
        raise FastISMError(
            f"Layer {layer.name!r} is {kind} in Keras and {other} in PyTorch; supported are "
            f"{known}."
        )
    _check_settings(layer, child)
    if kind == "BatchNormalization":
        yield _plain(layer.name, "scale", layer.gamma, child.weight, 1.0)
        yield _plain(layer.name, "offset", layer.beta, child.bias, 0.0)
        yield _plain(layer.name, "mean", layer.moving_mean, child.running_mean, 0.0)
        yield _plain(layer.name, "variance", layer.moving_variance, child.running_var, 1.0)
        return
    there, back = _dense_order(layer) if kind == "Dense" else (_reversed_axes, _reversed_axes)
    yield Pair(f"{layer.name}, kernel", layer.kernel, child.weight, 0.0, there, back)
    if child.bias is not None:
        yield _plain(layer.name, "bias", layer.bias, child.bias, 0.0)
    elif layer.bias is not None:
        raise FastISMError(f"Layer {layer.name!r} has a bias in Keras and none in PyTorch.")


def _plain(layer: str, what: str, variable: Any, tensor: Any, default: float) -> Pair:
    if tensor is None:
        raise FastISMError(
            f"Layer {layer!r} has no {what} in PyTorch; build the module with affine=True and "
            "track_running_stats=True."
        )
    return Pair(f"{layer}, {what}", variable, tensor, default, _same, _same)


def _check_settings(layer: Any, child: Any) -> None:
    for ours, theirs in _SETTINGS[type(layer).__name__]:
        a, b = getattr(layer, ours), getattr(child, theirs)
        if np.ravel(a).tolist() != np.ravel(b).tolist():
            raise FastISMError(
                f"Layer {layer.name!r} has {ours}={a} in Keras and {theirs}={b} in PyTorch; with "
                "the same weights they would do different things. Build them alike."
            )
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise FastISMError(f"Layer {layer.name!r} is {layer.data_format}; expected channels_last.")
    if hasattr(layer, "padding"):
        _check_padding(layer, child)


def _check_padding(layer: Any, child: Any) -> None:
    """Compare how many positions are added (or, of a transposed convolution, cut off)."""
    reach = (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
    known = {"valid": 0, "same": reach}
    theirs = child.padding
    if isinstance(theirs, str):
        total = known[theirs]
    else:
        total = 2 * int(np.ravel(theirs)[0])
    strided = layer.padding == "same" and max(np.ravel(layer.strides)) > 1
    if strided or known.get(layer.padding) != total or child.padding_mode != "zeros":
        raise FastISMError(
            f"Layer {layer.name!r} has padding={layer.padding!r} in Keras and {theirs!r} in "
            'PyTorch; supported are "valid" with 0 and, without strides, "same" with as much.'
        )


def _check_shape(name: str, expected: tuple[int, ...], found: tuple[int, ...]) -> None:
    if tuple(expected) != tuple(found):
        raise FastISMError(
            f"{name}: Keras has {tuple(expected)}, in PyTorch's order of axes, and PyTorch "
            f"{tuple(found)}. Build both with the same arguments."
        )


def _dense_order(layer: Any) -> tuple[Permutation, Permutation]:
    """How the kernel of a dense layer is turned, and its inputs where they were flattened."""
    flattened = _flattened(layer)
    if flattened is None:
        return _reversed_axes, _reversed_axes
    length, channels = flattened

    def there(kernel: np.ndarray) -> np.ndarray:
        units = kernel.shape[1]
        return kernel.reshape(length, channels, units).transpose(2, 1, 0).reshape(units, -1)

    def back(weight: np.ndarray) -> np.ndarray:
        units = weight.shape[0]
        return weight.reshape(units, channels, length).transpose(2, 1, 0).reshape(-1, units)

    return there, back


def _flattened(layer: Any) -> tuple[int, int] | None:
    """``(positions, channels)`` that a Flatten before a dense layer has put into one axis."""
    x, normalised = layer.input, False
    while True:
        previous = x._keras_history.operation
        kind = type(previous).__name__
        if kind == "Flatten" and not normalised:
            shape = tuple(previous.input.shape[1:])
            return shape if len(shape) == 2 else None
        if kind in ("Dense", "InputLayer") or kind.startswith("Global"):
            return None
        if kind not in _PASSED:
            raise FastISMError(
                f"The order of the inputs of {layer.name!r} cannot be told, as {previous.name!r} "
                f"({kind}) comes before it; supported are Flatten (with no batch norm between "
                "them), Dense, global pooling, dropout and activations."
            )
        normalised |= kind == "BatchNormalization"
        x = previous.input


def _array(variable: Any) -> np.ndarray:
    value = variable.value
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)


def _reversed_axes(array: np.ndarray) -> np.ndarray:
    return array.transpose()


def _same(array: np.ndarray) -> np.ndarray:
    return array
