"""PyTorch modules: captured by `torch.export`, and run as they are; always as at inference.

Requirements: torch. The module is left exactly as it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from math import prod
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

from fastism.backends.precision import products_in
from fastism.backends.triton_runtime import keep_out
from fastism.errors import FastISMError
from fastism.frontends.mutant_batches import Batches, host_batches
from fastism.frontends.torch_batches import NumbersRead, calls, coupled_layer
from fastism.frontends.torch_capture import at_inference, captured
from fastism.frontends.torch_exported import fixed_batch
from fastism.frontends.torch_graph import Translated, Translation
from fastism.frontends.torch_macs import Sized, multiply_adds
from fastism.frontends.torch_outputs import names_of_outputs
from fastism.frontends.torch_shapes import SHAPE_REMEDY, Shape, input_shapes
from fastism.frontends.torch_subgraphs import depends_on_memory
from fastism.frontends.torch_values import Value
from fastism.graph.nodes import Graph, GraphBuilder
from fastism.rules import Opaque, Source

TYPE_REMEDY = (
    " All inputs arrive as {}: an index, as into an embedding, must be made an integer by the "
    "module, x.long()."
)


class TorchFrontEnd:
    """A torch module; see `fastism.frontends.base.FrontEnd`.

    Parameters
    ----------
    module : torch.nn.Module
    seq_input_idx : int
    seqlen : int or None
    input_shape : tuple of int, or sequence of them, or None
        Shapes of the inputs without the batch axis, in the module's order of axes.
    channels_last : bool or None
        Whether the sequence is ``(length, characters)``; None, if nobody said, is that it is not.
    """

    framework = "torch"
    single_axis = None

    def __init__(
        self,
        module: torch.nn.Module,
        seq_input_idx: int,
        seqlen: int | None,
        input_shape: Any = None,
        channels_last: bool | None = None,
    ) -> None:
        keep_out()
        self.module, self.sequence = module, seq_input_idx
        self.channels_first = not channels_last
        self.input_shapes = input_shapes(module, seq_input_idx, seqlen, input_shape, channels_last)
        tensors = [*module.parameters(), *module.buffers()]
        floats = [x for x in tensors if x.is_floating_point()]
        _check_types(module)
        kind = floats[0].dtype if floats else torch.float32
        self.dtype = str(kind).removeprefix("torch.")
        self._kind = kind
        self.device = str(tensors[0].device) if tensors else "cpu"
        self._outputs: tuple[Value, ...] = ()
        self._ranks: list[int] = []
        self.precision = "float32"
        self._twice: bool | None = None
        self._names: list[str] | None = None
        self._check_runs()

    # ---- order of axes ---------------------------------------------------------------------

    def internal(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Inputs as users give them, with the positions of the sequence before its characters."""
        given = [x if x.ndim > 1 else x[:, None] for x in inputs]
        if self.channels_first:
            given[self.sequence] = np.ascontiguousarray(given[self.sequence].transpose(0, 2, 1))
        return given

    def given(self, inputs: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """What the module takes, for inputs in the form that `internal` gives.

        Tensors are passed on: `batches` makes them as the module takes them.
        """
        if inputs and isinstance(inputs[0], torch.Tensor):
            return list(inputs)
        tensors = []
        for number, (x, shape) in enumerate(zip(inputs, self.input_shapes, strict=True)):
            x = x if x.flags.writeable else x.copy()
            tensor = torch.from_numpy(np.ascontiguousarray(x)).to(self.device)
            if number == self.sequence and self.channels_first:
                tensor = tensor.transpose(1, 2).contiguous()
            tensors.append(tensor.reshape(len(x), *shape))
        return tensors

    def batches(self, inputs: Sequence[np.ndarray]) -> Batches:
        """What makes batches of mutants of `inputs`, where the module lives.

        The sequences are copied there once; of a batch only places and replacements are.
        """
        if len(self.input_shapes[self.sequence]) != 2:
            return host_batches(inputs, self.sequence)
        resident = self.given(inputs)

        def batch(
            which: np.ndarray, start: np.ndarray, replacement: np.ndarray
        ) -> list[torch.Tensor]:
            chosen, first = (torch.from_numpy(x).to(self.device) for x in (which, start))
            made = [x.index_select(0, chosen) for x in resident]
            letters = torch.from_numpy(replacement).to(resident[self.sequence])
            row = torch.arange(len(which), device=self.device)[:, None]
            place = first[:, None] + torch.arange(replacement.shape[1], device=self.device)
            if self.channels_first:
                made[self.sequence][row, :, place] = letters
            else:
                made[self.sequence][row, place] = letters
            return made

        return batch

    def output_shapes(self, graph: Graph) -> list[Shape]:
        """Shapes of the graph's outputs in the module's order of axes, without the batch axis."""
        return [
            view.shape(graph.nodes[i].shape)
            for view, i in zip(self._outputs, graph.outputs, strict=True)
        ]

    def view(self, number: int) -> Callable[[np.ndarray], np.ndarray] | None:
        """What brings an output of the graph into the module's order of axes; None for nothing."""
        view, rank = self._outputs[number], self._ranks[number]
        return None if view.plain(rank) else view.of

    # ---- running ------------------------------------------------------------------------

    def forward(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The module itself at inference; a list of outputs on the host."""
        with at_inference(self.module), torch.inference_mode(), self._products():
            return [y.cpu().numpy() for y in self._run(self.given(inputs))]

    def compiled(self) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
        """`forward` through `torch.compile`; a module that it breaks into pieces is an error."""
        # As one graph, so that a limit of torch on how often it compiles cannot make it eager.
        # Frozen weights are laid out once, as the kernels like them.
        module = torch.compile(
            self.module, fullgraph=True, dynamic=False, options={"freezing": True}
        )

        def forward(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
            try:
                with at_inference(self.module), torch.inference_mode(), self._products():
                    return [y.cpu().numpy() for y in self._run(self.given(inputs), module)]
            except FastISMError:
                raise
            except Exception as error:
                raise FastISMError(
                    f"torch.compile cannot run {type(self.module).__name__} here: "
                    f"{_first_line(error)}. On a CPU it needs a C++ compiler. "
                    "NaiveISM(module, compiled=False) runs it as it is."
                ) from error

        return forward

    def _products(self) -> AbstractContextManager[None]:
        return products_in("torch", self.precision)

    def _run(
        self,
        tensors: Sequence[torch.Tensor],
        module: Callable[..., Any] | None = None,
    ) -> list[torch.Tensor]:
        """All outputs as tensors whose first axis is the batch, in the module's type."""
        count = len(tensors[0])
        if count == 1 and self._needs_two(tensors):
            tensors = [x.expand(2, *x.shape[1:]).contiguous() for x in tensors]
        made = self._outputs_of(tensors, self.module if module is None else module)
        return [y[:count] for y in made]

    def _needs_two(self, tensors: Sequence[torch.Tensor]) -> bool:
        """Whether the module loses the batch axis of a sequence alone, as modules that squeeze do.

        Such a sequence is given twice. Tried out when one is alone for the first time.
        """
        if self._twice is None:
            try:
                alone = [y.shape[1:] for y in self._outputs_of(tensors, self.module)]
            except Exception:
                self._twice = True
            else:
                self._twice = alone != self._shapes
        return self._twice

    def _outputs_of(
        self, tensors: Sequence[torch.Tensor], run: Callable[..., Any]
    ) -> list[torch.Tensor]:
        made = run(*tensors)
        outputs = [y for y in _pytree.tree_leaves(made) if isinstance(y, torch.Tensor)]
        if self._names is None:
            self._names = names_of_outputs(made)
        for number, y in enumerate(outputs):
            if y.dim() == 0 or len(y) != len(tensors[0]):
                raise FastISMError(
                    f"Output {number} of the module has shape {tuple(y.shape)} for "
                    f"{len(tensors[0])} sequences; every output must be (sequences, ...). Wrap "
                    "the module in one that returns only outputs of that kind."
                )
        return [y.to(self._kind) for y in outputs]

    def _check_runs(self) -> None:
        """Run it on a few sequences, and keep the shapes of its outputs."""
        rng = np.random.default_rng(0)
        fixed = fixed_batch(self.module)
        # Not as many as it was exported with, which would pass.
        count = 3 if fixed is not None and fixed.size == 2 else 2
        inputs = self.internal(
            [rng.random((count, *shape)).astype(self.dtype) for shape in self.input_shapes]
        )
        try:
            made = self.forward(inputs)
        except Exception as error:
            if fixed is not None:
                raise FastISMError(f"{self.called} {fixed}.") from error
            if isinstance(error, FastISMError):
                raise
            raise FastISMError(
                f"{self.called} does not run on inputs of shapes {self.input_shapes} (without the "
                f"batch axis): {_first_line(error)}. If that is not the shape of its input, "
                f"{SHAPE_REMEDY}."
                + (TYPE_REMEDY.format(self.dtype) if len(self.input_shapes) > 1 else "")
            ) from error
        if not made:
            raise FastISMError(f"{self.called} returns no tensor; it must return one or several.")
        self._shapes = [y.shape[1:] for y in made]

    @property
    def output_names(self) -> list[str]:
        """Keys of a dict, or fields of a named tuple, that the module returns."""
        return self._names or []

    # ---- batches ------------------------------------------------------------------------

    @property
    def called(self) -> str:
        """The module's class."""
        return type(self.module).__name__

    def decision(self, inputs: Sequence[np.ndarray]) -> str:
        """The Python numbers that the module makes of tensors, where sequences differ in them."""
        first: list[Any] | None = None
        for number in range(len(inputs[0])):
            with NumbersRead() as read:
                self.forward([x[number : number + 1] for x in inputs])
            if not read.numbers:
                return ""
            first = read.numbers if first is None else first
            if read.numbers != first:
                pairs = zip(first, read.numbers, strict=False)
                a, b = next(((x, y) for x, y in pairs if x != y), (len(first), len(read.numbers)))
                return f"`if`, `while`, bool() or item() of a tensor: {a} and {b} were seen"
        return ""

    def coupled(self, batches: Sequence[Sequence[np.ndarray]], index: tuple[int, int]) -> str:
        """The submodule that makes different results of the same sequence in two batches."""
        seen = [calls(self.module, lambda x=x: self.forward(x)) for x in batches]
        return coupled_layer(*seen, tuple(len(x[0]) for x in batches), index)

    # ---- the graph ----------------------------------------------------------------------

    def graph(self, stop_layers: Sequence[str] = ()) -> Graph:
        """The module as a graph, with the weights it has now."""
        names = [name for name, _ in self.module.named_modules() if name]
        unknown = sorted(set(stop_layers) - set(names))
        if unknown:
            raise FastISMError(
                f"early_stop_layers names {', '.join(map(repr, unknown))}, which the module does "
                f"not have; its layers are {', '.join(names)}."
            )
        try:
            program = captured(self.module, self.input_shapes, self._kind, self.device)
            if any(depends_on_memory(node) for node in program.graph.nodes):
                raise FastISMError("as_strided depends on how tensors lie in memory")
        except Exception as error:
            translated = self._whole(f"torch.export cannot capture it: {_first_line(error)}")
        else:
            translated = Translation(
                program,
                self.input_shapes,
                self.sequence,
                self.channels_first,
                self.dtype,
                stop_layers,
            ).translate()
        graph = translated.graph
        self._outputs = translated.outputs
        self._ranks = [len(graph.nodes[i].shape) for i in graph.outputs]
        return graph

    def _whole(self, reason: str) -> Translated:
        """The module as one opaque step, whose outputs are laid side by side and cut apart."""
        builder = GraphBuilder()
        inputs = []
        for number, shape in enumerate(self.input_shapes):
            first = number == self.sequence and self.channels_first
            inputs.append(
                builder.add(
                    f"input{number}", "input", Source(shape[::-1] if first else shape or (1,))
                )
            )
        shapes = [y.shape[1:] for y in self.forward(self._zeros())]
        with _Measured() as measured:
            self.forward(self._zeros())
        runs = 2 if self._twice else 1
        sizes = [prod(shape) for shape in shapes]
        name = type(self.module).__name__

        def call(*tensors: torch.Tensor) -> torch.Tensor:
            given = [
                x.transpose(1, 2).contiguous() if i == self.sequence and self.channels_first else x
                for i, x in enumerate(tensors)
            ]
            given = [x.reshape(len(x), *s) for x, s in zip(given, self.input_shapes, strict=True)]
            with at_inference(self.module):
                made = self._run(given)
            return torch.cat([y.reshape(len(y), -1) for y in made], 1)

        cost = measured.elements, None if measured.macs is None else measured.macs // runs
        whole = builder.add(
            name, name, Opaque(call, (sum(sizes),), "torch", reason, name, *cost), inputs
        )
        outputs = []
        for number, (shape, size) in enumerate(zip(shapes, sizes, strict=True)):
            first = sum(sizes[:number])
            index = whole
            if len(shapes) > 1 or shape != (size,):
                cut = Opaque(
                    _cut(first, first + size, shape or (1,)), shape or (1,), "torch", "", name, 0, 0
                )
                index = builder.add(f"{name} output {number}", name, cut, [whole])
            outputs.append(Value(index, tuple(range(len(shape)))))
        graph = builder.build(inputs, [v.node for v in outputs], self.sequence, self.dtype)
        views = [Value(index, v.axes) for v, index in zip(outputs, graph.outputs, strict=True)]
        return Translated(graph, tuple(views))

    def _zeros(self) -> list[np.ndarray]:
        return self.internal([np.zeros((1, *shape), self.dtype) for shape in self.input_shapes])


class _Measured(TorchDispatchMode):
    """Notes the largest tensor that is made and counts multiply-adds, bounds for one sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0
        self.macs: int | None = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and look at what it made."""
        made = func(*args, **(kwargs or {}))
        tensors = [y for y in _pytree.tree_leaves(made) if isinstance(y, torch.Tensor)]
        self.elements = max(self.elements, *(y.numel() for y in tensors), 0)
        sized = _pytree.tree_map_only(torch.Tensor, lambda x: Sized(tuple(x.shape)), args)
        count = multiply_adds(func, sized, tuple(tensors[0].shape) if tensors else ())
        self.macs = None if None in (count, self.macs) else self.macs + count
        return made


def _cut(first: int, last: int, shape: Shape) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: x[:, first:last].reshape(len(x), *shape)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _check_types(module: torch.nn.Module) -> None:
    for name, x in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(x):
            raise FastISMError(
                f"{name!r} of the module has no values yet: a lazy layer makes them at random at "
                "its first call. Run the module once on an input of the right shape and load its "
                "weights, then build this."
            )
        if x.is_floating_point() and x.dtype not in (torch.float32, torch.float64):
            raise FastISMError(
                f"{name!r} of the module is {str(x.dtype).removeprefix('torch.')}; exact ISM "
                "needs float32 or float64. Convert a copy of the module: "
                "copy.deepcopy(module).float()."
            )
