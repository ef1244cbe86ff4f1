"""How matrix products round single-precision numbers, settled for the time of a call.

Requirements: none; the framework in question is imported when it is asked about.

Frameworks may round the factors of a product to TF32 or bfloat16, by default or because the user's
process said so. Here that is switched off, or to TF32 where it is asked for, and left as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from operator import attrgetter
from typing import Any, TypeVar

from fastism.errors import FastISMError

T = TypeVar("T")

#: What `precision=` may be.
PRECISIONS = ("float32", "tf32")
#: Compute capability of the first NVIDIA GPUs that multiply in TF32.
TF32_CAPABILITY = (8, 0)
#: Where torch keeps what products round to: for NVIDIA's libraries and for oneDNN on a CPU.
_TORCH = ("cuda.matmul", "cudnn.conv", "cudnn.rnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")


def check_precision(precision: str, framework: str, device: str | None, dtype: str) -> str:
    """The precision, if it can be had.

    Parameters
    ----------
    precision : {"float32", "tf32"}
        "float32" is that of the model: nothing is rounded further, also in float64.
    framework : {"tensorflow", "torch", "jax"}
    device : str or None
        Where torch keeps the model; the framework's choice by default.
    dtype : {"float32", "float64"}
        Type that the model computes in.

    Raises
    ------
    FastISMError
        For another precision, and for TF32 on a device or with a model that does not have it.
    """
    if precision == "bfloat16":
        raise FastISMError(
            "precision='bfloat16' is not supported: it keeps 8 bits of each factor, and effects of "
            "mutations were measured to be off by up to 11 of their standard deviations. Use "
            "'float32', or 'tf32' on an NVIDIA GPU."
        )
    if precision not in PRECISIONS:
        expected = ", ".join(PRECISIONS)
        raise FastISMError(f"precision={precision!r} was given; expected one of {expected}.")
    if precision == "tf32" and dtype != "float32":
        raise FastISMError(
            f"precision='tf32' is for models in float32; this one computes in {dtype}. "
            "Use precision='float32', which keeps the type of the model."
        )
    if precision == "tf32" and not has_tf32(framework, device):
        raise FastISMError(
            f"precision='tf32' needs an NVIDIA GPU of compute capability 8.0 or more, which "
            f"{framework} does not use here. Use precision='float32'."
        )
    return precision


def has_tf32(framework: str, device: str | None = None) -> bool:
    """Whether the device that a framework computes on multiplies in TF32."""
    return _capability(framework, device) >= TF32_CAPABILITY


def _capability(framework: str, device: str | None) -> tuple[int, int]:
    """Compute capability of the GPU in use, (0, 0) where there is none."""
    if framework == "torch":
        import torch

        if not torch.cuda.is_available() or not (device or "cuda").startswith("cuda"):
            return 0, 0
        return torch.cuda.get_device_capability(device or "cuda")
    if framework == "jax":
        import jax

        found = str(getattr(jax.devices()[0], "compute_capability", "0.0"))
        major, _, minor = found.partition(".")
        # AMD's GPUs name their architecture here.
        return (int(major), int(minor)) if (major + minor).isdecimal() else (0, 0)
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(devices[0]) if devices else {}
    return details.get("compute_capability", (0, 0))


@contextmanager
def products_in(framework: str, precision: str) -> Iterator[None]:
    """Products of a framework in `precision` in here, and as before afterwards.

    Parameters
    ----------
    framework : {"tensorflow", "torch", "jax"}
        Others (NumPy) have nothing to settle.
    precision : {"float32", "tf32"}
    """
    contexts = {"torch": _torch, "jax": _jax, "tensorflow": _tensorflow}
    if framework not in contexts:
        yield
        return
    with contexts[framework](precision):
        yield


@contextmanager
def _torch(precision: str) -> Iterator[None]:
    import torch

    if not hasattr(torch.backends, "fp32_precision"):
        with _older_torch(precision == "tf32"):
            yield
        return
    places = [attrgetter(name)(torch.backends) for name in _TORCH]
    before = [place.fp32_precision for place in places]
    try:
        for name, place in zip(_TORCH, places, strict=True):
            rounded = precision == "tf32" and not name.startswith("mkldnn")
            place.fp32_precision = "tf32" if rounded else "ieee"
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value


@contextmanager
def _older_torch(rounded: bool) -> Iterator[None]:
    """Before torch 2.9 one word settled matrix products and a flag convolutions."""
    import torch

    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("high" if rounded else "highest")
        torch.backends.cudnn.allow_tf32 = rounded
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@contextmanager
def torch_flags_agree() -> Iterator[None]:
    """The two ways of PyTorch to allow TF32 say the same in here.

    `torch.export` asks the older one (``cudnn.allow_tf32``), which is an error where the newer one
    (``cudnn.conv.fp32_precision``) says something else, such as in a process that switched TF32
    off. How a module is captured does not depend on them.
    """
    import torch

    if not hasattr(torch.backends, "fp32_precision"):
        yield
        return
    places = torch.backends.cudnn.conv, torch.backends.cudnn.rnn
    before = [place.fp32_precision for place in places]
    try:
        for value in ("tf32", "ieee"):
            for place in places:
                place.fp32_precision = value
            if _older_flag_can_be_read():
                break
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.fp32_precision = value


def _older_flag_can_be_read() -> bool:
    import torch

    try:
        return torch.backends.cudnn.allow_tf32 is not None
    except RuntimeError:
        return False


def torch_rounds_to_tf32() -> bool:
    """Whether matrix products of torch on a GPU round their factors to TF32 at the moment."""
    import torch

    if not hasattr(torch.backends, "fp32_precision"):
        return torch.get_float32_matmul_precision() != "highest"
    return torch.backends.cuda.matmul.fp32_precision == "tf32"


def _jax(precision: str) -> AbstractContextManager[Any]:
    import jax

    return jax.default_matmul_precision("tensorfloat32" if precision == "tf32" else "highest")


@contextmanager
def _tensorflow(precision: str) -> Iterator[None]:
    import tensorflow as tf

    settings = tf.config.experimental
    before = settings.tensor_float_32_execution_enabled()
    try:
        settings.enable_tensor_float_32_execution(precision == "tf32")
        yield
    finally:
        settings.enable_tensor_float_32_execution(before)


def each_in(items: Iterator[T], context: Callable[[], AbstractContextManager[Any]]) -> Iterator[T]:
    """`items`, each made inside a context of its own: between them all is as before."""
    iterator = iter(items)
    while True:
        with context():
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item
