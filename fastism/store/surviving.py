"""A file for HDF5 that outlives a full disk.

The HDF5 library cannot close a file whose last writes failed: it ends the process, or leaves it to
crash later. So it writes through an object that never fails. What cannot be written is kept in
memory, the failure is remembered, and whoever writes asks for it after every block.

Requirements: h5py where a file is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import h5py


@contextmanager
def new_hdf5(path: Path, **how: Any) -> Iterator[tuple[h5py.File, SurvivingFile]]:
    """A new HDF5 file, which is closed in peace even if nothing can be written any more.

    Parameters
    ----------
    path : Path
    **how
        As `h5py.File` takes it.

    Yields
    ------
    h5py.File
    SurvivingFile
        What it is written through; call its `check` after every block.

    Raises
    ------
    OSError
        If it cannot be created, or what is left at the end cannot be written.
    """
    with (
        SurvivingFile(path.open("w+b", buffering=0)) as file,
        written_through(file, "w", **how) as root,
    ):
        yield root, file


@contextmanager
def written_through(file: SurvivingFile, mode: str, **how: Any) -> Iterator[h5py.File]:
    """An HDF5 file in a file that is open; what fails at its end is raised.

    Parameters
    ----------
    file : SurvivingFile
    mode : str
    **how
        As `h5py.File` takes it.

    Raises
    ------
    OSError
        If something could not be written.
    """
    import h5py  # the help page of a command must not wait for it

    with h5py.File(file, mode, **how) as root:
        yield root
    # What is left is written when the library closes the file.
    file.check()


class SurvivingFile:
    """A binary file for reading and writing, as `h5py.File` takes it.

    Parameters
    ----------
    file : binary file
        Open for reading and writing, without a buffer. Nothing that is done with it raises from
        here on, except `check`. It is closed with this one.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._failure: BaseException | None = None
        #: What could not be written: offset, size, and bytes, or none for zeros. The library fills
        #: whole arrays with them, which may be larger than memory.
        self._lost: list[tuple[int, int, bytes]] = []

    def check(self) -> None:
        """Raise what kept something from being written, if anything did."""
        if self._failure is not None:
            raise self._failure

    def write(self, data: memoryview) -> int:
        """Write all of it at the current position; a failure is kept for `check`."""
        view = memoryview(data).cast("B")
        start, done = self._file.tell(), 0
        try:
            while self._failure is None and done < view.nbytes:
                done += self._file.write(view[done:])
        except BaseException as error:
            # An interrupt from the keyboard must not reach the library either.
            self._failure = error
        if done < view.nbytes:
            data = bytes(view)
            self._lost.append((start, len(data), data if any(data) else b""))
            self._file.seek(start + view.nbytes)
        return view.nbytes

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer from the current position, with zeros beyond the end."""
        view = memoryview(buffer).cast("B")
        start, done = self._file.tell(), 0
        while done < view.nbytes:
            count = self._file.readinto(view[done:])
            if not count:
                break
            done += count
        view[done:] = bytes(view.nbytes - done)
        for offset, size, data in self._lost:
            low, high = max(start, offset), min(start + view.nbytes, offset + size)
            if low < high:
                kept = data[low - offset : high - offset] if data else bytes(high - low)
                view[low - start : high - start] = kept
        self._file.seek(start + view.nbytes)
        return view.nbytes

    def read(self, size: int) -> bytes:
        """The next bytes; h5py knows a file by this method, and reads with `readinto`."""
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file; the end is that of what was to be written."""
        if whence == os.SEEK_END and self._lost:
            end = max(self._file.seek(0, os.SEEK_END), *(o + n for o, n, _ in self._lost))
            return self._file.seek(end + offset)
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The current position."""
        return self._file.tell()

    def truncate(self, size: int) -> int:
        """Set the length, unless something failed already."""
        try:
            if self._failure is None:
                self._file.truncate(size)
        except OSError as error:
            self._failure = error
        return size

    def flush(self) -> None:
        """Nothing is held back: the file is not buffered."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> SurvivingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
