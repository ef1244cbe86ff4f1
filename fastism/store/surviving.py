"""A file for HDF5 that outlives a full disk.

The HDF5 library cannot close a file whose last writes failed: it ends the process, or leaves it to
crash later. So it writes through an object that never fails. What cannot be written is kept in
memory, the failure is remembered, and whoever writes asks for it after every block.

Requirements: none.
"""

from __future__ import annotations

import os
from pathlib import Path


class SurvivingFile:
    """A binary file for reading and writing, as `h5py.File` takes it.

    Parameters
    ----------
    path : Path
        A new file.

    Raises
    ------
    OSError
        If it cannot be created; nothing later raises, except `check`.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self._failure: BaseException | None = None
        self._lost: list[tuple[int, bytes]] = []

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
            self._lost.append((start, bytes(view)))
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
        for offset, data in self._lost:
            low, high = max(start, offset), min(start + view.nbytes, offset + len(data))
            if low < high:
                view[low - start : high - start] = data[low - offset : high - offset]
        self._file.seek(start + view.nbytes)
        return view.nbytes

    def read(self, size: int) -> bytes:
        """The next bytes; h5py knows a file by this method, and reads with `readinto`."""
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file; the end is that of what was to be written."""
        if whence == os.SEEK_END and self._lost:
            end = max(self._file.seek(0, os.SEEK_END), *(o + len(d) for o, d in self._lost))
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

    def __enter__(self) -> SurvivingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
