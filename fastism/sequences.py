"""Sequences in and out: one-hot encoding and FASTA files.

Requirements: numpy only. Knows nothing of models.

All positions are 0-based; arrays are channels last, ``(sequences, length, characters)``.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from fastism.errors import FastISMError
from fastism.files.text import check_readable, readable, text_lines

DNA = "ACGT"
#: What to do with letters outside of the alphabet: refuse them, leave their rows zero, or leave
#: the sequence out.
Ambiguous = Literal["error", "zero", "skip"]
_KIND = "a FASTA file"


@dataclass(frozen=True, slots=True)
class FastaRecord:
    """One entry of a FASTA file.

    Attributes
    ----------
    name : str
        The whole header line without its ``>``, stripped of surrounding blanks.
    sequence : str
        The letters, line breaks removed, upper and lower case as in the file.
    """

    name: str
    sequence: str


def one_hot(
    sequences: str | Iterable[str],
    alphabet: str = DNA,
    ambiguous: Literal["error", "zero"] = "error",
) -> np.ndarray:
    """Encode sequences of equal length as one-hot rows.

    Parameters
    ----------
    sequences : str or iterable of str
        One sequence, or several of the same length. Upper and lower case mean the same.
    alphabet : str, default "ACGT"
        The characters, in the order of the last axis. Distinct, ASCII.
    ambiguous : {"error", "zero"}, default "error"
        What to do with a character outside the alphabet (``N``, ``R``, ``-``): raise, or leave its
        row all zero.

    Returns
    -------
    ndarray, float32, shape (N, L, C)
        N sequences, L positions, C characters of the alphabet. A single string gives N = 1.

    Raises
    ------
    FastISMError
        No sequence, an empty one, unequal lengths, something that is not a string, or a character
        outside the alphabet with ``ambiguous="error"``.

    Examples
    --------
    >>> one_hot(["ACG", "ttn"], ambiguous="zero")[1]
    array([[0., 0., 0., 1.],
           [0., 0., 0., 1.],
           [0., 0., 0., 0.]], dtype=float32)
    """
    alphabet = _checked_alphabet(alphabet)
    if ambiguous not in ("error", "zero"):
        raise FastISMError(
            f'ambiguous={ambiguous!r} is not known. Use "error" to refuse characters outside the '
            'alphabet or "zero" to leave their rows zero.'
        )
    texts = [sequences] if isinstance(sequences, str) else list(sequences)
    length = _common_length(texts)

    # Characters outside Latin-1 become "?", which no alphabet contains, and so are ambiguous.
    codes = np.frombuffer("".join(texts).encode("latin-1", errors="replace"), dtype=np.uint8)
    rows = np.zeros((256, len(alphabet)), dtype=np.float32)
    known = np.zeros(256, dtype=bool)
    for index, character in enumerate(alphabet):
        for spelling in {character, character.lower()}:
            rows[ord(spelling), index] = 1.0
            known[ord(spelling)] = True

    if ambiguous == "error" and not (valid := known[codes]).all():
        sequence, position = divmod(int(np.argmin(valid)), length)
        raise FastISMError(
            f"Sequence {sequence} has {texts[sequence][position]!r} at position {position} "
            f"(0-based); expected only characters of {alphabet!r}. "
            'Leave such sequences out, or pass ambiguous="zero" to encode the character as zeros.'
        )
    return rows[codes].reshape(len(texts), length, len(alphabet))


def to_string(encoded: np.ndarray, alphabet: str = DNA, unknown: str = "N") -> list[str]:
    """Decode one-hot rows; the inverse of `one_hot`.

    Parameters
    ----------
    encoded : array_like, shape (N, L, C)
        Rows with a single one, or all zero.
    alphabet : str, default "ACGT"
        The characters, in the order of the last axis.
    unknown : str, default "N"
        The character written for an all-zero row; not one of the alphabet.

    Returns
    -------
    list of str
        N strings of length L, upper case.

    Raises
    ------
    FastISMError
        An array of another rank or another number of channels than the alphabet has characters, or
        a row that is neither one-hot nor zero.

    Examples
    --------
    >>> to_string(one_hot(["acg", "TTN"], ambiguous="zero"))
    ['ACG', 'TTN']
    """
    alphabet = _checked_alphabet(alphabet)
    if len(unknown) != 1 or not unknown.isascii() or unknown.upper() in alphabet:
        raise FastISMError(
            f"unknown={unknown!r} cannot stand for an all-zero row: expected one ASCII character "
            f"outside {alphabet!r}."
        )
    encoded = np.asarray(encoded)
    if encoded.ndim != 3 or encoded.shape[2] != len(alphabet):
        raise FastISMError(
            f"Got an array of shape {encoded.shape}; expected (sequences, length, "
            f"{len(alphabet)}) for the alphabet {alphabet!r}. Add the missing axis, or name the "
            "alphabet that was used to encode."
        )
    ones = encoded == 1
    strange = ((encoded != 0) & ~ones).any(axis=2) | (ones.sum(axis=2) > 1)
    if strange.any():
        sequence, position = (int(i) for i in np.argwhere(strange)[0])
        raise FastISMError(
            f"Row {encoded[sequence, position].tolist()} of sequence {sequence} at position "
            f"{position} is neither one-hot nor zero, so it stands for no character. Decode only "
            "one-hot arrays."
        )
    letters = np.frombuffer((unknown + alphabet).encode("ascii"), dtype=np.uint8)
    index = np.where(ones.any(axis=2), ones.argmax(axis=2) + 1, 0)
    return [letters[row].tobytes().decode("ascii") for row in index]


def read_fasta(path: str | Path, limit: int | None = None) -> Iterator[FastaRecord]:
    """Read a FASTA file, plain or gzip-compressed (told apart by content, not by name).

    A missing file is refused at once. The records are read as they are asked for, so that memory
    stays flat; what is wrong with one of them is raised when it is reached.

    Parameters
    ----------
    path : str or Path
        The file.
    limit : int, optional
        Stop after this many records. Default: read all.

    Returns
    -------
    iterator of FastaRecord
        In the order of the file. Blank lines, Windows line ends and a byte order mark are skipped
        over; bytes of a header that are no UTF-8 are read as Latin-1. Any letter is
        accepted as part of a sequence: `one_hot` decides about those outside its alphabet.

    Raises
    ------
    FastISMError
        The file is missing, unreadable or empty, is not FASTA, has an entry without a sequence, or
        is truncated or damaged gzip; or `limit` is less than one.
    """
    if limit is not None:
        try:
            limit = operator.index(limit)
        except TypeError:
            limit = 0
        if limit < 1:
            raise FastISMError(
                "limit must be None, to read all records, or a whole number of at least 1."
            )
    path = Path(path)
    check_readable(path, _KIND)
    lines = (readable(line) for _, line in text_lines(path, _KIND))
    return islice(_parse(path, lines), limit)


def _parse(path: Path, lines: Iterable[str]) -> Iterator[FastaRecord]:
    """Yield the records found in the lines of a FASTA file."""
    name: str | None = None
    parts: list[str] = []
    for number, raw in enumerate(lines, start=1):
        line = raw.strip()
        if not line:
            continue
        if line.startswith(">"):
            if name is not None:
                yield _finished(path, name, parts)
            name, parts = line[1:].strip(), []
        elif name is None:
            raise FastISMError(
                f"{path} is not FASTA: line {number} starts with {line[:20]!r}, expected a header "
                "line that starts with '>'."
            )
        elif line.isascii() and line.isalpha():
            parts.append(line)
        else:
            strange = next(c for c in line if not (c.isascii() and c.isalpha()))
            raise FastISMError(
                f"{path}, line {number}: {strange!r} in the sequence of {name!r}; expected "
                "letters only. Remove gaps, stops, numbers and blanks from the sequences."
            )
    if name is None:
        raise FastISMError(f"{path} is empty. Expected a FASTA file with at least one record.")
    yield _finished(path, name, parts)


def _finished(path: Path, name: str, parts: list[str]) -> FastaRecord:
    """Join the lines of one record."""
    if not parts:
        raise FastISMError(
            f"{path}: the record {name!r} has a header but no sequence. Remove it or add its "
            "sequence."
        )
    return FastaRecord(name, "".join(parts))


def _checked_alphabet(alphabet: str) -> str:
    """Return the alphabet in upper case, or say what is wrong with it."""
    upper = alphabet.upper() if isinstance(alphabet, str) else ""
    if not upper or not upper.isascii() or "?" in upper or len(set(upper)) != len(upper):
        raise FastISMError(
            f"The alphabet {alphabet!r} cannot be used: expected distinct ASCII characters other "
            "than '?', upper and lower case being the same, such as 'ACGT'."
        )
    return upper


def _common_length(texts: list[str]) -> int:
    """Return the length that all sequences share, or say which one differs."""
    if not texts:
        raise FastISMError("Got no sequence to encode; expected at least one.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise FastISMError(
                f"Sequence {index} is a {type(text).__name__}; expected a string. "
                "Of a FASTA record, pass its .sequence."
            )
        if len(text) != len(texts[0]) or not text:
            raise FastISMError(
                f"Sequence {index} has length {len(text)}, sequence 0 has length {len(texts[0])}; "
                "expected equal lengths of at least 1. Cut or pad them to the length of the model "
                "first."
            )
    return len(texts[0])
