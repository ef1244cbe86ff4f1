"""One number of outputs that have several: how people name it, and scores of it.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from fastism.errors import FastISMError
from fastism.store.schema import OutputHeader
from fastism.store.scores import Scores

#: What may stand in place of an entry: the sum or the mean along an axis.
REDUCTIONS = ("mean", "sum")


class Output(Protocol):
    """What an output is called and which shape it has; its first axis may have labels."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Selection:
    """An output, and what is taken of its first axes.

    Attributes
    ----------
    output : int
    axes : tuple of int or str
        For the first axes in order: an index from 0, ``"mean"`` or ``"sum"``. Axes beyond are kept.
    said : str
        The axes as they were named, such as ``500,1``; empty without any.
    """

    output: int
    axes: tuple[int | str, ...]
    said: str

    @property
    def reduces(self) -> bool:
        """Whether something is summed up."""
        return any(isinstance(each, str) for each in self.axes)

    def taken(self, values: np.ndarray, first: int) -> np.ndarray:
        """What is selected of an array, whose axis `first` is the first one of the output."""
        for each in self.axes:
            if each == "mean":
                values = values.mean(first, dtype=np.float32)
            elif each == "sum":
                values = values.sum(first, dtype=np.float32)
            else:
                values = values.take(each, axis=first)
        return np.ascontiguousarray(values)


def read_selection(text: str, outputs: Sequence[Output]) -> Selection:
    """Read ``OUTPUT``, ``OUTPUT:A,B,...``, or ``A,B,...`` where there is one output.

    An output is a number or a name. ``A`` is an entry of the first axis by its label (its index in
    the model's output), ``B`` an index of the second axis, and so on; ``mean`` and ``sum`` stand
    for all entries of an axis.

    Parameters
    ----------
    text : str
    outputs : sequence
        With ``name`` and ``shape``, and ``labels`` of the first axis if it has some.

    Raises
    ------
    FastISMError
        If there is no such output or entry, listing what there is.

    Examples
    --------
    >>> profile = OutputHeader("profile", (2, 3), ("4", "7"))
    >>> read_selection("0:7,sum", [profile]).axes
    (1, 'sum')
    """
    number, _, entries = text.partition(":")
    if "," in number and len(outputs) == 1:
        number, entries = "0", text
    names = [output.name for output in outputs]
    if not number.isdecimal() and number not in names:
        raise FastISMError(
            f"{text!r} names no output; expected a number or a name, of {', '.join(names)}, "
            "or one with an entry, such as 0:57."
        )
    chosen = int(number) if number.isdecimal() else names.index(number)
    if chosen >= len(outputs):
        raise FastISMError(
            f"There is no output {chosen}; there are {len(outputs)}, counted from 0: "
            f"{', '.join(names[:10])}."
        )
    parts = [part.strip() for part in entries.split(",")] if entries else []
    output = outputs[chosen]
    if len(parts) > len(output.shape):
        raise FastISMError(_no_entry(chosen, output, entries))
    axes = tuple(_index(chosen, output, axis, part) for axis, part in enumerate(parts))
    return Selection(chosen, axes, ",".join(parts))


def _index(number: int, output: Output, axis: int, text: str) -> int | str:
    if text in REDUCTIONS:
        return text
    labels = _labels(output, axis)
    if text not in labels:
        raise FastISMError(_no_entry(number, output, text))
    return labels.index(text)


def _labels(output: Output, axis: int) -> list[str]:
    named = list(getattr(output, "labels", ())) if axis == 0 else []
    return named or [str(i) for i in range(output.shape[axis])]


def _no_entry(number: int, output: Output, entry: str) -> str:
    if not output.shape:
        return f"Output {number} ({output.name}) is a single number: select it as {number}."
    return f"Output {number} ({output.name}) has no entry {entry!r}. {_axes(number, output)}"


def _axes(number: int, output: Output) -> str:
    """What can be chosen of an output, axis by axis."""
    count = len(output.shape)
    every = [_labels(output, axis) for axis in range(count)]
    axes = [
        f"axis {axis + 1} of {count}: {_listed(labels)}" if count > 1 else _listed(labels)
        for axis, labels in enumerate(every)
    ]
    entry = ",".join(labels[0] for labels in every)
    summed = ",".join([*["sum"], *(labels[0] for labels in every[1:])])
    return (
        f"It has {'; '.join(axes)}. Choose one of each, or mean or sum, such as --output "
        f"{number}:{entry} or --output {number}:{summed}."
    )


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels) if len(labels) <= 6 else f"{', '.join(labels[:3])}, ..., {labels[-1]}"


class Selected(Scores):
    """One output of scores, or a part of it.

    Where something is summed up, numbers are float32, and there are no standard deviations: those
    of a sum do not follow from those of its parts.

    Parameters
    ----------
    scores : Scores
    select : str
        As for `read_selection`.

    Raises
    ------
    FastISMError
        If there is no such output or entry.
    """

    def __init__(self, scores: Scores, select: str) -> None:
        self._scores = scores
        self._selection = chosen = read_selection(select, scores.header.outputs)
        output = scores.header.outputs[chosen.output]
        if chosen.axes:
            rest = output.shape[len(chosen.axes) :]
            labels = tuple(map(str, range(rest[0]))) if rest else ()
            output = OutputHeader(f"{output.name}:{chosen.said}", rest, labels)
        self.header = replace(scores.header, outputs=(output,))
        if chosen.reduces:
            self.header = replace(self.header, sd=0, dtype="float32")

    def column(self, name: str) -> list[Any]:
        """See `Scores.column`."""
        return self._scores.column(name)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """See `Scores.skipped`."""
        return self._scores.skipped

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """See `Scores.read`."""
        if name == "one_hot":
            return self._scores.read(name, start, stop)
        kind = name.rsplit("/", 1)[1]
        values = self._scores.read(f"outputs/{self._selection.output}/{kind}", start, stop)
        return self._selection.taken(values, 1 if kind.startswith("reference") else 3)

    def __len__(self) -> int:
        return len(self._scores)


def check_single(scores: Scores) -> None:
    """Refuse scores that have more than one number per mutant.

    Raises
    ------
    FastISMError
        If there are several, saying how to select one.
    """
    outputs = scores.header.outputs
    if len(outputs) > 1:
        names = ", ".join(f"{i} ({o.name})" for i, o in enumerate(outputs[:10]))
        raise FastISMError(
            f"The scores have {len(outputs)} outputs, and this format holds one. Of {names} "
            "select one, as by --output 0, or by --outputs when you score."
        )
    output = outputs[0]
    if any(length > 1 for length in output.shape):
        raise FastISMError(
            f"Output {output.name!r} has shape {output.shape}, and this format holds one number. "
            + _axes(0, output)
        )
