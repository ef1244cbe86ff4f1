"""Products with the weights of dense layers on PyTorch, by the fastest of several ways.

Requirements: torch. What is fastest is measured, see `fastism.backends.choices`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cache, partial
from itertools import pairwise
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch

from fastism.backends import onednn
from fastism.backends.choices import ROUNDS, Choices
from fastism.backends.torch_kernels import MOST_MACS

_Tensor = torch.Tensor
Form = TypeVar("Form")
Result = TypeVar("Result")
#: Whether a way may be used, by its name and by what gives its form.
Suits = Callable[[str, Callable[[], Any]], bool]
#: By way the times of its turns, by what was done.
Race = dict[str, dict[Hashable, list[float]]]

#: So many different works, done in every way, tell which way is the fastest.
ENOUGH = 8
#: Rows of a sample at most; with fewer than so many nothing is measured.
MOST_ROWS, FEWEST_ROWS = 1024, 32


def rows_of_sample(features_in: int, features_out: int) -> int:
    """The most rows to multiply with a matrix of some size when ways to do so are measured."""
    return min(max(MOST_MACS // (features_in * features_out), 2 * FEWEST_ROWS), MOST_ROWS)


class Chosen(Generic[Form]):
    """A weight in the forms of the ways that were chosen for it, and in no others.

    Parameters
    ----------
    choices : Choices
    key : tuple of hashable
        What times depend on beside the class of shapes.
    makers : mapping of str to callable
        By the name of each way what brings the weight into its form.
    apart : tuple of hashable
        What times of real work depend on beside that, but hardly those of a sample.
    together : callable, optional
        Gives a context in which all ways run once before they are timed, because first runs
        compile: in there they may do so at the same time.
    """

    def __init__(
        self,
        choices: Choices,
        key: tuple[Hashable, ...],
        makers: Mapping[str, Callable[[], Form]],
        apart: tuple[Hashable, ...] = (),
        together: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self._choices, self._key, self._makers = choices, key, makers
        self._apart, self._together = apart, together
        self._names = list(makers)
        self._forms: dict[str, Form] = {}
        self._name_of: dict[Hashable, str] = {}
        self._settled: dict[Hashable, Form] = {}
        self._races: dict[Hashable, Race] = {}
        self._asked: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """The ways in use, in no order that means anything."""
        return tuple(dict.fromkeys(self._name_of.values()))

    def named(self, name: str) -> Form | None:
        """The form of one way, which is kept from then on; None if that is none of them."""
        if name not in self._makers:
            return None
        self._asked.add(name)
        return self._form(name)

    def _form(self, name: str) -> Form:
        """The form of a way, made if there is none."""
        form = self._forms.get(name)
        if form is None:
            form = self._forms[name] = self._makers[name]()
        return form

    def run(
        self,
        shape: Hashable,
        sampled: Callable[[], Callable[[Form], Any]],
        work: Hashable,
        do: Callable[[Form], Result],
        suits: Suits | None = None,
    ) -> Result:
        """Do what is to be done in the way that is the fastest for a class of shapes.

        Ways that a sample does not tell apart take turns at first, and their times decide: that
        costs nothing, as what they make is used.

        Parameters
        ----------
        shape, sampled, suits
            As for `pick`.
        work : hashable
            Only times of equal work are compared.
        do : callable
            Runs a form.
        """
        form = self.pick(shape, sampled, races=True, suits=suits)
        race = self._races.get(shape)
        return do(form) if race is None else self._take_turn(shape, race, work, do)

    def _take_turn(
        self, shape: Hashable, race: Race, work: Hashable, do: Callable[[Form], Result]
    ) -> Result:
        """Let the one of several ways that did this work least often do it, and keep its time."""
        name = min(race, key=lambda each: len(race[each].get(work, ())))
        form, begun = self._form(name), self._choices.clock()
        made = do(form)
        race[name].setdefault(work, []).append(self._choices.clock() - begun)
        best = _winner(race, work)
        if best is not None:
            self._choices.decide((*self._key, *self._apart, shape), best)
            self._name_of[shape], self._settled[shape] = best, self._form(best)
            self._races.pop(shape, None)
            self._trim()
        return made

    def _trim(self) -> None:
        """Give up forms that nothing uses."""
        racing = {name for race in self._races.values() for name in race}
        used = {*self.names, *self._asked, *racing}
        self._forms = {name: form for name, form in self._forms.items() if name in used}

    def pick(
        self,
        shape: Hashable,
        sampled: Callable[[], Callable[[Form], Any]],
        measure: bool = True,
        advance: bool = False,
        races: bool = False,
        suits: Suits | None = None,
    ) -> Form:
        """The form to use for a class of shapes.

        Parameters
        ----------
        shape : hashable
        sampled : callable
            Makes what runs a form on a sample; called only if something is to be measured.
        measure : bool
            Whether this is typical of the class, so that kernels may be measured on it.
        advance : bool
            As for `Choices.best`.
        races : bool
            Whether ways that the sample does not tell apart take turns from then on, see `run`.
        suits : callable, optional
            Whether a way may be used at all for this weight, asked before it is: times are those
            of all weights of the same shape, which a way may suit or not.
        """
        if shape in self._settled:
            return self._settled[shape]
        made, sample = dict(self._forms), cache(sampled)

        def form(name: str) -> Form:
            if name not in made:
                made[name] = self._makers[name]()
            return made[name]

        def trial(name: str) -> Callable[[], None]:
            run, ready = sample(), form(name)
            if self._together is not None:
                run(ready)
            return lambda: run(ready)

        def may(name: str) -> bool:
            return suits is None or suits(name, partial(form, name))

        full, names = (*self._key, shape), list(self._names)
        if measure:
            self._compile(full, lambda each: sample()(form(each)))
        name = self._choices.decided((*self._key, *self._apart, shape))
        undecided = name not in names or not may(name)
        if undecided:
            name = self._choices.best(full, names, trial if measure else None, advance)
        while len(names) > 1 and not may(name):
            names.remove(name)
            name = self._choices.best(full, names, trial if measure else None, advance)
        self._name_of[shape] = name
        chosen = form(name)
        # While ways are still compared, their forms stay: making one may take longer than a run.
        self._forms = made
        if self._choices.settled(full, names):
            self._settled[shape] = chosen
            close = self._choices.close(full, names) if races and undecided else []
            close = [each for each in close if may(each)]
            if len(close) > 1:
                self._races[shape] = {each: {} for each in close}
            self._trim()
        return chosen

    def _compile(self, full: Hashable, run: Callable[[str], Any]) -> None:
        """Run all ways that are going to be timed, where first runs compile."""
        if self._together is None:
            return
        unknown = self._choices.unknown(full, self._names)
        if not unknown:
            return
        with self._together():
            for name in unknown:
                with suppress(Exception):  # what fails is told when it is timed
                    run(name)


def _winner(race: Race, work: Hashable) -> str | None:
    """The fastest way, once all ways did some work often enough or enough of the same work."""
    times = {name: taken.get(work, []) for name, taken in race.items()}
    # The first run of a way makes its code ready.
    if min(map(len, times.values())) > ROUNDS:
        return min(times, key=lambda name: min(times[name]))
    shared = set.intersection(*({*taken} for taken in race.values()))
    if len(shared) < ENOUGH:
        return None
    return min(race, key=lambda name: sum(min(race[name][each]) for each in shared))


def matrix_makers(
    matrix: np.ndarray, device: torch.device, packs: bool
) -> dict[str, Callable[[], Any]]:
    """The ways to multiply rows with a matrix ``(features in, features out)``."""
    makers: dict[str, Callable[[], Any]] = {
        "product": lambda: torch.tensor(np.ascontiguousarray(matrix), device=device)
    }
    if packs:
        makers["oneDNN"] = lambda: onednn.PackedMatrix(matrix)
    return makers


class Matrix:
    """A matrix to multiply rows with: ``x @ matrix``.

    Parameters
    ----------
    matrix : ndarray, shape (features in, features out)
    device : torch.device
    packs : bool
        Whether oneDNN is one of the ways.
    choices : Choices
    """

    def __init__(
        self, matrix: np.ndarray, device: torch.device, packs: bool, choices: Choices
    ) -> None:
        self.shape = matrix.shape
        key = ("matrix", *matrix.shape, str(matrix.dtype), device.type, torch.get_num_threads())
        self.chosen = Chosen(choices, key, matrix_makers(matrix, device, packs))

    def __rmatmul__(self, x: _Tensor) -> _Tensor:
        def sampled() -> Callable[[Any], Any]:
            rows = x.reshape(-1, x.shape[-1])
            counts = (FEWEST_ROWS, rows_of_sample(*self.shape))
            parts = [rows[:count].contiguous() for count in counts]
            return lambda form: [part @ form for part in parts]

        many = x.shape[:-1].numel() >= FEWEST_ROWS
        return x @ self.chosen.pick("many rows", sampled, many, advance=True)


class _Plain:
    """A matrix as it is, multiplied into sums."""

    def __init__(self, matrix: np.ndarray, device: torch.device) -> None:
        # The numbers of the model, without a copy where that can be.
        fits = device.type == "cpu" and matrix.flags.c_contiguous and matrix.flags.writeable
        whole = torch.from_numpy(matrix) if fits else torch.tensor(matrix)
        self._matrix = whole.to(device)

    def add_to(self, out: _Tensor, x: _Tensor) -> None:
        out.addmm_(x, self._matrix)


class _Packed:
    """A matrix packed for oneDNN's convolution, which adds to sums."""

    def __init__(self, matrix: np.ndarray, room: _Tensor | None = None) -> None:
        self._taps = onednn.PackedTaps(matrix[None], room)

    def add_to(self, out: _Tensor, x: _Tensor) -> None:
        self._taps.add_to(out[None], x[None])


class PositionMatrices:
    """A dense kernel over positions, multiplied with windows that begin anywhere in it.

    Windows overlap, so that a position is multiplied for all windows that cover it at once: its
    part of the kernel is read once, however many windows there are.

    Parameters
    ----------
    kernel : ndarray, shape (length, channels, features)
    device : torch.device
    packs : bool
        Whether oneDNN is one of the ways.
    choices : Choices
    """

    def __init__(
        self, kernel: np.ndarray, device: torch.device, packs: bool, choices: Choices
    ) -> None:
        self._kernel, self._device, self._choices = kernel, device, choices
        self.features = kernel.shape[2]
        self._names = ["product", *(["oneDNN"] if packs else [])]
        self._form: tuple[str, list[Any]] = ("", [])
        self._settled = False

    @property
    def names(self) -> tuple[str, ...]:
        """The way in use."""
        return (self._form[0],) if self._form[0] else ()

    def _made(self, name: str, kernel: np.ndarray) -> list[Any]:
        """The matrices of some positions in the form of one way."""
        if name == "product":
            return [_Plain(matrix, self._device) for matrix in kernel]
        # Shared: copies that come and go between packed weights leave holes, half as large again.
        room = torch.empty((self.features, kernel.shape[1], 1, 1), dtype=torch.float32)
        return [_Packed(matrix, room) for matrix in kernel]

    def _matrices(self, rows: np.ndarray) -> list[Any]:
        """All of them in the form that is fastest for so many rows at each position."""
        few = rows.max() < FEWEST_ROWS
        if self._settled or (few and self._form[0]):
            return self._form[1]

        def trial(name: str) -> Callable[[], None]:
            (one,) = self._made(name, self._kernel[:1])
            # Some ways are slow only for some numbers of rows (oneDNN's convolution with AVX2 for
            # 384 to 700 of them, fourfold), and positions differ in them: none is made smaller.
            typical = np.quantile(rows[rows > 0], (0.25, 0.5, 0.75, 1.0), method="nearest")
            some = [min(int(count), MOST_ROWS) for count in np.unique(typical)]
            x = torch.ones((some[-1], self._kernel.shape[1]), dtype=dtype)
            out = torch.zeros((some[-1], self.features), dtype=dtype)

            def run() -> None:
                for count in some:
                    one.add_to(out[:count], x[:count])

            return run

        dtype = getattr(torch, str(self._kernel.dtype))
        key = ("position", *self._kernel.shape[1:], str(dtype), self._device.type)
        shape = (*key, torch.get_num_threads())
        name = self._choices.best(shape, self._names, None if few else trial, True)
        if name != self._form[0]:
            self._form = ("", [])  # goes before the other one is made
            self._form = (name, self._made(name, self._kernel))
        self._settled = self._choices.settled(shape, self._names)
        return self._form[1]

    def window_sums(
        self,
        windows: Sequence[_Tensor],
        starts: Sequence[np.ndarray],
        table: _Tensor,
        sequences: Sequence[np.ndarray],
    ) -> _Tensor:
        """``table[sequence] + sum_p x[p] @ kernel[start + p]`` for every mutant of all `windows`.

        Parameters
        ----------
        windows : sequence of tensor, each (width, blocks, mutants, channels)
        starts : sequence of ndarray of int, each shape (blocks,)
            Of the windows of each block.
        table : tensor, shape (sequences, features)
        sequences : sequence of ndarray of int, each shape (blocks,)
            Rows of `table` to start the sums of each block from.

        Returns
        -------
        tensor, shape (mutants of all windows, features)
        """
        pieces = [piece for window in windows for piece in window.flatten(0, 1)]
        spans = _spans(windows, starts)
        order = np.lexsort((spans.stop, spans.start))
        spans = _Spans(*(column[order] for column in spans))
        rows = np.cumsum([0, *spans.mutants])
        first_terms = np.repeat(np.concatenate(sequences)[order], spans.mutants)
        sums = table.new_empty((int(rows[-1]), self.features))
        torch.index_select(table, 0, torch.from_numpy(first_terms), out=sums)
        for position, matrix in enumerate(self._matrices(spans.rows(len(self._kernel)))):
            read = np.flatnonzero((spans.start <= position) & (position < spans.stop))
            if not len(read):
                continue
            place = spans.piece[read] + (position - spans.start[read]) * spans.step[read]
            # One run of rows, unless windows contain one another.
            ends = [*np.flatnonzero(np.diff(read) != 1) + 1, len(read)]
            for first, last in pairwise([0, *ends]):
                x = torch.cat([pieces[i] for i in place[first:last]])
                out = sums[rows[read[first]] : rows[read[last - 1] + 1]]
                matrix.add_to(out, x)
        if np.array_equal(order, np.arange(len(order))):
            return sums
        back = [sums[rows[i] : rows[i + 1]] for i in np.argsort(order)]
        return torch.cat(back)


class _Spans(NamedTuple):
    """Where the windows of blocks lie, each an ndarray of int of shape (blocks,).

    `piece` counts the positions of all blocks of all windows, one after the other; it is that of a
    block's first position, `step` the pieces from one of its positions to the next.
    """

    start: np.ndarray
    stop: np.ndarray
    piece: np.ndarray
    step: np.ndarray
    mutants: np.ndarray

    def rows(self, length: int) -> np.ndarray:
        """How many mutants there are at each of `length` positions."""
        begin = np.bincount(self.start, self.mutants, length + 1)
        end = np.bincount(self.stop, self.mutants, length + 1)
        return np.cumsum(begin - end)[:length]


def _spans(windows: Sequence[_Tensor], starts: Sequence[np.ndarray]) -> _Spans:
    columns, done = [], 0
    for window, start in zip(windows, starts, strict=True):
        width, blocks, mutants, _ = window.shape
        piece = done + np.arange(blocks)
        same = (np.full_like(piece, number) for number in (blocks, mutants))
        columns.append((start, start + width, piece, *same))
        done += width * blocks
    return _Spans(*(np.concatenate(column) for column in zip(*columns, strict=True)))
