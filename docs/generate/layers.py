"""Tables of what is supported, read from the rules and from the registers of the front ends.

Nothing is listed by hand. A handler of a front end is a function; which rules it makes and why it
may refuse follow from its code: the rule classes it loads, and the texts it returns, in itself and
in the helpers of the front end that it calls.

Requirements: fastism; Keras and PyTorch for their tables.
"""

from __future__ import annotations

import ast
import dis
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from docs.generate import table
from fastism import rules
from fastism.rules import Kind, Reshape, Rule, Source

FRONT_ENDS = "fastism.frontends"
#: Methods of a torch `Emit` that only bring axes into the order that a rule needs.
ORDER_OF_AXES = {"channels_last", "arranged", "aligned", "full", "reshaped"}


@dataclass(frozen=True)
class Support:
    """What a front end makes of some layers or operators.

    Parameters
    ----------
    names : tuple of str
        As the framework's users call them.
    rules : tuple of str
        Names of the rules that may come of it.
    note : str
        First line of the handler's description.
    refusals : tuple of str
        Settings that have no rule.
    """

    names: tuple[str, ...]
    rules: tuple[str, ...]
    note: str
    refusals: tuple[str, ...]


# ---- rules ------------------------------------------------------------------------------


def rule_classes() -> dict[str, type[Rule]]:
    """Every operation that the library knows, by name."""
    exported = ((name, getattr(rules, name)) for name in rules.__all__)
    return {
        name: cls
        for name, cls in exported
        if isinstance(cls, type) and issubclass(cls, Rule) and cls not in (Rule, Source)
    }


def runs_on(cls: type[Rule]) -> str:
    """What a rule works on where its input depends on the change."""
    if not cls.local:
        return "full tensors"
    if isinstance(cls.consumes, property):
        kinds = "deltas or values"
    else:
        kinds = {None: "deltas or values", Kind.DELTA: "deltas", Kind.VALUES: "values"}[
            cls.consumes
        ]
    return f"{kinds}, read out" if cls.reads_out is not None else kinds


def rules_table() -> str:
    """One row per rule: what it is, where it stands, what it runs on."""
    rows = [
        [
            f"`{name}`",
            _plain(_first_line(cls)),
            runs_on(cls),
            f"`{cls.__module__.replace('.', '/')}.py`",
        ]
        for name, cls in rule_classes().items()
    ]
    return table(["rule", "operation", "runs on", "file"], rows)


# ---- front ends -------------------------------------------------------------------------


def keras_support(operations: bool = False) -> list[Support]:
    """What the Keras front end makes of every layer, or of every function of `keras.ops`."""
    importlib.import_module("fastism.frontends.keras")  # all handlers are registered by then
    from fastism.frontends.keras_layers import LAYERS

    chosen = {cls: h for cls, h in LAYERS.items() if (".ops." in cls.__module__) == operations}
    return _supports(chosen, _operation_name if operations else lambda cls: cls.__name__)


def torch_support() -> list[Support]:
    """What the front end for torch modules makes of every ATen operator."""
    importlib.import_module("fastism.frontends.torch_graph")
    from fastism.frontends.torch_ops import OPERATORS

    def name(operator: Any) -> str:
        return str(operator).removeprefix("aten.").removesuffix(".default")

    return _supports(OPERATORS, name)


def keras_table() -> str:
    """Table of Keras layers."""
    return _support_table("Keras layer", keras_support())


def keras_operations_table() -> str:
    """Table of functions of `keras.ops`."""
    return _support_table("keras.ops", keras_support(operations=True))


def torch_table() -> str:
    """Table of ATen operators."""
    return _support_table("ATen operator", torch_support())


def activations_table() -> str:
    """The activation functions of Keras that have a rule, on one line."""
    from fastism.frontends.keras_layers import ACTIVATIONS

    names = sorted(f"`{function.__name__}`" for function in ACTIVATIONS)
    return f"Activation functions that have a rule: `linear`, {', '.join(names)}."


def _supports(handlers: Mapping[Any, Callable], name: Callable[[Any], str]) -> list[Support]:
    grouped: dict[tuple, list[str]] = {}
    for key, handler in handlers.items():
        parts = (made_rules(handler), _note(handler), refusals(handler))
        grouped.setdefault(parts, []).append(name(key))
    return [Support(tuple(names), *parts) for parts, names in grouped.items()]


def _support_table(heading: str, supports: list[Support]) -> str:
    classes = rule_classes()
    rows = []
    for support in supports:
        modes = dict.fromkeys(runs_on(classes[rule]) for rule in support.rules)
        rows.append(
            [
                ", ".join(f"`{name}`" for name in support.names),
                ", ".join(f"`{rule}`" for rule in support.rules) or "nothing: passes through",
                "; ".join(modes),
                "; ".join(support.refusals),
            ]
        )
    return table([heading, "becomes", "runs on", "opaque for"], rows)


def _operation_name(cls: type) -> str:
    """The function of `keras.ops` behind an operation's class."""
    import keras

    if cls.__name__ == "GetItem":
        return "x[:, a:b]"
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
    return name if hasattr(keras.ops, name) else cls.__name__


def _note(handler: Callable) -> str:
    return _plain(_first_line(handler)) if handler.__doc__ else ""


def _first_line(thing: Any) -> str:
    return inspect.getdoc(thing).partition("\n")[0].rstrip(".")


def _plain(text: str) -> str:
    return text.replace("``", "`")


# ---- reading handlers -------------------------------------------------------------------


def made_rules(handler: Callable) -> tuple[str, ...]:
    """Names of the rules that a handler may make, in the order of `fastism.rules`."""
    found: set[str] = set()
    for function in _reached(handler, methods=True):
        for value in (*_globals(function), *_cells(function)):
            if isinstance(value, Rule):
                found.add(type(value).__name__)
            elif isinstance(value, type) and issubclass(value, Rule):
                found.add(value.__name__)
        if "reshaped" in _attributes(function.__code__):
            found.add(Reshape.__name__)
    return tuple(name for name in rule_classes() if name in found)


def refusals(handler: Callable) -> tuple[str, ...]:
    """Why a handler may say that a setting has no rule, in the order of the code."""
    texts: dict[str, None] = {}
    for function in _reached(handler, methods=True, order=True):
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        for node in _own_nodes(tree.body[0]):
            if isinstance(node, ast.Return) and node.value is not None:
                texts.update(dict.fromkeys(_texts(node.value, function.__globals__)))
    return tuple(texts)


def _reached(handler: Callable, methods: bool, order: bool = False) -> Iterator[FunctionType]:
    """A handler and the functions of the front ends that it calls, directly or not."""
    waiting, seen = [handler], set()
    while waiting:
        function = waiting.pop(0)
        if function in seen:
            continue
        seen.add(function)
        yield function
        values = [*_globals(function), *_cells(function)]
        emit = getattr(inspect.getmodule(function), "Emit", None)
        if methods and emit is not None:
            names = _attributes(function.__code__) - (set() if order else ORDER_OF_AXES)
            values.extend(v for n, v in sorted(vars(emit).items()) if n in names)
        waiting.extend(
            value
            for value in values
            if isinstance(value, FunctionType) and value.__module__.startswith(FRONT_ENDS)
        )


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _globals(function: FunctionType) -> Iterator[Any]:
    """Global names that a function loads, and what it imports by itself."""
    for code in _codes(function.__code__):
        module = None
        for step in dis.get_instructions(code):
            if step.opname == "LOAD_GLOBAL" and step.argval in function.__globals__:
                yield function.__globals__[step.argval]
            elif step.opname == "IMPORT_NAME":
                module = importlib.import_module(step.argval)
            elif step.opname == "IMPORT_FROM":
                yield getattr(module, step.argval)


def _cells(function: FunctionType) -> Iterator[Any]:
    """What a function made by another one has kept of it."""
    for cell in function.__closure__ or ():
        yield cell.cell_contents


def _attributes(code: CodeType) -> set[str]:
    steps = (step for c in _codes(code) for step in dis.get_instructions(c))
    return {step.argval for step in steps if step.opname in ("LOAD_ATTR", "LOAD_METHOD")}


def _own_nodes(root: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a function without those of functions inside it."""
    for child in ast.iter_child_nodes(root):
        if not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield child
            yield from _own_nodes(child)


def _texts(value: ast.expr, names: Mapping[str, Any]) -> Iterator[str]:
    """Texts that an expression may give, without looking into calls."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.JoinedStr):
        parts = (p.value if isinstance(p, ast.Constant) else "…" for p in value.values)
        yield "".join(parts)
    elif isinstance(value, ast.IfExp):
        yield from _texts(value.body, names)
        yield from _texts(value.orelse, names)
    elif isinstance(value, ast.BoolOp):
        for part in value.values:
            yield from _texts(part, names)
    elif isinstance(value, ast.Name) and isinstance(names.get(value.id), str):
        yield names[value.id]
