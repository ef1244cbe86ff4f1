"""A GPU that is not there: tensors of the CPU play those of a device, to see what would go wrong.

    PYTHONPATH=tests pytest -p pretended_gpu tests/test_gpu.py

PyTorch then finds one GPU. What is done with its tensors is computed on the CPU, but as there:

- tensors of the device and of the host do not meet, and NumPy cannot read the former;
- a copy that the host does not wait for arrives at the next wait, and not before;
- what makes the host wait is counted (`GPU.waits`), and is an error while a graph is recorded, as
  is host memory;
- a recorded graph gives nothing until it is replayed, and then reads the same memory again;
- factors of products are rounded where PyTorch would take TF32.

Nothing is known of speed, memory or streams. Kernels in Triton run in its interpreter, with
``TRITON_INTERPRET=1``, and are not there without. `torch.export` sees tensors of the CPU; what it
captured goes to the device.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree

import fastism.frontends.torch as front_end
from fastism.backends.precision import torch_rounds_to_tf32

CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")
ROOM = 8 << 30
PRODUCTS = {
    torch.matmul, torch.mm, torch.bmm, torch.addmm, torch.baddbmm, torch.einsum, torch.conv1d,
    torch.conv2d, functional.linear, Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__,
    Tensor.mm, Tensor.bmm, Tensor.addmm_, Tensor.baddbmm_,
}  # fmt: skip
#: The first argument is what products are added to.
ADDS = {torch.addmm, torch.baddbmm, Tensor.addmm_, Tensor.baddbmm_}
#: Indices may lie on the host.
INDEXING = {Tensor.__getitem__, Tensor.__setitem__, Tensor.index_put_}
MOVES = {Tensor.to, Tensor.cpu, Tensor.cuda}
#: Two tensors, of which nothing is computed.
TAKES_BOTH = {*MOVES, *INDEXING, Tensor.copy_, Tensor.type_as}
READS = {
    Tensor.item, Tensor.tolist, Tensor.__bool__, Tensor.__float__, Tensor.__int__,
    Tensor.__index__, Tensor.nonzero, torch.nonzero, Tensor.masked_select, torch.masked_select,
}  # fmt: skip
PROPERTIES = {"device": CUDA, "is_cuda": True, "is_cpu": False}


class DeviceError(RuntimeError):
    """What a device would not do."""


class Held(Tensor):
    """A tensor of the device."""

    @classmethod
    def __torch_function__(
        cls, function: Callable, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            return GPU.call(function, args, kwargs or {})


def held(x: Any) -> Any:
    return x.as_subclass(Held) if isinstance(x, Tensor) and not isinstance(x, Held) else x


def bare(x: Any) -> Any:
    return x.as_subclass(Tensor) if isinstance(x, Held) else x


def tensors_in(x: Any) -> list[Tensor]:
    """Those of whatever a function takes or gives."""
    return [y for y in _pytree.tree_leaves(x) if isinstance(y, Tensor)]


def memory(x: Tensor) -> int:
    """Where the numbers of a tensor are."""
    return x.untyped_storage().data_ptr()


def mapped(change: Callable[[Any], Any], x: Any) -> Any:
    """Whatever a function takes or gives, with its tensors changed."""
    return _pytree.tree_map(change, x) if tensors_in(x) else x


def rounded(x: Any) -> Any:
    """A factor in TF32: ten bits behind the first, the nearest."""
    if not isinstance(x, Tensor) or x.dtype != torch.float32:
        return x
    pattern = bare(x).detach().contiguous().view(torch.int32)
    return ((pattern + 0xFFF + (pattern >> 13 & 1)) & ~0x1FFF).view(torch.float32)


def rounds(function: Callable) -> bool:
    """Whether PyTorch rounds the factors of a function at the moment."""
    if function not in PRODUCTS:
        return False
    if function not in (torch.conv1d, torch.conv2d):
        return torch_rounds_to_tf32()
    if not hasattr(torch.backends, "fp32_precision"):
        return torch.backends.cudnn.allow_tf32
    return torch.backends.cudnn.conv.fp32_precision == "tf32"


def is_in_place(function: Callable) -> bool:
    name = function.__name__
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))


@dataclass
class Graph:
    """What was recorded, as functions that are called again."""

    steps: list[tuple[Callable[[], Any], list[Tensor | None]]] = field(default_factory=list)

    def note(self, run: Callable[[], Any], given: Any, made: Any) -> None:
        """A step: new tensors that it makes stay where they are."""
        seen = {memory(x) for x in tensors_in(given)}
        leaves = _pytree.tree_leaves(made)
        is_new = [isinstance(y, Tensor) and memory(y) not in seen for y in leaves]
        self.steps.append((run, [y if n else None for y, n in zip(leaves, is_new, strict=True)]))

    def end(self) -> None:
        """To record something is not to run it."""
        for room in (y for _, made in self.steps for y in made if y is not None):
            room.fill_(float("nan") if room.is_floating_point() else 0)
        GPU.graphs.append(self)

    def replay(self) -> None:
        GPU.replays += 1
        with torch._C.DisableTorchFunction():
            for run, rooms in self.steps:
                for y, room in zip(_pytree.tree_leaves(run()), rooms, strict=True):
                    if room is not None:
                        room.copy_(y)


@dataclass
class Event:
    """What was launched before it."""

    number: int = 0

    def record(self, stream: Any = None) -> None:
        self.number = next(GPU.numbers)

    def synchronize(self) -> None:
        GPU.wait("an event", self.number)


class Generator(torch.Generator):
    """Random numbers of the device are those of the CPU."""

    def __new__(cls, device: Any = CPU) -> Generator:
        """One of the CPU."""
        return super().__new__(cls, CPU)


@dataclass
class PretendedGPU:
    """The device.

    Attributes
    ----------
    waits : list of str
        What made the host wait.
    graphs : list of Graph
    replays : int
        Of all graphs.
    """

    waits: list[str] = field(default_factory=list)
    graphs: list[Graph] = field(default_factory=list)
    replays: int = 0
    numbers: Iterator[int] = field(default_factory=itertools.count)
    #: (number, where to, what) of copies to the host that have not arrived.
    under_way: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)
    recording: Graph | None = None
    pinned: set[int] = field(default_factory=set)

    # ---- waiting ------------------------------------------------------------------------

    def wait(self, why: str, number: float = float("inf")) -> None:
        """The host waits for what was launched up to some number."""
        self.waits.append(why)
        if self.recording is not None:
            raise DeviceError(f"{why} is not permitted while a graph is recorded")
        arrived = [each for each in self.under_way if each[0] <= number]
        self.under_way = [each for each in self.under_way if each[0] > number]
        for _, room, data in arrived:
            room.copy_(data)

    # ---- calls --------------------------------------------------------------------------

    def call(self, function: Callable, args: Any, kwargs: dict[str, Any]) -> Any:
        """What a function of PyTorch does on this device."""
        name = getattr(getattr(function, "__self__", None), "__name__", "")
        if function.__name__ == "__get__" and name in PROPERTIES:
            return PROPERTIES[name]
        if function is torch._has_compatible_shallow_copy_type:
            return isinstance(args[0], Held) == isinstance(args[1], Held)
        if function in (Tensor.pin_memory, Tensor.is_pinned):
            return self._pinned(function, args[0])
        if function in (Tensor.numpy, Tensor.__array__):
            raise TypeError("NumPy cannot read a tensor of the device")
        if function is Tensor.__deepcopy__:
            return held(bare(args[0].detach()).clone())
        if function in READS:
            self.wait(function.__name__)
        if function is Tensor.copy_:
            return self._copied(*args, **kwargs)
        tensors = tensors_in((args, kwargs))
        here = any(isinstance(x, Held) for x in tensors)
        place = placed(function, args, kwargs)
        if function in MOVES and place is not None:
            return self._moved(args, kwargs, place)
        if here and function not in TAKES_BOTH:
            for x in tensors:
                if not isinstance(x, Held) and x.dim():
                    raise DeviceError(f"{function}: {tuple(x.shape)} lies on the host")
        return self._run(function, args, kwargs, here, place)

    def _run(
        self, function: Callable, args: Any, kwargs: Any, here: bool, place: torch.device | None
    ) -> Any:
        given = [mapped(bare, x) for x in args], {k: mapped(bare, x) for k, x in kwargs.items()}
        if place is not None:
            given[1]["device"] = CPU
        pinned = given[1].pop("pin_memory", False)

        in_tf32 = rounds(function)

        def run() -> Any:
            whole = given[0][: function in ADDS]
            factors = given[0][len(whole) :]
            if in_tf32:
                factors = [mapped(rounded, x) for x in factors]
            return function(*whole, *factors, **given[1])

        made = run()
        if self.recording is not None and (here or place == CUDA):
            self.recording.note(run, given, made)
        if pinned:
            self.pinned.add(memory(made))
        if is_in_place(function):
            return None if function is Tensor.__setitem__ else args[0]
        goes = here if place is None else place == CUDA
        return mapped(held, made) if goes else made

    def launch(self, start: Callable, *args: Any, **kwargs: Any) -> None:
        """Launch a program in Triton, which reads memory of the device only."""
        given = mapped(bare, (args, kwargs))
        for x in tensors_in((args, kwargs)):
            if not isinstance(x, Held):
                raise DeviceError(f"a pointer to {tuple(x.shape)} on the host")

        def run() -> None:
            start(*given[0], **given[1])

        run()
        if self.recording is not None:
            self.recording.note(run, given, None)

    # ---- copies -------------------------------------------------------------------------

    def _pinned(self, function: Callable, x: Tensor) -> Any:
        if function is Tensor.is_pinned:
            return memory(x) in self.pinned
        if isinstance(x, Held):
            raise DeviceError("only memory of the host can be pinned")
        made = x.clone()
        self.pinned.add(memory(made))
        return made

    def _moved(self, args: Any, kwargs: Any, place: torch.device) -> Tensor:
        """`Tensor.to` and its like."""
        x = args[0]
        others = [a.dtype if isinstance(a, Tensor) else a for a in args[1:]]
        kinds = [a for a in (*others, kwargs.get("dtype")) if isinstance(a, torch.dtype)]
        kind = kinds[0] if kinds else x.dtype
        if isinstance(x, Held) == (place.type == "cuda"):
            if kind == x.dtype and not kwargs.get("copy"):
                return x
            return self._run(Tensor.to, (x, kind), {"copy": True}, isinstance(x, Held), None)
        made = torch.empty(x.shape, dtype=kind)
        made = held(made) if place.type == "cuda" else made
        return self._copied(made, x, kwargs.get("non_blocking", False))

    def _copied(self, to: Tensor, x: Tensor, non_blocking: bool = False) -> Tensor:
        """`Tensor.copy_`."""
        if isinstance(to, Held) == isinstance(x, Held) or not x.numel():
            return self._run(Tensor.copy_, (to, x), {}, isinstance(to, Held), None)
        if self.recording is not None:
            raise DeviceError("memory of the host in a graph that is recorded")
        host = x if isinstance(to, Held) else to
        data = bare(x).clone()
        if not non_blocking or memory(host) not in self.pinned:
            self.wait("a copy")
            bare(to).copy_(data)
        elif isinstance(to, Held):
            bare(to).copy_(data)
        else:
            to.fill_(float("nan") if to.is_floating_point() else -1)
            self.under_way.append((next(self.numbers), to, data))
        return to

    @contextlib.contextmanager
    def record(self, graph: Graph, **settings: Any) -> Iterator[None]:
        """As `torch.cuda.graph`."""
        self.recording = graph
        try:
            yield
        finally:
            self.recording = None
        graph.end()


GPU = PretendedGPU()


def placed(function: Callable, args: Any, kwargs: dict[str, Any]) -> torch.device | None:
    """The device that a call names; None for none."""
    if function in (Tensor.cuda, Tensor.cpu):
        return CUDA if function is Tensor.cuda else CPU
    asked = kwargs.get("device")
    if asked is None and function is Tensor.to and len(args) > 1:
        like = args[1]
        asked = like if isinstance(like, str | torch.device) else None
        if isinstance(like, Tensor):
            asked = CUDA if isinstance(like, Held) else CPU
    return None if asked is None else CUDA if torch.device(asked).type == "cuda" else CPU


class Everywhere(TorchFunctionMode):
    """Calls that make tensors, which no tensor of the device takes part in."""

    def __torch_function__(
        self, function: Callable, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        makes = placed(function, args, kwargs) is not None or kwargs.get("pin_memory")
        there = any(isinstance(x, Held) for x in _pytree.tree_leaves((args, kwargs)))
        if not (makes or there or function in (Tensor.pin_memory, Tensor.is_pinned)):
            return function(*args, **kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            return GPU.call(function, args, kwargs)


def on_the_host(module: torch.nn.Module) -> torch.nn.Module:
    """A copy of a module whose tensors are of the CPU."""
    there = {id(x): bare(x.detach()) for x in (*module.parameters(), *module.buffers())}
    for x in module.parameters():
        there[id(x)] = torch.nn.Parameter(there[id(x)], x.requires_grad)
    return copy.deepcopy(module, there)


def take_along(program: torch.export.ExportedProgram) -> None:
    """Put what was captured on the CPU on the device."""
    for name, x in program._state_dict.items():
        there = held(x.detach())
        if isinstance(x, torch.nn.Parameter):
            there = torch.nn.Parameter(there, x.requires_grad)
        program._state_dict[name] = there
    program._constants.update({name: held(x) for name, x in program._constants.items()})
    for node in program.graph.nodes:
        if "device" in node.kwargs:
            node.kwargs = {**node.kwargs, "device": CUDA}


def install() -> None:
    """Make PyTorch find the device."""
    for name, value in {
        "is_available": True, "device_count": 1, "current_device": 0, "mem_get_info": (ROOM, ROOM),
        "get_device_name": "pretended", "get_device_capability": (9, 0), "memory_reserved": 0,
        "memory_allocated": 0, "max_memory_allocated": 0, "current_stream": None,
        "graph_pool_handle": None, "empty_cache": None, "reset_peak_memory_stats": None,
        "_lazy_init": None, "device": contextlib.nullcontext(),
    }.items():  # fmt: skip
        setattr(torch.cuda, name, lambda *given, value=value: value)
    torch.Generator = Generator
    torch.cuda.synchronize = lambda *given: GPU.wait("synchronize")
    torch.cuda.Event, torch.cuda.CUDAGraph, torch.cuda.graph = Event, Graph, GPU.record
    everywhere = Everywhere()
    everywhere.__enter__()
    export = front_end.captured

    def captured(module: torch.nn.Module, shapes: Any, kind: Any, device: Any) -> Any:
        everywhere.__exit__(None, None, None)
        try:
            program = export(on_the_host(module), shapes, kind, CPU)
        finally:
            everywhere.__enter__()
        if torch.device(device).type == "cuda":
            take_along(program)
        return program

    front_end.captured = captured
    if os.environ.get("TRITON_INTERPRET") != "1":
        sys.modules["triton"] = None  # type: ignore[assignment]
    elif find_spec("triton") is not None:
        executor = importlib.import_module("triton.runtime.interpreter").GridExecutor
        start = executor.__call__
        executor.__call__ = lambda self, *args, **kwargs: GPU.launch(
            partial(start, self), *args, **kwargs
        )


install()
