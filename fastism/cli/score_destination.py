"""The output of `fastism score`.

Requirements: h5py and what the format needs (through `fastism.store.export`).
"""

from __future__ import annotations

from pathlib import Path

from fastism.cli.destination import Destination
from fastism.errors import FastISMError
from fastism.store.export import check_planned, export, format_of, output_files
from fastism.store.reader import Store
from fastism.store.schema import Header
from fastism.store.writer import StoreWriter

SHARD_SUFFIX = ".h5"
#: Formats, as modules of `fastism.store`, that hold no scores: `fastism export` writes them.
NO_SCORES = ("bed",)
#: Formats, as modules of `fastism.store`, that say what the scores were made from.
STORES = ("hdf5", "zarr")


class ScoreDestination(Destination):
    """Scores, and the unfinished store beside them; parameters and errors as of `Destination`."""

    writer = StoreWriter
    unit = "sequences"

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

    def _check_planned(self, header: Header) -> None:
        check_planned(header, self.output)

    def _header(self) -> Header | None:
        if format_of(self.output)[1].module not in STORES:
            return None
        with Store(self.output) as store:
            return store.header

    def _progress(self, path: Path) -> tuple[int, int]:
        with Store(path, allow_incomplete=True) as store:
            return store.consumed, store.header.expected

    def _write(self) -> list[Path]:
        return export([self.partial], self.output, force=self.force or self.resume)


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
