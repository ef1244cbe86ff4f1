"""The file of a store in the making: an append-only journal of batches.

HDF5 cannot promise that a file survives the process that writes it: metadata are changed in place
and in no order that would leave a readable file behind at every moment, and single-writer mode
(SWMR), which does order them, still leaves a file that has to be repaired before it can be written
to again. So batches go into a journal that is only ever appended to: a killed process or a full
disk can damage nothing but the batch being written, which is recognised by its length and checksum
and cut off. A finished journal is turned into HDF5 in one go (`fastism.store.hdf5`).

A journal is a sequence of frames: a fixed head (magic, lengths of meta and body, rows, records
consumed, CRC-32 of meta and body, CRC-32 of the head itself), meta as JSON, and a body. The first
frame's meta is the header of the store; of every other frame of a store of scores, the meta are the
regions and what was skipped, the body the arrays of `schema.array_types`, one after the other,
little-endian. Effects of variants have the same frames (`fastism.store.effects`).

Requirements: numpy.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from fastism.errors import FastISMError
from fastism.store.schema import Header, array_types

MAGIC = b"FISMJRN1"
_HEAD = struct.Struct("<8sQQQQI")
_CHECK = struct.Struct("<I")
HEAD_SIZE = _HEAD.size + _CHECK.size
#: Columns of the regions in the order of the meta, and the fields of `Region` they are made from.
COLUMNS = ("names", "chrom", "start", "end", "strand")
REGION_FIELDS = ("name", "chrom", "start", "end", "strand")


@dataclass(frozen=True)
class Frame:
    """Where a batch lies in the journal.

    Attributes
    ----------
    first, rows : int
        Number of its first row in the store, and of its rows.
    consumed : int
        Records of the input up to and including this batch.
    meta, body, end : int
        Offsets in the file.
    checksum : int
    """

    first: int
    rows: int
    consumed: int
    meta: int
    body: int
    end: int
    checksum: int


def write_frame(
    handle: BinaryIO, meta: Any, arrays: Sequence[np.ndarray], rows: int, consumed: int
) -> None:
    """Append one frame to an unbuffered file, and see it onto the disk.

    Parameters
    ----------
    handle : binary file, unbuffered, at its end
    meta : what JSON can express
    arrays : sequence of ndarray
        C-contiguous, in the order of `schema.array_types`.
    rows, consumed : int
        As in `Frame`.

    Raises
    ------
    OSError
        If it cannot be written; the file is then as long as before.
    """
    text = json.dumps(meta).encode()
    views = [memoryview(text), *(memoryview(a.reshape(-1)).cast("B") for a in arrays if a.size)]
    checksum = 0
    for view in views:
        checksum = zlib.crc32(view, checksum)
    body = sum(view.nbytes for view in views[1:])
    head = _HEAD.pack(MAGIC, len(text), body, rows, consumed, checksum)
    start = handle.seek(0, os.SEEK_END)
    try:
        for view in [memoryview(head + _CHECK.pack(zlib.crc32(head))), *views]:
            _write_all(handle, view)
        os.fsync(handle.fileno())
    except BaseException:
        # Also for an interrupt from the keyboard: what follows would be unreachable otherwise.
        handle.truncate(start)
        raise


def _write_all(handle: BinaryIO, view: memoryview) -> None:
    """Write all of it: one call of an unbuffered file may write less."""
    done = 0
    while done < view.nbytes:
        done += handle.write(view[done : done + (1 << 28)])


class Frames(ABC):
    """The readable part of a journal of whatever: all whole frames from its start.

    Parameters
    ----------
    path : Path
    verify : bool
        Compare the checksums of all batches, not only of the last one.
    handle : binary file, optional
        The file itself, where it is open already; it stays open.

    Raises
    ------
    FastISMError
        If the header cannot be read.
    """

    #: What a journal holds, for people.
    holds = "scores"
    complete = False
    header: Any

    def __init__(self, path: Path, verify: bool = False, handle: BinaryIO | None = None) -> None:
        self.path = path
        try:
            if handle is None:
                self._handle = path.open("rb")
            else:
                self._handle = os.fdopen(os.dup(handle.fileno()), "rb")
            frames = list(_frames(self._handle))
            if not frames or not _intact(self._handle, frames[0]):
                raise FastISMError(
                    f"{path} has no readable header; it is no store of {self.holds}. Score again "
                    "without --resume."
                )
            self.header = self._read_header(json.dumps(self._meta(frames[0])))
        except OSError as error:
            raise FastISMError(f"{path} cannot be read ({error.strerror}).") from error
        self.frames = frames[1:]
        if verify:
            good = [_intact(self._handle, frame) for frame in self.frames]
            self.frames = self.frames[: [*good, False].index(False)]
        elif self.frames and not _intact(self._handle, self.frames[-1]):
            self.frames = self.frames[:-1]
        self.end = self.frames[-1].end if self.frames else frames[0].end
        self.rows = sum(frame.rows for frame in self.frames)
        self.consumed = self.frames[-1].consumed if self.frames else 0

    @abstractmethod
    def _read_header(self, text: str) -> Any:
        """What the first frame says."""

    def close(self) -> None:
        """Close the file."""
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _meta(self, frame: Frame) -> Any:
        self._handle.seek(frame.meta)
        return json.loads(self._handle.read(frame.body - frame.meta))

    def _body(self, frame: Frame) -> bytes:
        self._handle.seek(frame.body)
        return self._handle.read(frame.end - frame.body)


class Journal(Frames):
    """The journal of a store of scores; parameters and errors as of `Frames`."""

    def __init__(self, path: Path, verify: bool = False, handle: BinaryIO | None = None) -> None:
        super().__init__(path, verify, handle)
        self._types = array_types(self.header)

    def _read_header(self, text: str) -> Header:
        return Header.from_json(text)

    def column(self, name: str) -> list[Any]:
        """A column of the regions, one entry per row."""
        index = COLUMNS.index(name)
        return [x for frame in self.frames for x in self._meta(frame)["regions"][index]]

    def skipped(self) -> list[tuple[str, str]]:
        """Records that were not scored: name and reason."""
        return [(n, r) for frame in self.frames for n, r in self._meta(frame)["skipped"]]

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of an array, shape (rows, ...)."""
        dtype, shape = self._types[name]
        kind = np.dtype(dtype)
        result = np.empty((stop - start, *shape), kind)
        for frame in self.frames:
            low, high = max(start, frame.first), min(stop, frame.first + frame.rows)
            if low < high:
                offset = self._offset(frame, name)
                size = math.prod(shape)
                self._handle.seek(offset + (low - frame.first) * size * kind.itemsize)
                part = np.fromfile(self._handle, kind, (high - low) * size)
                result[low - start : high - start] = part.reshape(-1, *shape)
        return result

    def _offset(self, frame: Frame, name: str) -> int:
        offset = frame.body
        for other, (dtype, shape) in self._types.items():
            if other == name:
                break
            offset += frame.rows * math.prod(shape) * np.dtype(dtype).itemsize
        return offset


def is_torn(handle: BinaryIO) -> bool:
    """Whether a file is empty or ends within its first frame: its process got no further."""
    size = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    head = handle.read(HEAD_SIZE)
    if not MAGIC.startswith(head[: len(MAGIC)]):
        return False
    if len(head) < HEAD_SIZE:
        return True
    _, meta, body, *_ = _HEAD.unpack(head[: _HEAD.size])
    (check,) = _CHECK.unpack(head[_HEAD.size :])
    return check == zlib.crc32(head[: _HEAD.size]) and HEAD_SIZE + meta + body > size


def _frames(handle: BinaryIO) -> Iterator[Frame]:
    """The frames that lie in the file as a whole, up to the first that does not."""
    size = handle.seek(0, os.SEEK_END)
    offset = first = 0
    while offset + HEAD_SIZE <= size:
        handle.seek(offset)
        head = handle.read(_HEAD.size)
        (check,) = _CHECK.unpack(handle.read(_CHECK.size))
        magic, meta, body, rows, consumed, checksum = _HEAD.unpack(head)
        start = offset + HEAD_SIZE
        offset = start + meta + body
        if magic != MAGIC or check != zlib.crc32(head) or offset > size:
            return
        yield Frame(first, rows, consumed, start, start + meta, offset, checksum)
        first += rows


def _intact(handle: BinaryIO, frame: Frame) -> bool:
    """Whether meta and body are what was written."""
    handle.seek(frame.meta)
    checksum, left = 0, frame.end - frame.meta
    while left:
        data = handle.read(min(left, 1 << 24))
        if not data:
            return False
        checksum, left = zlib.crc32(data, checksum), left - len(data)
    return checksum == frame.checksum
