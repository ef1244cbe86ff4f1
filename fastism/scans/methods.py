"""The calls of a model that scan: deletions, insertions and chimeras at every position.

Requirements: numpy.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastism.base_ism import BaseISM
from fastism.calls.inputs import check_outputs, check_positions
from fastism.calls.result import Perturbed
from fastism.errors import FastISMError
from fastism.scans import splices as made_of
from fastism.scans.result import Scan
from fastism.scans.splices import Splices
from fastism.scans.words import check_anchor, check_fill, check_widths, check_words

Made = Iterator[tuple[np.ndarray, list[np.ndarray]]]


class Scans(BaseISM):
    """Scans of a model, fast or naive: what is done at every position, in one call."""

    @abstractmethod
    def _run_splices(
        self, inputs: Sequence[np.ndarray], splices: Splices, select: dict[int, np.ndarray | None]
    ) -> Made:
        """Selected outputs, in the model's layout, of the splices of one sequence.

        `inputs` are those of one sequence, each (1, *shape). Yields indices of splices and their
        outputs, each (splices, *output).
        """

    def deletions(
        self,
        x: Any,
        width: int | Sequence[int] = 1,
        *,
        fill: Any = "N",
        anchor: str = "left",
        outputs: Any = None,
        positions: Any = None,
    ) -> Scan:
        """Outputs with `width` letters deleted from every position on.

        The mutant has the length of the sequence: the letters behind the deletion move towards it,
        and `fill` moves in at the end.

        Parameters
        ----------
        x : array, shape (N, L, C), or list of arrays
            As for `saturate`.
        width : int, or sequence of int
            How many letters; with several, every one of them is scanned.
        fill : "N", str, or array of shape (F, C) or (N, F, C)
            What moves in at the end, with F at least the largest width: "N" for rows of zeros,
            the letters that follow the sequence (one string for all sequences or one for each),
            or their rows (for torch modules (C, F) and (N, C, F)). A deletion that begins
            fewer than `width` letters before the end takes the rest from what follows, too.
        anchor : {"left", "right"}
            Which end of the sequence stays where it is. With "right" the letters before the
            deletion move, and `fill` is what precedes the sequence.
        outputs, positions
            As for `saturate`.

        Returns
        -------
        Scan
            ``mutants`` (N, widths, P, *output).

        Raises
        ------
        FastISMError
            If something given does not fit the model.
        """
        inputs = self._inputs(x)
        sequences = inputs[self.seq_input_idx]
        widths = check_widths(width, self.seqlen)
        where = check_positions(positions, self.seqlen)
        rows = check_fill(fill, sequences, max(widths), self._front.channels_first)
        check_anchor(anchor)

        def splices(i: int, change: int) -> Splices:
            size = widths[change]
            near = rows[i, :size] if anchor == "left" else rows[i, rows.shape[1] - size :]
            return made_of.deletions(sequences[i], size, near, where, anchor)

        return self._scan(inputs, splices, [f"-{n}" for n in widths], where, outputs)

    def insertions(
        self,
        x: Any,
        words: Any,
        *,
        anchor: str = "left",
        outputs: Any = None,
        positions: Any = None,
    ) -> Scan:
        """Outputs with words inserted before every position.

        The mutant has the length of the sequence: the letters behind the word move away from it,
        and those that no longer fit fall off at the end.

        Parameters
        ----------
        x : array, shape (N, L, C), or list of arrays
            As for `saturate`.
        words : str, array of shape (width, C), or sequence of them
            What is inserted: letters of DNA, or rows. For torch modules arrays are (C, width).
        anchor : {"left", "right"}
            Which end of the sequence stays where it is; the other one is where letters fall off.
        outputs, positions
            As for `saturate`.

        Returns
        -------
        Scan
            ``mutants`` (N, words, P, *output).

        Raises
        ------
        FastISMError
            If something given does not fit the model.
        """
        inputs = self._inputs(x)
        sequences = inputs[self.seq_input_idx]
        where = check_positions(positions, self.seqlen)
        names, rows = check_words(words, sequences, self._front.channels_first)
        check_anchor(anchor)

        def splices(i: int, change: int) -> Splices:
            return made_of.insertions(sequences[i], rows[change], where, anchor)

        return self._scan(inputs, splices, names, where, outputs)

    def splices(self, a: Any, b: Any, *, outputs: Any = None, positions: Any = None) -> Scan:
        """Outputs of chimeras: `a` before a position and `b` from it on, for every position.

        Parameters
        ----------
        a, b : array, shape (N, L, C)
            Sequences; those of one row are spliced. Lists of arrays where the model has several
            inputs, of which only the sequence may differ.
        outputs : optional
            As for `saturate`.
        positions : optional
            A list of positions from 0 (all of `b`) to L (all of `a`); all of them by default.

        Returns
        -------
        Scan
            ``reference`` holds the outputs of `a`; ``mutants`` (N, 1, P, *output).

        Raises
        ------
        FastISMError
            If something given does not fit the model.
        """
        left, right = self._inputs(a), self._inputs(b)
        for i, (x, y) in enumerate(zip(left, right, strict=True)):
            if x.shape != y.shape or (i != self.seq_input_idx and not np.array_equal(x, y)):
                raise FastISMError(
                    f"Input {i} of both sides has shapes {x.shape} and {y.shape}; expected equal "
                    "shapes, and equal values of all inputs but the sequence."
                )
        where = check_positions(positions, self.seqlen + 1)
        given = left[self.seq_input_idx], right[self.seq_input_idx]

        def splices(i: int, change: int) -> Splices:
            return made_of.switched(given[0][i], given[1][i], where)

        return self._scan(left, splices, ["splice"], where, outputs)

    def spliced(self, x: np.ndarray, splices: Splices, outputs: Any = None) -> Perturbed:
        """Outputs of splices, for callers that hold sequences (L, C), whatever order models take.

        Parameters
        ----------
        x : array, shape (1, L, C)
            Of a model with one input: what the splices are compared with.
        splices : Splices
        outputs : optional
            As for `saturate`.

        Returns
        -------
        Perturbed
            One mutant for each splice, all of sequence 0.
        """
        inputs = self._by_position(x)
        given = (splices.left, splices.right, splices.start, splices.word)
        splices = Splices(*(v if v.ndim == 1 else v.astype(inputs[0].dtype) for v in given))
        select = check_outputs(outputs, self._output_shapes(inputs))
        reference = self._chosen_references(inputs, select)
        whole = [np.empty((len(splices), *y.shape[1:]), y.dtype) for y in reference]
        for index, made in self._run_splices(inputs, splices, select):
            for array, y in zip(whole, made, strict=True):
                array[index] = y
        packed = self._packed(reference), self._packed(whole)
        return Perturbed(*packed, np.zeros(len(splices), np.int64))

    def _scan(
        self,
        inputs: Sequence[np.ndarray],
        splices: Callable[[int, int], Splices],
        names: Sequence[str],
        positions: np.ndarray,
        outputs: Any,
    ) -> Scan:
        """Run all changes of all sequences: ``splices(sequence, change)`` says what they are."""
        select = check_outputs(outputs, self._output_shapes(inputs))
        reference = self._chosen_references(inputs, select)
        whole = [
            np.empty((len(y), len(names), len(positions), *y.shape[1:]), y.dtype) for y in reference
        ]
        for i in range(len(inputs[0])):
            one = [x[i : i + 1] for x in inputs]
            for change in range(len(names)):
                for index, made in self._run_splices(one, splices(i, change), select):
                    for array, y in zip(whole, made, strict=True):
                        array[i, change, index] = y
        return Scan(self._packed(reference), self._packed(whole), positions, tuple(names))

    def _chosen_references(
        self, inputs: Sequence[np.ndarray], select: dict[int, np.ndarray | None]
    ) -> list[np.ndarray]:
        """Selected outputs of the sequences as they are."""
        made = self._front.forward(inputs)
        return [made[i] if e is None else made[i][:, e] for i, e in select.items()]
