"""Writing a store of scores batch by batch, so that no interruption costs more than a batch.

Until it is complete, a store is an append-only journal (`fastism.store.journal`, which says why);
`StoreWriter.complete` turns it into one HDF5 file under the same path.

Requirements: numpy; h5py to complete a store.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fastism.errors import FastISMError
from fastism.files.locks import names, open_locked
from fastism.files.whole import whole_file
from fastism.genomics.regions import Region
from fastism.store.journal import REGION_FIELDS, Journal
from fastism.store.journal_writer import JournalWriter, check_same
from fastism.store.reader import Store
from fastism.store.schema import Header, array_types, scores_name


class StoreWriter(JournalWriter):
    """Takes scores batch by batch; made by `create` or `resume`.

    Attributes are those of `JournalWriter`; `header` is a `Header`.

    Examples
    --------
        with StoreWriter.create(Path("scores.h5.partial"), header) as writer:
            writer.append(regions, one_hot, [reference], [deltas])
            writer.complete()
    """

    journal = Journal
    header: Header

    @classmethod
    def _finished(cls, path: Path, header: Header, held: BinaryIO) -> StoreWriter:
        """The finished store, of which nothing but the output is missing."""
        with Store(path) as store:
            check_same(path, store.header, header)
            return cls(path, header, store.consumed, held, complete=True)

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
        self._check_open()
        arrays = self._checked(len(regions), one_hot, reference, scores, sds)
        columns = [[getattr(r, name) for r in regions] for name in REGION_FIELDS]
        meta = {"regions": columns, "skipped": [list(pair) for pair in skipped]}
        self._append(meta, arrays, len(regions), len(regions) + len(skipped))

    def complete(self) -> None:
        """Turn the journal into a complete HDF5 store under the same path.

        Raises
        ------
        FastISMError
            If records are missing, or the disk is full; the journal is then as before.
        """
        if self.complete_already:
            return
        self._check_whole()
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
