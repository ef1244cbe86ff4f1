"""The INPUT argument: sequences of a FASTA file, or windows of a genome around BED intervals.

Requirements: pyfaidx (through `fastism.genomics.genome`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastism.batch.scoring import checked, fasta_regions
from fastism.cli.exit_codes import Exit, Failure, refuse, stage, staged
from fastism.files.text import check_readable
from fastism.genomics.bed import is_narrow_peak, read_bed
from fastism.genomics.genome import chromosome_sizes
from fastism.genomics.regions import Region, Skipped
from fastism.loading.model_files import hash_files
from fastism.sequences import Ambiguous

BED_SUFFIXES = (".bed", ".narrowpeak", ".broadpeak")
#: Records that are named where several are skipped.
NAMED = 5


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


def described(pad: bool, rename: bool) -> dict[str, str | None]:
    """How intervals become sequences, as options of a command; None for what is the default."""
    return {"--pad": "N" if pad else None, "--contigs": "rename" if rename else None}


@dataclass(frozen=True)
class Input:
    """A file of sequences or of intervals.

    Parameters
    ----------
    path : Path
    genome : Path or None
        Needed by a BED file.
    pad, rename : bool
        As for `fastism.genomics.bed.read_bed`.
    """

    path: Path
    genome: Path | None = None
    pad: bool = False
    rename: bool = False

    def __post_init__(self) -> None:
        if self.is_bed and self.genome is None:
            raise refuse(f"{self.path} is a BED file, which needs --genome FASTA.")
        if not self.is_bed and self.genome is not None:
            raise refuse(
                f"--genome is for BED files; {self.path.name} is taken as FASTA, since its name "
                "does not end in .bed, .narrowPeak or .broadPeak, with or without .gz."
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

    def reading(self) -> str:
        """How the file is read, where its name alone does not tell; else empty."""
        with stage(Exit.INPUT):
            if not self.is_bed or not is_narrow_peak(self.path):
                return ""
        return (
            f"{self.path.name} is read as narrowPeak: windows are centred on the summits in column "
            "10"
        )

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
                found: Iterator[Region | Skipped] = read_bed(
                    self.path, self.genome, length, pad=self.pad, rename=self.rename
                )
            else:
                found = fasta_regions(self.path)
        return staged(Exit.INPUT, checked(found, length, alphabet, ambiguous))

    def survey(
        self, length: int, alphabet: str, ambiguous: Ambiguous, strict: bool = False
    ) -> Survey:
        """Read and check all records before any is scored: mistakes show before hours of work.

        With `strict`, a record that would be skipped ends the command.
        """
        with stage(Exit.INPUT):
            file = hash_files(self.path)
        digest = hashlib.sha256(f"{file} {self.chromosomes()}".encode())
        total = left_out = 0
        first: list[Skipped] = []
        for record in self.records(length, alphabet, ambiguous):
            total += 1
            digest.update(repr(record).encode())
            if isinstance(record, Skipped):
                left_out += 1
                first += [record] * (len(first) < NAMED)
        named = [f"{each.name}: {each.reason}" for each in first]
        if left_out == total:
            raise Failure(
                Exit.INPUT,
                f"None of the {total} records of {self.path} can be scored. "
                + _listed(named, left_out),
            )
        if strict:
            refuse_left_out(named, left_out, f"{total} records of {self.path}")
        # A FASTA file holds its letters, and `sha256sum` prints its hash too. The letters of
        # intervals are in the genome: if it changes, so does the hash.
        return Survey(total, digest.hexdigest() if self.is_bed else file)

    def chromosomes(self) -> dict[str, int]:
        """Lengths of the genome's chromosomes; empty without a genome."""
        if self.genome is None:
            return {}
        with stage(Exit.INPUT):
            return chromosome_sizes(self.genome)


def refuse_left_out(named: Sequence[str], left_out: int, of_all: str) -> None:
    """End a command with --strict if anything would be left out.

    Parameters
    ----------
    named : sequence of str
        What is said of the first of them, `NAMED` at most.
    left_out : int
        How many there are.
    of_all : str
        Of how many, and of which file.
    """
    if left_out:
        raise Failure(
            Exit.INPUT,
            f"{left_out} of the {of_all} cannot be scored; without --strict they would be skipped. "
            + _listed(named, left_out),
        )


def _listed(named: Sequence[str], count: int) -> str:
    """The first records that cannot be scored, and how many more there are."""
    more = f"; and {count - len(named)} more" if count > len(named) else ""
    return "; ".join(named) + more + "."
