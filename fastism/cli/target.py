"""The file that a command makes: what must be true before hours are spent on it, and how it ends.

Requirements: h5py and what the format needs (through `fastism.store.export`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastism.cli.exit_codes import Exit, Failure, refuse, stage
from fastism.errors import FastISMError
from fastism.store.export import check_free, check_planned, export, output_files
from fastism.store.layout import Header
from fastism.store.reader import Store
from fastism.store.writer import StoreWriter

SHARD_SUFFIX = ".h5"


class Target:
    """The output of a run, and the unfinished store beside it.

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

    def __init__(self, output: Path, shard: tuple[int, int], *, force: bool, resume: bool) -> None:
        if force and resume:
            raise refuse("--force begins anew and --resume goes on: give one of them.")
        self.output, self.force, self.resume = output, force, resume
        self.is_shard = shard != (1, 1)
        self.partial = output.with_name(output.name + ".partial")
        with stage(Exit.USAGE):
            files = self._files()
        with stage(Exit.OUTPUT):
            check_free(files, force)
            self._check_place()

    def _files(self) -> list[Path]:
        if self.is_shard and not self.output.name.lower().endswith(SHARD_SUFFIX):
            raise FastISMError(
                f"A shard is a store of scores: {self.output} must end in {SHARD_SUFFIX}. "
                "`fastism export` makes other formats from all of them."
            )
        return output_files(self.output)

    def _check_place(self) -> None:
        folder = self.output.parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        if self.partial.exists() and not (self.force or self.resume):
            raise FastISMError(
                f"{self.partial} is left from a run that did not finish. Add --resume to go on "
                "with it, or --force to begin anew."
            )

    @contextmanager
    def filling(self, header: Header) -> Iterator[StoreWriter]:
        """The store to fill, which is kept if filling it fails, unless it is empty."""
        writer = self._writer(header)
        try:
            with self._resumable(), writer:
                yield writer
        except BaseException:
            if not writer.consumed:
                self.partial.unlink(missing_ok=True)
            raise

    def _writer(self, header: Header) -> StoreWriter:
        """A new store, or the unfinished one where the user goes on."""
        with stage(Exit.USAGE):
            check_planned(header, self.output)
        with stage(Exit.OUTPUT):
            if self.resume and self.partial.exists():
                return StoreWriter.resume(self.partial, header)
            self.partial.unlink(missing_ok=True)
            return StoreWriter.create(self.partial, header)

    @contextmanager
    def _resumable(self) -> Iterator[None]:
        """If the system refuses to write, such as on a full disk, say what is kept as well."""
        try:
            yield
        except Failure as failure:
            if failure.code is Exit.OUTPUT and _from_system(failure) and self.partial.exists():
                said = f"{failure.message} {self.left()}"
                raise Failure(failure.code, said) from failure.__cause__
            raise

    def finish(self) -> list[Path]:
        """Make the output from the complete store; the files that were written."""
        with self._resumable(), stage(Exit.OUTPUT):
            if self.is_shard:
                os.replace(self.partial, self.output)
                return [self.output]
            written = export([self.partial], self.output, force=self.force)
            self.partial.unlink()
            return written

    def left(self) -> str:
        """What an interrupted run leaves behind, and how to go on."""
        if not self.partial.exists():
            return "nothing was written."
        with stage(Exit.OUTPUT), Store(self.partial, allow_incomplete=True) as store:
            done, total = store.consumed, store.header.expected
        return (
            f"{self.partial} keeps {done} of {total} sequences; the same command with --resume "
            "goes on from there."
        )


def _from_system(error: BaseException | None) -> bool:
    """Whether an error comes from one of the operating system's."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error is not None
