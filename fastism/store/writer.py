"""Writing a store of scores batch by batch, so that no interruption costs more than a batch.

Until it is complete, a store is an append-only journal (`fastism.store.journal`, which says why);
`StoreWriter.complete` turns it into one HDF5 file under the same path.

Requirements: numpy; h5py to complete a store.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fastism.errors import FastISMError
from fastism.files.locks import names, open_locked
from fastism.files.whole import unwritable, whole_file
from fastism.genomics.regions import Region
from fastism.store.journal import MAGIC, REGION_FIELDS, Journal, is_torn, write_frame
from fastism.store.reader import Store
from fastism.store.schema import Header, array_types, scores_name

#: Fields of a header whose values say nothing to people, and what it means that they differ.
CHANGED = {
    "model_hash": "the model has changed",
    "input_hash": "the input has changed, or the letters of the genome that it refers to",
}


class StoreWriter:
    """Takes scores batch by batch; made by `create` or `resume`.

    Until it is closed, its file is locked: no other process can write, replace or finish it.

    Attributes
    ----------
    path : Path
    header : Header
    consumed : int
        Records of the input already dealt with, scored and skipped ones.
    complete_already : bool
        Whether the file is the finished store, to which nothing can be added.

    Examples
    --------
        with StoreWriter.create(Path("scores.h5.partial"), header) as writer:
            writer.append(regions, one_hot, [reference], [deltas])
            writer.complete()
    """

    def __init__(
        self, path: Path, header: Header, consumed: int, held: BinaryIO, complete: bool = False
    ) -> None:
        self.path, self.header, self.consumed = path, header, consumed
        self.complete_already = complete
        self._held = held

    @classmethod
    def create(cls, path: Path, header: Header, *, replace: bool = False) -> StoreWriter:
        """Begin a store.

        Parameters
        ----------
        path : Path
        header : Header
        replace : bool
            Begin anew where a file exists, unless another process is writing it.

        Raises
        ------
        FastISMError
            If something exists under the path, another process writes it, or it cannot be written.
        """
        path = Path(path)
        held = _locked(path, create=True)
        if os.fstat(held.fileno()).st_size and not replace:
            held.close()
            raise FastISMError(
                f"{path} exists already, from a run that was interrupted. Continue it with "
                "--resume, or remove it."
            )
        return cls._begun(path, header, held)

    @classmethod
    def resume(cls, path: Path, header: Header) -> StoreWriter:
        """Go on with a store after its last whole batch.

        A file that ends within its header, because its process was killed right at the beginning,
        holds nothing yet and is begun anew.

        Raises
        ------
        FastISMError
            If there is none, another process writes it, or it was made from something else; the
            first field of the header that differs is named.
        """
        path = Path(path)
        held = _locked(path, create=False)
        try:
            if is_torn(held):
                return cls._begun(path, header, held)
            held.seek(0)
            if held.read(len(MAGIC)) != MAGIC:
                with Store(path) as store:
                    _check_same(path, store.header, header)
                    return cls(path, header, store.consumed, held, complete=True)
            journal = Journal(path, verify=True, handle=held)
            journal.close()
            _check_same(path, journal.header, header)
            held.truncate(journal.end)
            return cls(path, header, journal.consumed, held)
        except BaseException:
            held.close()
            raise

    @classmethod
    def _begun(cls, path: Path, header: Header, held: BinaryIO) -> StoreWriter:
        """A store with nothing but its header, in a file that is locked."""
        try:
            held.truncate(0)
            write_frame(held, json.loads(header.to_json()), (), 0, 0)
        except OSError as error:
            path.unlink(missing_ok=True)
            held.close()
            raise unwritable(path, error) from error
        return cls(path, header, 0, held)

    def append(
        self,
        regions: Sequence[Region],
        one_hot: np.ndarray,
        reference: list[np.ndarray],
        scores: list[np.ndarray],
        skipped: Sequence[tuple[str, str]] = (),
        sds: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    ) -> None:
        """Add a batch; it is on the disk when this returns.

        Parameters
        ----------
        regions : sequence of Region
            n of them, possibly none.
        one_hot : ndarray of uint8, shape (n, L, C)
        reference : list of ndarray, shape (n, *shape)
            One per output.
        scores : list of ndarray, shape (n, P, C, *shape)
            One per output: deltas or mutants, as the header says.
        skipped : sequence of (name, reason)
            Records of the input that were left out of this batch.
        sds : sequence of (ndarray, ndarray)
            Standard deviations of reference and scores, one pair per output, where the header has
            them.

        Raises
        ------
        FastISMError
            For shapes that differ from the header's, values that are not finite or too large for
            float16, more records than expected, or a disk that is full.
        """
        if self.complete_already:
            raise FastISMError(f"{self.path} is complete; nothing can be added to it.")
        consumed = self.consumed + len(regions) + len(skipped)
        if consumed > self.header.expected:
            raise FastISMError(
                f"{self.path} was to hold {self.header.expected} records; got {consumed}. The "
                "input has changed since the run began."
            )
        arrays = self._checked(len(regions), one_hot, reference, scores, sds)
        columns = [[getattr(r, name) for r in regions] for name in REGION_FIELDS]
        meta = {"regions": columns, "skipped": [list(pair) for pair in skipped]}
        try:
            write_frame(self._held, meta, arrays, len(regions), consumed)
        except OSError as error:
            raise unwritable(self.path, error) from error
        self.consumed = consumed

    def complete(self) -> None:
        """Turn the journal into a complete HDF5 store under the same path.

        Raises
        ------
        FastISMError
            If records are missing, or the disk is full; the journal is then as before.
        """
        if self.complete_already:
            return
        if self.consumed != self.header.expected:
            raise FastISMError(
                f"{self.path} was to hold {self.header.expected} records and has "
                f"{self.consumed}. The input has changed since the run began."
            )
        from fastism.store import hdf5

        with Journal(self.path, handle=self._held) as journal, whole_file(self.path) as beside:
            hdf5.write(Store.of(self.path, journal), beside)
            # The finished file is locked before it takes the name, as this one is until then.
            finished = open_locked(beside)
            if not names(self.path, self._held):
                finished.close()
                raise FastISMError(
                    f"{self.path} was removed or replaced while it was being written. Run the "
                    "command again."
                )
        self._held.close()
        self._held, self.complete_already = finished, True

    def discard(self) -> None:
        """Remove the file, unless something else stands under its name by now."""
        if names(self.path, self._held):
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, which ends its lock; what was appended stays."""
        self._held.close()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked(
        self,
        count: int,
        one_hot: np.ndarray,
        reference: list[np.ndarray],
        scores: list[np.ndarray],
        sds: Sequence[tuple[np.ndarray, np.ndarray]],
    ) -> list[np.ndarray]:
        """The arrays of a batch in the order and the types of the layout."""
        outputs = len(self.header.outputs)
        wanted = outputs if self.header.sd else 0
        if len(reference) != outputs or len(scores) != outputs or len(sds) != wanted:
            raise FastISMError(
                f"Got references of {len(reference)} outputs, scores of {len(scores)} and standard "
                f"deviations of {len(sds)}; the store has {outputs} outputs, {wanted} of them with "
                "standard deviations."
            )
        given = {"one_hot": one_hot}
        for number in range(outputs):
            given[f"outputs/{number}/reference"] = reference[number]
            given[scores_name(self.header, number)] = scores[number]
        for number, (of_reference, of_scores) in enumerate(sds):
            given[f"outputs/{number}/reference_sd"] = of_reference
            given[f"{scores_name(self.header, number)}_sd"] = of_scores
        arrays = []
        for name, (dtype, shape) in array_types(self.header).items():
            array = np.asarray(given[name])
            if array.shape != (count, *shape):
                raise FastISMError(
                    f"{name} of a batch has shape {array.shape}; expected {(count, *shape)}."
                )
            arrays.append(_converted(name, array, dtype, self.header.not_finite == "keep"))
        return arrays


def _converted(name: str, array: np.ndarray, dtype: str, not_finite: bool) -> np.ndarray:
    """The array in C order and little-endian, or what keeps it from being stored."""
    if dtype == "uint8":
        if array.dtype.kind == "f" and (array % 1).any():
            raise FastISMError(f"{name} of a batch must hold zeros and ones only.")
        return np.ascontiguousarray(array, dtype)
    finite = np.isfinite(array)
    if not finite.all() and not not_finite:
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise FastISMError(
            f"{name} of a batch holds {array[where]} at {where}: the model gives no finite score "
            "for a sequence. Check the model with `fastism verify`."
        )
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, np.dtype(dtype).newbyteorder("<"))
    if np.isinf(converted[finite]).any():
        largest = float(np.abs(array[finite]).max())
        raise FastISMError(
            f"{name} of a batch reaches {largest:g}, which {dtype} cannot hold "
            f"(largest value {float(np.finfo(dtype).max):g}). Use float32."
        )
    return converted


def _check_same(path: Path, found: Header, wanted: Header) -> None:
    """Refuse to go on with a store that was begun with something else."""
    if difference := found.difference(wanted):
        field = difference.partition(":")[0]
        if field in CHANGED:
            difference = f"{CHANGED[field]} ({difference})"
        raise FastISMError(
            f"{path} cannot be continued, since it was begun with something else: "
            f"{difference} now. Run the command that began it, or remove it."
        )


def _locked(path: Path, create: bool) -> BinaryIO:
    """The file of a store, opened and locked."""
    try:
        return open_locked(path, create=create)
    except FileNotFoundError:
        raise FastISMError(
            f"There is no file {path}. Expected a file of scores; check the path."
        ) from None
    except OSError as error:
        raise unwritable(path, error) from error
