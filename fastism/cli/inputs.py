"""The INPUT argument: sequences of a FASTA file, or windows of a genome around BED intervals.

Requirements: pyfaidx (through `fastism.genomics.genome`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fastism.batch.scoring import Ambiguous, checked, fasta_regions
from fastism.cli.exit_codes import Exit, refuse, stage, staged
from fastism.errors import FastISMError
from fastism.genomics.genome import Skipped, check_readable, chromosome_sizes, read_bed
from fastism.genomics.regions import Region
from fastism.loading.model_files import hash_files

BED_SUFFIXES = (".bed", ".narrowpeak")


@dataclass(frozen=True)
class Survey:
    """What a first reading of all records finds.

    Attributes
    ----------
    count : int
        Records, with those that are skipped.
    hash : str
        SHA-256 of a FASTA file; of intervals with the letters of all windows, and the names and
        lengths of the genome's chromosomes.
    """

    count: int
    hash: str


@dataclass(frozen=True)
class Input:
    """A file of sequences or of intervals.

    Parameters
    ----------
    path : Path
    genome : Path or None
        Needed by a BED file.
    """

    path: Path
    genome: Path | None = None

    def __post_init__(self) -> None:
        if self.is_bed and self.genome is None:
            raise refuse(f"{self.path} is a BED file, which needs --genome FASTA.")
        if not self.is_bed and self.genome is not None:
            raise refuse(
                f"--genome is for BED files; {self.path.name} is taken as FASTA, since its name "
                "does not end in .bed, .bed.gz, .narrowPeak or .narrowPeak.gz."
            )
        with stage(Exit.INPUT):
            check_readable(self.path, "a BED file" if self.is_bed else "a FASTA file")
            if self.genome is not None:
                check_readable(self.genome, "a genome in a FASTA file")

    @property
    def is_bed(self) -> bool:
        """Whether the file holds intervals; its name says so."""
        name = self.path.name.lower().removesuffix(".gz").removesuffix(".bgz")
        return name.endswith(BED_SUFFIXES)

    def length(self) -> int:
        """Length of the first sequence; intervals have none."""
        if self.is_bed:
            raise refuse(
                "the model leaves the length of its input open, and a BED file does not tell it: "
                "add --seqlen."
            )
        with stage(Exit.INPUT):
            return len(next(fasta_regions(self.path)).sequence)

    def records(
        self, length: int, alphabet: str, ambiguous: Ambiguous
    ) -> Iterator[Region | Skipped]:
        """All records, checked; what is wrong with them ends the command with Exit.INPUT."""
        with stage(Exit.INPUT):
            if self.is_bed:
                found: Iterator[Region | Skipped] = read_bed(self.path, self.genome, length)
            else:
                found = fasta_regions(self.path)
        return staged(Exit.INPUT, checked(found, length, alphabet, ambiguous))

    def survey(self, length: int, alphabet: str, ambiguous: Ambiguous) -> Survey:
        """Read and check all records before any is scored: mistakes show before hours of work."""
        with stage(Exit.INPUT):
            file = hash_files(self.path)
        digest = hashlib.sha256(f"{file} {self.chromosomes()}".encode())
        scored = total = 0
        for record in self.records(length, alphabet, ambiguous):
            total += 1
            scored += isinstance(record, Region)
            digest.update(repr(record).encode())
        if not scored:
            with stage(Exit.INPUT):
                reasons = self.records(length, alphabet, ambiguous)
                first = next(islice(reasons, 1))
                raise FastISMError(
                    f"None of the {total} records of {self.path} can be scored; the first, "
                    f"{first.name!r}: {first.reason}."
                )
        # A FASTA file holds its letters, and `sha256sum` prints its hash too. The letters of
        # intervals are in the genome: if it changes, so does the hash.
        return Survey(total, digest.hexdigest() if self.is_bed else file)

    def chromosomes(self) -> dict[str, int]:
        """Lengths of the genome's chromosomes; empty without a genome."""
        if self.genome is None:
            return {}
        with stage(Exit.INPUT):
            return chromosome_sizes(self.genome)
