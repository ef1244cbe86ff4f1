"""The file that a command makes: what must be true before hours are spent on it, and how it ends.

Requirements: h5py and what the format needs (through `fastism.store.export`).
"""

from __future__ import annotations

import glob
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
#: Formats, as modules of `fastism.store`, that hold no scores: `fastism export` writes them.
NO_SCORES = ("bed",)
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
            resume
            and not self.partial.exists()
            and not self.parts()
            and all(file.exists() for file in files)
        )

    def _files(self) -> list[Path]:
        if self.is_shard and not self.output.name.lower().endswith(SHARD_SUFFIX):
            raise FastISMError(
                f"A shard is a store of scores: {self.output} must end in {SHARD_SUFFIX}. "
                "`fastism export` makes other formats from all of them."
            )
        if format_of(self.output)[1].module in NO_SCORES:
            raise FastISMError(
                f"{self.output} would hold intervals and no scores. Score into a store, such as "
                ".h5, from which `fastism export` makes both."
            )
        return output_files(self.output)

    def parts(self) -> list[Path]:
        """Unfinished stores of several models that are scored one after the other, in order."""
        found = self.partial.parent.glob(f"{glob.escape(self.partial.name)}.*")
        numbered = {int(n): path for path in found if (n := path.suffix[1:]).isdecimal()}
        return [numbered[number] for number in sorted(numbered)]

    def part(self, number: int, header: Header) -> StoreWriter:
        """The store of one of several models, counted from 1: new, or as far as it came."""
        path = self.partial.with_name(f"{self.partial.name}.{number}")
        with stage(Exit.OUTPUT):
            if self.resume and path.exists():
                return StoreWriter.resume(path, header)
            return StoreWriter.create(path, header, replace=self.force)

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
                written = export([self.partial], self.output, force=self.force or self.resume)
                self.partial.unlink()
            for path in self.parts():
                path.unlink()
            return written

    def left(self) -> str:
        """What an interrupted run leaves behind, and how to go on."""
        parts = self.parts()
        if not parts and not self.partial.exists():
            return "nothing was written."
        with (
            stage(Exit.OUTPUT),
            Store(parts[-1] if parts else self.partial, allow_incomplete=True) as store,
        ):
            done, total = store.consumed, store.header.expected
        kept = f"{done} of {total} sequences" + (f" of model {len(parts)}" if parts else "")
        where = f"{self.partial}.*" if parts else self.partial
        return f"{where} keeps {kept}; the same command with --resume goes on from there."


def check_deviations(output: Path) -> None:
    """Refuse a format that cannot hold standard deviations.

    Raises
    ------
    FastISMError
        If it is no store.
    """
    if format_of(output)[1].module not in STORES:
        raise FastISMError(
            f"--sd: {output.name} holds no standard deviations. Score into .h5 or .zarr, from "
            "which `fastism export` makes other formats."
        )


def _from_system(error: BaseException | None) -> bool:
    """Whether an error comes from one of the operating system's."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error is not None
