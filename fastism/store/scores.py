"""What can be asked of scores, wherever they lie.

Requirements: numpy.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from fastism.errors import FastISMError
from fastism.genomics.regions import Region
from fastism.sequences import to_string
from fastism.store.schema import Header, block_rows, scores_name


class Scores(ABC):
    """Scores of N sequences: one store, or several that are read as one.

    Axes are those of `fastism.store.schema`. Rows are asked for as slices with a step of one.

    Attributes
    ----------
    header : Header
    """

    header: Header

    @abstractmethod
    def column(self, name: str) -> list[Any]:
        """``names``, ``chrom``, ``start``, ``end`` or ``strand`` of all rows."""

    @property
    @abstractmethod
    def skipped(self) -> list[tuple[str, str]]:
        """Records of the input that were not scored: name and reason."""

    @abstractmethod
    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of an array as it is stored, by its name in the layout."""

    @abstractmethod
    def __len__(self) -> int:
        """N, the number of sequences."""

    @cached_property
    def regions(self) -> list[Region]:
        """All sequences with their names and intervals.

        Letters outside the alphabet, whose rows are zero, come back as N (X or * where the
        alphabet has N).
        """
        alphabet = self.header.alphabet
        unknown = next(c for c in "NX*" if c not in alphabet)
        sequences: list[str] = []
        for rows in self.blocks():
            sequences += to_string(self.one_hot(rows), alphabet, unknown)
        names, chrom, start, end, strand = (
            self.column(n) for n in ("names", "chrom", "start", "end", "strand")
        )
        columns = (names, sequences, chrom, start, end, strand)
        return [Region(*row) for row in zip(*columns, strict=True)]

    def one_hot(self, rows: slice) -> np.ndarray:
        """Sequences, uint8 (n, L, C)."""
        return self.read("one_hot", *self._bounds(rows))

    def reference(self, output: int, rows: slice) -> np.ndarray:
        """Outputs for the sequences as they are, float32 (n, *shape)."""
        return self.read(f"outputs/{self.output(output)}/reference", *self._bounds(rows))

    def scores(self, output: int, rows: slice) -> np.ndarray:
        """Deltas or mutants as they are stored, (n, P, C, *shape)."""
        return self.read(scores_name(self.header, self.output(output)), *self._bounds(rows))

    def deltas(self, output: int, rows: slice) -> np.ndarray:
        """Mutants minus reference, float32 (n, P, C, *shape)."""
        scores = self.scores(output, rows).astype(np.float32)
        if self.header.content == "mutants":
            with np.errstate(invalid="ignore"):
                scores -= self.reference(output, rows)[:, None, None]
        return scores

    def reference_sd(self, output: int, rows: slice) -> np.ndarray:
        """Standard deviation of the reference over models, float32 (n, *shape).

        Raises
        ------
        FastISMError
            If the store has none: it was not scored with several models and ``--sd``.
        """
        self._check_sd()
        return self.read(f"outputs/{self.output(output)}/reference_sd", *self._bounds(rows))

    def scores_sd(self, output: int, rows: slice) -> np.ndarray:
        """Standard deviation of `scores` over models, (n, P, C, *shape); as `reference_sd`."""
        self._check_sd()
        name = scores_name(self.header, self.output(output))
        return self.read(f"{name}_sd", *self._bounds(rows))

    def importance(self, output: int, rows: slice) -> np.ndarray:
        """Minus the mean effect of the alternatives, float32 (n, P, *shape).

        As `fastism.Saturation.importance`: C - 1 alternatives where a position has a character, C
        where it has none.
        """
        deltas = self.deltas(output, rows)
        known = self.one_hot(rows)[:, slice(*self.header.positions)].any(2)
        alternatives = np.float32(len(self.header.alphabet)) - known
        with np.errstate(invalid="ignore"):
            total = deltas.sum(2)
        return (-total / alternatives.reshape(*known.shape, *[1] * (total.ndim - 2))).astype(
            np.float32
        )

    def find(self, name: str) -> int:
        """The row of a sequence, by its whole name or, if that is no name, by its first word.

        Raises
        ------
        FastISMError
            If there is none, naming those that are close, or if there are several.
        """
        names = self.column("names")
        rows = [i for i, n in enumerate(names) if n == name]
        if not rows:
            rows = [i for i, n in enumerate(names) if n.split(maxsplit=1)[:1] == [name]]
        if len(rows) == 1:
            return rows[0]
        if rows:
            listed = ", ".join(f"{names[i]!r} (row {i})" for i in rows[:5])
            raise FastISMError(
                f"{len(rows)} sequences are called {name!r}: {listed}. Give a name that only one "
                "of them has."
            )
        close = (
            difflib.get_close_matches(name, list(dict.fromkeys(names)), n=5, cutoff=0.3)
            or names[:5]
        )
        raise FastISMError(
            f"There is no sequence {name!r} among the {len(names)} scored ones"
            + (f"; did you mean {', '.join(map(repr, close))}?" if close else ".")
        )

    def output(self, number: int) -> int:
        """The number of an output, checked.

        Raises
        ------
        FastISMError
            If there is no such output.
        """
        count = len(self.header.outputs)
        if number not in range(count):
            names = ", ".join(f"{i} ({o.name})" for i, o in enumerate(self.header.outputs[:10]))
            raise FastISMError(f"There is no output {number}; the store has {count}: {names}.")
        return int(number)

    def blocks(self) -> Iterator[slice]:
        """All rows in blocks of some 32 MiB, the same blocks for the same content."""
        size = block_rows(self.header)
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))

    def _check_sd(self) -> None:
        if not self.header.sd:
            raise FastISMError(
                "These scores have no standard deviations. Score with several models and --sd."
            )

    def _bounds(self, rows: slice) -> tuple[int, int]:
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise FastISMError(f"Rows are read with a step of one; got {rows}.")
        return start, max(start, stop)
