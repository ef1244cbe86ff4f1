"""The file that a command makes: what must be true before hours are spent on it, and how it ends.

Requirements: none.
"""

from __future__ import annotations

import glob
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from fastism.cli.exit_codes import Exit, Failure, refuse, stage
from fastism.errors import FastISMError
from fastism.files.locks import in_use, is_locked
from fastism.store.export import check_free
from fastism.store.journal_writer import JournalWriter


class Destination(ABC):
    """The output of a run, and the unfinished journal beside it.

    Parameters
    ----------
    output : Path
    shard : (int, int)
    force, resume : bool
        Replace what is there; go on with what is unfinished.

    Raises
    ------
    Failure
        If the output exists, an unfinished one does, or nothing can be written there.
    """

    #: What takes the batches of a run.
    writer: ClassVar[type[JournalWriter]]
    #: What a run consists of, for people.
    unit: ClassVar[str]

    def __init__(self, output: Path, shard: tuple[int, int], *, force: bool, resume: bool) -> None:
        if force and resume:
            raise refuse("--force begins anew and --resume goes on: give one of them.")
        self.output, self.force, self.resume = output, force, resume
        self.is_shard = shard != (1, 1)
        self.partial = output.with_name(output.name + ".partial")
        with stage(Exit.USAGE):
            files = self._files()
        with stage(Exit.OUTPUT):
            self._check_place()
            # What --resume finds beside an output was begun with --force.
            check_free(files, force or resume)
        #: Whether the user goes on with a run that has ended already.
        self.finished = (
            resume
            and not self.partial.exists()
            and not self.parts()
            and all(file.exists() for file in files)
        )

    @abstractmethod
    def _files(self) -> list[Path]:
        """The files of the output, if its name is one that such an output can have."""

    @abstractmethod
    def _check_planned(self, header: Any) -> None:
        """Refuse an output that cannot hold what is planned."""

    @abstractmethod
    def _header(self) -> Any:
        """What the finished output was made from; None where its format does not say."""

    @abstractmethod
    def _progress(self, path: Path) -> tuple[int, int]:
        """How much an unfinished file holds, and how much it is to hold."""

    @abstractmethod
    def _write(self) -> list[Path]:
        """Make the output from the complete journal; the files that were written."""

    def parts(self) -> list[Path]:
        """Unfinished stores of several models that are scored one after the other, in order."""
        found = self.partial.parent.glob(f"{glob.escape(self.partial.name)}.*")
        numbered = {int(n): path for path in found if (n := path.suffix[1:]).isdecimal()}
        return [numbered[number] for number in sorted(numbered)]

    def part(self, number: int, header: Any) -> JournalWriter:
        """The store of one of several models, counted from 1: new, or as far as it came."""
        path = self.partial.with_name(f"{self.partial.name}.{number}")
        with stage(Exit.OUTPUT):
            if self.resume and path.exists():
                return self.writer.resume(path, header)
            return self.writer.create(path, header, replace=self.force)

    def _check_place(self) -> None:
        folder = self.output.parent
        if is_locked(self.partial):
            raise in_use(self.partial)
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            raise FastISMError(
                f"{folder} cannot be written to (permission denied), so {self.output.name} cannot "
                "be made there. Choose another place."
            )
        left = [path for path in (self.partial, *self.parts()) if path.exists()]
        if left and not (self.force or self.resume):
            raise FastISMError(
                f"{left[0]} is left from a run that did not finish. Add --resume to go on "
                "with it, or --force to begin anew."
            )

    def check_finished(self, header: Any) -> str:
        """That the finished output is what this run would make, or why that cannot be told.

        Raises
        ------
        Failure
            If it was made from something else.
        """
        with stage(Exit.OUTPUT):
            found = self._header()
            if found is None:
                return "its format does not say what it was made from, so that was not compared."
            if difference := found.difference(header):
                raise FastISMError(
                    f"{self.output} is finished already, and was made from something else: "
                    f"{difference} now. Choose another name, or give --force in place of "
                    "--resume."
                )
        return "it was made from the same."

    @contextmanager
    def filling(self, header: Any) -> Iterator[Any]:
        """The store to fill, which is kept if filling it fails, unless it is empty.

        It is locked in here, until the output is finished too.
        """
        with self._begun(header) as writer:
            try:
                with self._resumable():
                    yield writer
            except BaseException:
                if not writer.consumed:
                    writer.discard()
                raise

    def _begun(self, header: Any) -> JournalWriter:
        """A new store, or the unfinished one where the user goes on."""
        with stage(Exit.USAGE):
            self._check_planned(header)
        with stage(Exit.OUTPUT):
            if self.resume and self.partial.exists():
                return self.writer.resume(self.partial, header)
            writer = self.writer.create(self.partial, header, replace=self.force)
            try:
                # Loading the model took a while: another run may have ended meanwhile.
                check_free(self._files(), self.force)
            except FastISMError:
                writer.discard()
                writer.close()
                raise
            return writer

    @contextmanager
    def _resumable(self) -> Iterator[None]:
        """If the system refuses to write, such as on a full disk, say what is kept as well."""
        try:
            yield
        except Failure as failure:
            left = self.partial.exists() or self.parts()
            if failure.code is Exit.OUTPUT and _from_system(failure) and left:
                said = f"{failure.message} {self.left()}"
                raise Failure(failure.code, said) from failure.__cause__
            raise

    def finish(self) -> list[Path]:
        """Make the output from the complete store; the files that were written."""
        with stage(Exit.OUTPUT):
            if self.is_shard:
                os.replace(self.partial, self.output)
                written = [self.output]
            else:
                written = self._write()
                self.partial.unlink()
            for path in self.parts():
                path.unlink()
            return written

    def left(self) -> str:
        """What an interrupted run leaves behind, and how to go on."""
        parts = self.parts()
        if not parts and not self.partial.exists():
            return "nothing was written."
        with stage(Exit.OUTPUT):
            done, total = self._progress(parts[-1] if parts else self.partial)
        kept = f"{done} of {total} {self.unit}" + (f" of model {len(parts)}" if parts else "")
        where = f"{self.partial}.*" if parts else self.partial
        return f"{where} keeps {kept}; the same command with --resume goes on from there."


def _from_system(error: BaseException | None) -> bool:
    """Whether an error comes from one of the operating system's."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error is not None
