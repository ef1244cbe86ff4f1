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
from fastism.regions import Region
from fastism.store.files import unwritable, whole_file
from fastism.store.journal import REGION_FIELDS, Journal, write_frame
from fastism.store.layout import Header, array_types, scores_name
from fastism.store.reader import Store

try:
    import fcntl
except ImportError:  # Windows has no such locks: two runs that resume one file go unnoticed there.
    fcntl = None


class StoreWriter:
    """Takes scores batch by batch; made by `create` or `resume`.

    Attributes
    ----------
    path : Path
    header : Header
    consumed : int
        Records of the input already dealt with, scored and skipped ones.

    Examples
    --------
        with StoreWriter.create(Path("scores.h5.partial"), header) as writer:
            writer.append(regions, one_hot, [reference], [deltas])
            writer.complete()
    """

    def __init__(self, path: Path, header: Header, consumed: int, handle: BinaryIO | None) -> None:
        self.path, self.header, self.consumed = path, header, consumed
        self._handle = handle

    @classmethod
    def create(cls, path: Path, header: Header) -> StoreWriter:
        """Begin a store.

        Raises
        ------
        FastISMError
            If something exists under the path, or it cannot be written.
        """
        path = Path(path)
        if path.exists():
            raise FastISMError(
                f"{path} exists already, from a run that was interrupted. Continue it with "
                "--resume, or remove it."
            )
        # The header goes to the disk as a whole too: a file without one could not be resumed.
        with whole_file(path) as beside, beside.open("xb", buffering=0) as handle:
            write_frame(handle, json.loads(header.to_json()), (), 0, 0)
        return cls(path, header, 0, _opened(path))

    @classmethod
    def resume(cls, path: Path, header: Header) -> StoreWriter:
        """Go on with a store after its last whole batch.

        Raises
        ------
        FastISMError
            If there is none, another process writes it, or it was made from something else; the
            first field of the header that differs is named.
        """
        path = Path(path)
        with Store(path, allow_incomplete=True) as store:
            found, complete, consumed = store.header, store.complete, store.consumed
        if difference := found.difference(header):
            raise FastISMError(
                f"{path} cannot be continued, since it was begun with something else: "
                f"{difference} now. Run the command that began it, or remove it."
            )
        if complete:
            return cls(path, header, consumed, None)
        handle = _opened(path)
        journal = Journal(path, verify=True)
        journal.close()
        handle.truncate(journal.end)
        return cls(path, header, journal.consumed, handle)

    def append(
        self,
        regions: Sequence[Region],
        one_hot: np.ndarray,
        reference: list[np.ndarray],
        scores: list[np.ndarray],
        skipped: Sequence[tuple[str, str]] = (),
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

        Raises
        ------
        FastISMError
            For shapes that differ from the header's, values that are not finite or too large for
            float16, more records than expected, or a disk that is full.
        """
        if self._handle is None:
            raise FastISMError(f"{self.path} is complete; nothing can be added to it.")
        consumed = self.consumed + len(regions) + len(skipped)
        if consumed > self.header.expected:
            raise FastISMError(
                f"{self.path} was to hold {self.header.expected} records; got {consumed}. The "
                "input has changed since the run began."
            )
        arrays = self._checked(len(regions), one_hot, reference, scores)
        columns = [[getattr(r, name) for r in regions] for name in REGION_FIELDS]
        meta = {"regions": columns, "skipped": [list(pair) for pair in skipped]}
        try:
            write_frame(self._handle, meta, arrays, len(regions), consumed)
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
        if self._handle is None:
            return
        if self.consumed != self.header.expected:
            raise FastISMError(
                f"{self.path} was to hold {self.header.expected} records and has "
                f"{self.consumed}. The input has changed since the run began."
            )
        from fastism.store import hdf5

        with Store(self.path, allow_incomplete=True) as store, whole_file(self.path) as beside:
            hdf5.write(store, beside)
        self.close()

    def close(self) -> None:
        """Close the file; what was appended stays."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

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
    ) -> list[np.ndarray]:
        """The arrays of a batch in the order and the types of the layout."""
        outputs = len(self.header.outputs)
        if len(reference) != outputs or len(scores) != outputs:
            raise FastISMError(
                f"Got references of {len(reference)} outputs and scores of {len(scores)}; the "
                f"store has {outputs}."
            )
        given = {"one_hot": one_hot}
        for number in range(outputs):
            given[f"outputs/{number}/reference"] = reference[number]
            given[scores_name(self.header, number)] = scores[number]
        arrays = []
        for name, (dtype, shape) in array_types(self.header).items():
            array = np.asarray(given[name])
            if array.shape != (count, *shape):
                raise FastISMError(
                    f"{name} of a batch has shape {array.shape}; expected {(count, *shape)}."
                )
            arrays.append(_converted(name, array, dtype))
        return arrays


def _converted(name: str, array: np.ndarray, dtype: str) -> np.ndarray:
    """The array in C order and little-endian, or what keeps it from being stored."""
    if dtype == "uint8":
        if array.dtype.kind == "f" and (array % 1).any():
            raise FastISMError(f"{name} of a batch must hold zeros and ones only.")
        return np.ascontiguousarray(array, dtype)
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise FastISMError(
            f"{name} of a batch holds {array[where]} at {where}: the model gives no finite score "
            "for a sequence. Check the model with `fastism verify`."
        )
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, np.dtype(dtype).newbyteorder("<"))
    if np.isinf(converted).any():
        raise FastISMError(
            f"{name} of a batch reaches {float(np.abs(array).max()):g}, which {dtype} cannot hold "
            f"(largest value {float(np.finfo(dtype).max):g}). Use float32."
        )
    return converted


def _opened(path: Path) -> BinaryIO:
    """The journal opened for appending, and locked where the system has locks."""
    try:
        handle = path.open("r+b", buffering=0)
    except OSError as error:
        raise unwritable(path, error) from error
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            raise FastISMError(
                f"{path} is being written by another process. Wait for it, or end it."
            ) from None
        except OSError:
            # File systems without locks, as some of clusters.
            pass
    handle.seek(0, os.SEEK_END)
    return handle
