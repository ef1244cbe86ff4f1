"""Whoever writes a journal: it is begun, locked, gone on with, and left for a later run.

Requirements: none besides those of `fastism.store.journal`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self

import numpy as np

from fastism.errors import FastISMError
from fastism.files.locks import names, open_locked
from fastism.files.whole import unwritable
from fastism.store.journal import MAGIC, Frames, is_torn, write_frame

#: Fields of headers whose values say nothing to people, and what it means that they differ.
CHANGED = {
    "model_hash": "the model has changed",
    "input_hash": "the input has changed, or the letters of the genome that it refers to",
    "windows_hash": "the genome has changed, or the regions",
}


class JournalWriter:
    """Takes what a run makes batch by batch; made by `create` or `resume`.

    Until it is closed, its file is locked: no other process can write, replace or finish it.

    Attributes
    ----------
    path : Path
    header : dataclass
        With ``expected`` (records of the input), ``to_json()`` and ``difference(other)``.
    consumed : int
        Records of the input already dealt with, scored and skipped ones.
    complete_already : bool
        Whether the file is finished, so that nothing can be added.
    """

    #: What reads such a journal.
    journal: ClassVar[type[Frames]]

    def __init__(
        self, path: Path, header: Any, consumed: int, held: BinaryIO, complete: bool = False
    ) -> None:
        self.path, self.header, self.consumed = path, header, consumed
        self.complete_already = complete
        self._held = held

    @classmethod
    def create(cls, path: Path, header: Any, *, replace: bool = False) -> Self:
        """Begin a journal.

        Parameters
        ----------
        path : Path
        header : dataclass
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
    def resume(cls, path: Path, header: Any) -> Self:
        """Go on with a journal after its last whole batch.

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
                return cls._finished(path, header, held)
            with cls.journal(path, verify=True, handle=held) as journal:
                check_same(path, journal.header, header)
                held.truncate(journal.end)
                return cls(path, header, journal.consumed, held, journal.complete)
        except BaseException:
            held.close()
            raise

    @classmethod
    def _begun(cls, path: Path, header: Any, held: BinaryIO) -> Self:
        """A journal with nothing but its header, in a file that is locked."""
        try:
            held.truncate(0)
            write_frame(held, json.loads(header.to_json()), (), 0, 0)
        except OSError as error:
            path.unlink(missing_ok=True)
            held.close()
            raise unwritable(path, error) from error
        return cls(path, header, 0, held)

    @classmethod
    def _finished(cls, path: Path, header: Any, held: BinaryIO) -> Self:
        """What a file is that is no journal: where its format has another form, the finished one.

        Raises
        ------
        FastISMError
            Where it is none.
        """
        raise FastISMError(
            f"{path} is no file of {cls.journal.holds} that was left unfinished. Remove it, or "
            "choose another name."
        )

    def _append(self, meta: Any, arrays: Sequence[np.ndarray], rows: int, records: int) -> None:
        """Add a frame that deals with some records; it is on the disk when this returns."""
        self._check_open()
        consumed = self.consumed + records
        if consumed > self.header.expected:
            raise FastISMError(
                f"{self.path} was to hold {self.header.expected} records; got {consumed}. The "
                "input has changed since the run began."
            )
        try:
            write_frame(self._held, meta, arrays, rows, consumed)
        except OSError as error:
            raise unwritable(self.path, error) from error
        self.consumed = consumed

    def _check_open(self) -> None:
        if self.complete_already:
            raise FastISMError(f"{self.path} is complete; nothing can be added to it.")

    def _check_whole(self) -> None:
        """Refuse to complete what lacks records."""
        if self.consumed != self.header.expected:
            raise FastISMError(
                f"{self.path} was to hold {self.header.expected} records and has "
                f"{self.consumed}. The input has changed since the run began."
            )

    def discard(self) -> None:
        """Remove the file, unless something else stands under its name by now."""
        if names(self.path, self._held):
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, which ends its lock; what was appended stays."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_same(path: Path, found: Any, wanted: Any) -> None:
    """Refuse to go on with what was begun with something else.

    Raises
    ------
    FastISMError
        Naming the first field of the header that differs.
    """
    if difference := found.difference(wanted):
        field = difference.partition(":")[0]
        if field in CHANGED:
            difference = f"{CHANGED[field]} ({difference})"
        raise FastISMError(
            f"{path} cannot be continued, since it was begun with something else: "
            f"{difference} now. Run the command that began it, or remove it."
        )


def _locked(path: Path, create: bool) -> BinaryIO:
    """The file of a journal, opened and locked."""
    try:
        return open_locked(path, create=create)
    except OSError as error:
        if not create and isinstance(error, FileNotFoundError):
            raise FastISMError(
                f"There is no file {path}. Expected a file of scores; check the path."
            ) from None
        raise unwritable(path, error) from error
