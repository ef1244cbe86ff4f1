"""The file that a command makes: what must be true before hours are spent on it, and how it ends.

Requirements: h5py and what the format needs (through `fastism.store.export`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastism.cli.exit_codes import Exit, Failure, refuse, stage
from fastism.errors import FastISMError
from fastism.files.locks import in_use, is_locked
from fastism.store.export import check_free, check_planned, export, format_of, output_files
from fastism.store.reader import Store
from fastism.store.schema import Header
from fastism.store.writer import StoreWriter

SHARD_SUFFIX = ".h5"
#: Formats, as modules of `fastism.store`, that say what the scores were made from.
STORES = ("hdf5", "zarr")


class Destination:
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
            self._check_place()
            # What --resume finds beside an output was begun with --force.
            check_free(files, force or resume)
        #: Whether the user goes on with a run that has ended already.
        self.finished = (
            resume and not self.partial.exists() and all(file.exists() for file in files)
        )

    def _files(self) -> list[Path]:
        if self.is_shard and not self.output.name.lower().endswith(SHARD_SUFFIX):
            raise FastISMError(
                f"A shard is a store of scores: {self.output} must end in {SHARD_SUFFIX}. "
                "`fastism export` makes other formats from all of them."
            )
        return output_files(self.output)

    def _check_place(self) -> None:
        folder = self.output.parent
        if is_locked(self.partial):
            raise in_use(self.partial)
        if folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            raise FastISMError(
                f"{folder} cannot be written to (permission denied), so {self.output.name} cannot "
                "be made there. Choose another place."
            )
        if self.partial.exists() and not (self.force or self.resume):
            raise FastISMError(
                f"{self.partial} is left from a run that did not finish. Add --resume to go on "
                "with it, or --force to begin anew."
            )

    def check_finished(self, header: Header) -> str:
        """That the finished output is what this run would make, or why that cannot be told.

        Raises
        ------
        Failure
            If it was made from something else.
        """
        with stage(Exit.OUTPUT):
            if format_of(self.output)[1].module not in STORES:
                return "its format does not say what it was made from, so that was not compared."
            with Store(self.output) as store:
                if difference := store.header.difference(header):
                    raise FastISMError(
                        f"{self.output} is finished already, and was made from something else: "
                        f"{difference} now. Choose another name, or give --force in place of "
                        "--resume."
                    )
        return "it was made from the same."

    @contextmanager
    def filling(self, header: Header) -> Iterator[StoreWriter]:
        """The store to fill, which is kept if filling it fails, unless it is empty.

        It is locked in here, until the output is finished too.
        """
        with self._writer(header) as writer:
            try:
                with self._resumable():
                    yield writer
            except BaseException:
                if not writer.consumed:
                    writer.discard()
                raise

    def _writer(self, header: Header) -> StoreWriter:
        """A new store, or the unfinished one where the user goes on."""
        with stage(Exit.USAGE):
            check_planned(header, self.output)
        with stage(Exit.OUTPUT):
            if self.resume and self.partial.exists():
                return StoreWriter.resume(self.partial, header)
            writer = StoreWriter.create(self.partial, header, replace=self.force)
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
            if failure.code is Exit.OUTPUT and _from_system(failure) and self.partial.exists():
                said = f"{failure.message} {self.left()}"
                raise Failure(failure.code, said) from failure.__cause__
            raise

    def finish(self) -> list[Path]:
        """Make the output from the complete store; the files that were written."""
        with stage(Exit.OUTPUT):
            if self.is_shard:
                os.replace(self.partial, self.output)
                return [self.output]
            written = export([self.partial], self.output, force=self.force or self.resume)
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
