"""Options that several commands share, and how their values are read.

Requirements: typer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fastism.errors import FastISMError
from fastism.sequences import DNA

#: Alphabets that have a name.
ALPHABETS = {"dna": DNA, "rna": "ACGU", "protein": "ACDEFGHIKLMNPQRSTVWY"}
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

ModelSpec = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A .keras or .h5 file, or module:function or file.py:function that returns a Keras "
        "or PyTorch model. Naming a function runs its code; a file runs none. A SavedModel folder, "
        "which holds no layers, can be scored with --naive --unsafe.",
    ),
]
Unsafe = Annotated[
    bool,
    typer.Option("--unsafe", help="Run code that the model's file holds, such as Lambda layers."),
]
Seqlen = Annotated[
    int | None,
    typer.Option(min=1, help="Length of the sequences, where the model leaves it open."),
]
InputShape = Annotated[
    str | None,
    typer.Option(
        metavar="C,L",
        help="Input shape of a PyTorch module, such as 4,1000, if it is not found; L,C with "
        "--channels-last.",
    ),
]
ChannelsLast = Annotated[
    bool,
    typer.Option("--channels-last", help="The PyTorch module takes positions before characters."),
]
Backend = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Framework to run on: tensorflow, torch or jax, or auto for the one that is fastest "
        "on a few positions. The model's own by default.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(metavar="cpu|gpu[:I]", help="Processor. The framework's choice by default."),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="float32|tf32",
        help="What products round to: float32 is exact; tf32, on NVIDIA GPUs, keeps three digits.",
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory for mutants, such as 2G; 256M by default, 1G on a GPU.",
    ),
]
Genome = Annotated[
    Path | None,
    typer.Option(metavar="FASTA", readable=False, help="The genome that a BED file refers to."),
]
Alphabet = Annotated[
    str,
    typer.Option(
        metavar="NAME|LETTERS", help="dna, rna, protein, or the letters in the model's order."
    ),
]
Outputs = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="What to keep: entries of the output, such as 0:3,5. Of several outputs: "
        "OUTPUT or OUTPUT/ENTRIES, such as 0/1:4,2 or counts,profile/0:9, by number or by name.",
    ),
]


Select = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="I[:A,B,...]",
        help="Output I by number or name, entry A of its first axis, B of the second, and so on; "
        "mean or sum in place of an entry takes them all.",
    ),
]


class Pad(StrEnum):
    """What to do with windows that reach beyond the ends of their contig."""

    skip = "skip"
    n = "N"


class Contigs(StrEnum):
    """How names of contigs are compared with those of the genome."""

    exact = "exact"
    rename = "rename"


class NotFinite(StrEnum):
    """What to do where a model gives NaN or infinite outputs."""

    error = "error"
    skip = "skip"
    keep = "keep"


PadOption = Annotated[
    Pad,
    typer.Option(
        help="Windows that reach beyond the ends of their contig: skip them, or take N there, "
        "encoded as zeros."
    ),
]
ContigsOption = Annotated[
    Contigs,
    typer.Option(
        help="Names of contigs: exactly those of the genome, or rename those that differ by chr, "
        "case, or M and MT."
    ),
]
NotFiniteOption = Annotated[
    NotFinite,
    typer.Option(
        help="Where the model gives NaN or infinite outputs: an error, leave it out, or keep them."
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="End with an error at anything that would be skipped.")
]


Shard = Annotated[
    str,
    typer.Option(
        metavar="I/N", help="Score only the I-th of N parts, for `fastism export` to join."
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")]
Begin = Annotated[
    bool, typer.Option("--force", help="Replace the output and what a run left unfinished.")
]


class AmbiguousChoice(StrEnum):
    """What to do with sequences that hold letters outside the alphabet."""

    error = "error"
    zero = "zero"
    skip = "skip"


def read_range(text: str) -> tuple[int, int | None]:
    """START:END, 0-based and half-open; an end that is left out is None."""
    match = re.fullmatch(r"(\d*):(\d*)", text.strip())
    start = int(match[1] or 0) if match else 0
    end = int(match[2]) if match and match[2] else None
    if match is None or (end is not None and end <= start):
        raise FastISMError("expected START:END, 0-based and half-open, such as 450:550.")
    return start, end


def read_positions(text: str | None, length: int) -> tuple[int, int]:
    """Positions START:END of a sequence of `length`."""
    start, end = (0, None) if text is None else read_range(text)
    end = length if end is None else end
    if not start < end <= length:
        raise FastISMError(f"the sequence has positions 0:{length}.")
    return start, end


def read_size(text: str) -> int:
    """Bytes: a number with or without one of the units K, M, G, T (of 1024)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise FastISMError("expected a size such as 512M or 2G.")
    return int(float(match[1]) * UNITS[match[2]])


def read_shape(text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas."""
    parts = text.replace(" ", "").strip("()").split(",")
    if len(parts) < 2 or not all(p.isdecimal() and int(p) for p in parts):
        raise FastISMError("expected a shape without the batch axis, such as 4,1000.")
    return tuple(int(p) for p in parts)


def read_shard(text: str) -> tuple[int, int]:
    """I/N, counted from 1."""
    match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise FastISMError("expected I/N, the I-th of N shards counted from 1, such as 3/8.")
    return number, count


def read_alphabet(text: str) -> str:
    """The letters of a named alphabet, or the letters themselves."""
    letters = ALPHABETS.get(text.lower(), text.upper())
    if len(letters) < 2 or not (letters.isascii() and letters.isalpha()):
        raise FastISMError(f"expected {', '.join(ALPHABETS)}, or letters such as ACGT.")
    if len(set(letters)) != len(letters):
        raise FastISMError("a letter comes twice.")
    return letters


def read_outputs(
    text: str | None, shapes: Sequence[tuple[int, ...]], names: Sequence[str] = ()
) -> dict[int, list[int] | None]:
    """Which outputs of the model to keep, and which entries of each one's first axis.

    Items are separated by commas. ``OUTPUT/ENTRIES`` names entries of an output, ``OUTPUT/`` all
    of one; ``ENTRIES`` is a number or START:END, half-open. Where the model has one output, an
    item without a slash names its entries; where it has several, outputs as a whole. An output is
    a number, a range of them, or its name; where a name looks like a number, the number counts.

    Parameters
    ----------
    text : str or None
        None keeps everything.
    shapes : sequence of tuple
        Of the outputs, without the batch axis.
    names : sequence of str
        Of the outputs, where they have names.

    Returns
    -------
    dict
        From output number, ascending, to its entries, or None for all of it.

    Examples
    --------
    >>> read_outputs("0:2,5", [(6,)])
    {0: [0, 1, 5]}
    >>> read_outputs("2,0/1:3", [(4,), (1,), (2,)])
    {0: [1, 2], 2: None}
    >>> read_outputs("counts,profile/1:3", [(4,), (1,)], ["profile", "counts"])
    {0: [1, 2], 1: None}
    """
    if text is None:
        return dict.fromkeys(range(len(shapes)))
    chosen: dict[int, list[int] | None] = {}
    for item in (each.strip() for each in text.split(",")):
        number, slash, entries = item.rpartition("/")
        if not slash and (len(shapes) > 1 or _is_name(item, names) or _is_unknown(item, names)):
            number, slash, entries = item, "/", ""
        wholes = _chosen(number, len(shapes), names) if slash else [0]
        entries = entries.replace(" ", "")
        for output in wholes:
            kept = _entries(entries, shapes[output], output)
            before = chosen.get(output, [])
            if before is None or (kept is None and before) or set(before) & set(kept or ()):
                raise FastISMError(f"something of output {output} is named twice.")
            chosen[output] = None if kept is None else before + kept
    return dict(sorted(chosen.items()))


def _is_name(text: str, names: Sequence[str]) -> bool:
    return text in names and not re.fullmatch(r"\d+|\d*:\d*", text)


def _is_unknown(text: str, names: Sequence[str]) -> bool:
    """Whether a text can be nothing but a name, and no output has it."""
    return bool(names) and text not in names and not re.fullmatch(r"[\d: ]*", text)


def _chosen(text: str, count: int, names: Sequence[str]) -> list[int]:
    """Numbers of the outputs that a name, a number or a range stands for."""
    if _is_name(text, names):
        return [number for number, name in enumerate(names) if name == text]
    if _is_unknown(text, names):
        known = ", ".join(names)
        raise FastISMError(
            f"the model has no output {text!r}; it has {known}. Give names or numbers of outputs, "
            "or entries such as 0:3,5, 0-based and half-open."
        )
    return _numbers(text.replace(" ", ""), count, "outputs of the model")


def _entries(text: str, shape: tuple[int, ...], output: int) -> list[int] | None:
    if not text:
        return None
    if not shape:
        raise FastISMError(f"output {output} is a single number, of which nothing can be chosen.")
    return _numbers(text, shape[0], f"entries of output {output}")


def _numbers(text: str, count: int, what: str) -> list[int]:
    if text.isdecimal():
        start, end = int(text), int(text) + 1
    else:
        start, end = read_range(text)
        end = count if end is None else end
    if not start < end <= count:
        raise FastISMError(f"{text!r} is outside the {what}, which are 0:{count}.")
    return list(range(start, end))
