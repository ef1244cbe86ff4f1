"""What the promoter model learns from: windows next to start sites against windows upstream.

Requirements: numpy, fastism.

Whole chromosomes are held out, as promoters of one gene overlap: a random split would put nearly
the same window on both sides.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.networks.promoter import LENGTH
from fastism.errors import FastISMError
from fastism.sequences import one_hot, read_fasta

#: Base pairs of a sequence of the file, the last one next to the start site.
UPSTREAM = 2000
#: Half-open, in a sequence of the file: the 400 bp next to the start site, and -1800 to -1400.
PROMOTER, BACKGROUND = (1600, 2000), (200, 600)
HELD_OUT = "chrX"
VALIDATION = "chr2L"
#: Scaffolds that belong to chromosome X or may do so, which are used for nothing.
ASIDE = ("chrXHet", "chrU", "chrUextra")
SPLITS = ("train", "validation", "held_out")

_HEADER = re.compile(r"(\S+):(\d+)-(\d+)\(([+-])\) (\S+)")
_COMPLEMENT = str.maketrans("ACGT", "TGCA")


@dataclass(frozen=True, slots=True)
class Upstream:
    """What lies upstream of one annotated start site.

    Attributes
    ----------
    accession : str
        Of the transcript.
    chrom : str
    start, end : int
        0-based half-open genomic interval of `sequence`.
    strand : {"+", "-"}
    sequence : str
        2,000 letters in the orientation of the transcript, the last one next to the start site.
    """

    accession: str
    chrom: str
    start: int
    end: int
    strand: str
    sequence: str

    def window(self, part: tuple[int, int]) -> tuple[int, int]:
        """Genomic interval of a part of the sequence; both half-open."""
        first, last = part
        if self.strand == "+":
            return self.start + first, self.start + last
        return self.end - last, self.end - first

    @property
    def promoter(self) -> str:
        """The letters next to the start site."""
        return self.sequence[slice(*PROMOTER)]

    @property
    def name(self) -> str:
        """Genomic interval of the promoter, 1-based and closed as in the file, and accession."""
        start, end = self.window(PROMOTER)
        return f"{self.chrom}:{start + 1}-{end}({self.strand}) {self.accession}"


@dataclass(frozen=True)
class Examples:
    """Windows and what they are.

    Attributes
    ----------
    sequences : tuple of str
        400 letters each.
    labels : ndarray of bool, shape (examples,)
        Whether a window lies next to a start site.
    ambiguous : ndarray of bool, shape (examples,)
        Whether a window further upstream overlaps one that lies next to another start site.
    """

    sequences: tuple[str, ...]
    labels: np.ndarray
    ambiguous: np.ndarray

    def __len__(self) -> int:
        return len(self.sequences)

    def encoded(self) -> np.ndarray:
        """One-hot, float32, shape (examples, 400, 4)."""
        return one_hot(self.sequences)

    def where(self, chosen: np.ndarray) -> Examples:
        """Some of the examples, by a mask of shape (examples,)."""
        kept = tuple(s for s, yes in zip(self.sequences, chosen, strict=True) if yes)
        return Examples(kept, self.labels[chosen], self.ambiguous[chosen])


def read_upstream(path: str | Path) -> list[Upstream]:
    """Read the sequences upstream of start sites.

    Parameters
    ----------
    path : str or Path
        FASTA with headers ``chrom:start-end(strand) accession``, 1-based and closed.

    Raises
    ------
    FastISMError
        A header of another form, or a sequence that is not 2,000 letters long.
    """
    found = []
    for record in read_fasta(path):
        match = _HEADER.fullmatch(record.name)
        if match is None or len(record.sequence) != UPSTREAM:
            raise FastISMError(
                f"{path}: the record {record.name[:60]!r} with {len(record.sequence)} letters is "
                f"not a sequence upstream of a start site; expected {UPSTREAM} letters and a "
                "header chrom:start-end(strand) accession."
            )
        chrom, start, end, strand, accession = match.groups()
        found.append(
            Upstream(accession, chrom, int(start) - 1, int(end), strand, record.sequence.upper())
        )
    return found


def split(upstream: Sequence[Upstream], validation: str = VALIDATION) -> dict[str, Examples]:
    """Examples to train on, to stop by, and to judge the model by.

    Every sequence gives one example of either kind. A window that occurs twice, in either
    orientation, is used once, and on the held-out chromosome rather than on another. Ambiguous
    windows are left out except on the held-out chromosome, where they are marked.

    Parameters
    ----------
    upstream : sequence of Upstream
    validation : str, default "chr2L"
        The chromosome to stop by.

    Returns
    -------
    dict from str to Examples
        By the names in `SPLITS`, which share no window.

    Raises
    ------
    FastISMError
        A split is left without examples of one kind.
    """
    starts = _promoter_starts(upstream)
    seen: set[str] = set()
    splits = {}
    for name in reversed(SPLITS):
        sequences, labels, ambiguous = [], [], []
        for one in (u for u in upstream if split_of(u.chrom, validation) == name):
            for part, label in ((PROMOTER, True), (BACKGROUND, False)):
                doubtful = not label and _overlaps(starts[one.chrom], *one.window(part))
                letters = one.sequence[slice(*part)]
                spelling = _spelling(letters)
                if spelling in seen or (doubtful and name != "held_out"):
                    continue
                seen.add(spelling)
                sequences.append(letters)
                labels.append(label)
                ambiguous.append(doubtful)
        if len(set(labels)) < 2:
            raise FastISMError(
                f"The split {name!r} has {len(labels)} examples, not of both kinds; expected "
                f"sequences of {HELD_OUT}, of {validation} and of other chromosomes."
            )
        splits[name] = Examples(tuple(sequences), np.array(labels, bool), np.array(ambiguous, bool))
    return {name: splits[name] for name in SPLITS}


def split_of(chrom: str, validation: str = VALIDATION) -> str | None:
    """Which split a chromosome belongs to; None for those that are used for nothing."""
    if chrom in ASIDE:
        return None
    return {HELD_OUT: "held_out", validation: "validation"}.get(chrom, "train")


def held_out_promoters(upstream: Iterable[Upstream]) -> list[Upstream]:
    """Promoters of the held-out chromosome, no base of which is counted twice.

    Along the chromosome, every promoter is taken that does not overlap the one taken before, on
    either strand: several transcripts of a gene may start close to each other. Of copies of one
    promoter, in either orientation, the first is taken.
    """
    on_it = [u for u in upstream if u.chrom == HELD_OUT]
    taken: list[Upstream] = []
    seen: set[str] = set()
    for one in sorted(on_it, key=lambda u: (*u.window(PROMOTER), u.strand, u.accession)):
        overlaps = taken and one.window(PROMOTER)[0] < taken[-1].window(PROMOTER)[1]
        spelling = _spelling(one.promoter)
        if not overlaps and spelling not in seen:
            seen.add(spelling)
            taken.append(one)
    return taken


def reverse_complement(letters: str) -> str:
    """The other strand.

    Examples
    --------
    >>> reverse_complement("TATCGAG")
    'CTCGATA'
    """
    return letters.translate(_COMPLEMENT)[::-1]


def _spelling(letters: str) -> str:
    """The same for a sequence and its reverse complement."""
    return min(letters, reverse_complement(letters))


def _promoter_starts(upstream: Iterable[Upstream]) -> Mapping[str, list[int]]:
    starts: dict[str, set[int]] = {}
    for one in upstream:
        starts.setdefault(one.chrom, set()).add(one.window(PROMOTER)[0])
    return {chrom: sorted(values) for chrom, values in starts.items()}


def _overlaps(starts: Sequence[int], start: int, end: int) -> bool:
    """Whether [start, end) overlaps a promoter that starts at one of the sorted positions."""
    index = bisect_left(starts, start - LENGTH + 1)
    return index < len(starts) and starts[index] < end
