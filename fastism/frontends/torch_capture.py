"""A torch module as a list of calls without side effects, by `torch.export`.

Requirements: torch. The module is left exactly as it was found.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from math import prod
from typing import Any

import torch

from fastism.backends.precision import torch_flags_agree

Shape = tuple[int, ...]
#: Batches to capture a module with that cannot be captured for any batch.
PRIMES = (7919, 7927, 1009, 1013, 211, 223)
#: Modules of functions of sizes, and of `operator.getitem`.
SIZES = ("_operator", "math")


def captured(
    module: torch.nn.Module, shapes: Sequence[Shape], kind: torch.dtype, device: torch.device
) -> torch.export.ExportedProgram:
    """A module's calls, with the batch axis open if the module allows that.

    Parameters
    ----------
    module : torch.nn.Module
    shapes : sequence of tuple of int
        Shapes of the inputs without the batch axis, in the module's order of axes.
    kind : torch.dtype
        Type of the inputs.
    device : torch.device

    Returns
    -------
    torch.export.ExportedProgram
        None of its calls changes a tensor in place.

    Raises
    ------
    Exception
        Whatever `torch.export` raises for a module that it cannot capture.
    """
    try:
        return _export(module, shapes, kind, device, 2, torch.export.Dim("batch"))
    except Exception:
        return _with_a_number(module, shapes, kind, device)


def _with_a_number(
    module: torch.nn.Module, shapes: Sequence[Shape], kind: torch.dtype, device: torch.device
) -> torch.export.ExportedProgram:
    """The calls of a module that makes a Python number of the batch, as `len` does.

    It is one that nothing else is a multiple of; tensors of that size are never computed.
    """
    few = [_export(module, shapes, kind, device, batch, None) for batch in (2, 3)]
    if len({len(program.graph.nodes) for program in few}) > 1:
        raise RuntimeError("it has calls for each sequence of a batch")
    return _export(module, shapes, kind, device, _rare_number(shapes), None)


def _rare_number(shapes: Sequence[Shape]) -> int:
    """A prime that divides no size of the inputs; large, unless they would not fit."""
    sizes = [n for shape in shapes for n in shape]
    bytes_each = 8 * sum(prod(shape) for shape in shapes)
    fitting = [p for p in PRIMES if p * bytes_each < 1 << 30] or PRIMES[-1:]
    return next((p for p in fitting if all(n % p for n in sizes)), fitting[0])


def _export(
    module: torch.nn.Module,
    shapes: Sequence[Shape],
    kind: torch.dtype,
    device: torch.device,
    batch: int,
    axis: Any,
) -> torch.export.ExportedProgram:
    arguments = tuple(torch.empty((batch, *x), dtype=kind, device=device) for x in shapes)
    collection = torch.export.ShapesCollection()
    for x in arguments:
        if axis is not None:
            collection[x] = {0: axis}
    dynamic = None if axis is None else collection
    with (
        at_inference(module),
        torch.no_grad(),
        warnings.catch_warnings(),
        _quiet(),
        torch_flags_agree(),
    ):
        warnings.simplefilter("ignore")
        program = torch.export.export(module, arguments, dynamic_shapes=dynamic, strict=False)
        if all(_is_functional(node) for node in program.graph.nodes):
            program.graph.eliminate_dead_code()
            return program
        # No decompositions: only what acts on tensors in place becomes functional. It captures
        # the module a second time, which takes longer than the first.
        return program.run_decompositions({})


def _is_functional(node: torch.fx.Node) -> bool:
    """Whether a call is an operator, or arithmetic of sizes, that changes none of its arguments.

    Others (with inner graphs, or steps of `torch.vmap`) become operators when captured again.
    """
    if node.op != "call_function":
        return True
    if isinstance(node.target, torch._ops.OpOverload):
        return not node.target._schema.is_mutable
    return getattr(node.target, "__module__", "") in SIZES


@contextmanager
def at_inference(module: torch.nn.Module) -> Iterator[None]:
    """Every submodule in evaluation mode; afterwards modes and buffers are what they were."""
    training = [m for m in module.modules() if m.training]
    buffers = [
        (x, x._version, x.detach().clone()) for x in module.buffers() if not x.is_inference()
    ]
    for m in training:
        m.training = False
    try:
        yield
    finally:
        for m in training:
            m.training = True
        for x, version, before in buffers:
            if x._version != version:
                with torch.no_grad():
                    x.copy_(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch.export from printing what it could not capture; the plan says it."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
