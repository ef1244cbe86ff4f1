"""Draw the sequences of a benchmark from a FASTA file.

Requirements: numpy.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastism.errors import FastISMError
from fastism.sequences import FastaRecord, one_hot, read_fasta


def select(fasta: str | Path, number: int, seed: int) -> list[FastaRecord]:
    """Draw distinct records, each as likely as any other.

    Parameters
    ----------
    fasta : path
        The file to draw from.
    number : int
        How many.
    seed : int
        Which; a smaller number gives the first of those that a larger one gives.

    Raises
    ------
    FastISMError
        There are fewer.
    """
    records = list(read_fasta(fasta))
    if number > len(records):
        raise FastISMError(f"{fasta} has {len(records)} sequences; cannot draw {number}.")
    order = np.random.default_rng(seed).permutation(len(records))
    return [records[i] for i in order[:number]]


def encoded(
    fasta: str | Path, length: int, joined: bool = False, count: int | None = None
) -> np.ndarray:
    """One-hot of the last `length` characters of the sequences of a file.

    Parameters
    ----------
    fasta : path
    length : int
    joined : bool, default False
        Whether sequences that are shorter may be continued, at their beginning, with those that
        come before them in the file (in a circle).
    count : int, optional
        Only so many, the first ones; all by default.

    Returns
    -------
    ndarray, float32, shape (sequences, length, 4)

    Raises
    ------
    FastISMError
        A sequence is shorter, or there are fewer than `count`.
    """
    records = list(read_fasta(fasta))
    if count is not None and len(records) < count:
        raise FastISMError(
            f"{fasta} holds {len(records)} sequences; {count} are asked for. Give a file with more."
        )
    if joined:
        return one_hot([_continued(records, i, length) for i in range(len(records))[:count]])
    short = next((r for r in records if len(r.sequence) < length), None)
    if short is not None:
        raise FastISMError(
            f"{fasta}: {short.name!r} has {len(short.sequence)} characters; a model of length "
            f"{length} cannot be timed on it. Choose a shorter length."
        )
    return one_hot([r.sequence[-length:] for r in records[:count]])


def _continued(records: Sequence[FastaRecord], index: int, length: int) -> str:
    """The end of a sequence, with those before it in front where it is short."""
    text = ""
    while len(text) < length:
        text = records[index % len(records)].sequence + text
        index -= 1
    return text[-length:]


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw sequences from a FASTA file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.jobs.select_sequences", description=main.__doc__
    )
    parser.add_argument("--fasta", type=Path, required=True)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True, help="FASTA, uncompressed")
    given = parser.parse_args(arguments)
    records = select(given.fasta, given.number, given.seed)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text("".join(f">{r.name}\n{r.sequence}\n" for r in records))


if __name__ == "__main__":
    main()
