"""What a store of scores holds, whatever the format of its file.

Axes: N sequences, L positions of a sequence, P scored positions, C characters of the alphabet,
``*shape`` of an output. Positions come before characters, whatever the order of the model's input.

A finished store is one HDF5 file, or a Zarr folder with the same names:

=============================  =====================  =============================================
name                           type, shape            meaning
=============================  =====================  =============================================
``names``                      text (N,)              as the input calls the sequences
``chrom``                      text (N,)              chromosome; empty without a genomic interval
``start``, ``end``             int64 (N,)             0-based half-open interval; -1 without one
``strand``                     text (N,)              ``+``, ``-`` or ``.``
``one_hot``                    uint8 (N, L, C)        as the model saw it: reverse complement for -
``outputs/I/reference``        float32 (N, *shape)    output I for the sequence as it is
``outputs/I/deltas``           (N, P, C, *shape)      mutant minus reference, in float32 or float16;
                                                      ``outputs/I/mutants`` where mutants are kept
``outputs/I/reference_sd``,    as those above         standard deviations over models, with --sd
``outputs/I/deltas_sd``
``outputs/I/labels``           text (shape[0],)       entries of the output's first axis
``skipped/names``, ``reasons`` text                   records of the input that were not scored
``chrom_sizes/names``,         text, int64            chromosomes of the genome
``chrom_sizes/sizes``
=============================  =====================  =============================================

Attributes of the root: ``format``, ``format_version``, ``complete``, ``consumed`` (records of the
input dealt with), and the fields of `Header`; of ``outputs/I``: ``name`` and ``shape``. Text is
UTF-8 of fixed width; what has no fixed length (`versions`, `shape`) is JSON.

Requirements: numpy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import product
from typing import Any

import numpy as np

from fastism.errors import FastISMError

FORMAT = "fastism-scores"
FORMAT_VERSION = 1
CONTENTS = ("deltas", "mutants")
DTYPES = ("float32", "float16")
#: What may happen to sequences for which a model is not finite; "" is written where it is "error".
NOT_FINITE = ("", "skip", "keep")
#: Fields of `Header` that a file has only where they differ from their defaults.
OPTIONAL = ("not_finite", "sd")
#: Bytes of a chunk, before compression: what is read to get at one value.
CHUNK_BYTES = 1 << 20
#: Bytes of the rows that are copied at a time.
BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class OutputHeader:
    """One output of the model, as far as it was kept.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Without the batch axis, after selection; ``()`` for a single number.
    labels : tuple of str
        Entries of the first axis that were kept (their indices, unless they have names); empty for
        the shape ``()``.
    """

    name: str
    shape: tuple[int, ...]
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wanted = self.shape[0] if self.shape else 0
        if len(self.labels) != wanted or any(n < 1 for n in self.shape):
            raise FastISMError(
                f"Output {self.name!r} has shape {self.shape} and {len(self.labels)} labels; "
                f"expected lengths of at least 1 and {wanted} labels, one per entry of its first "
                "axis."
            )

    def columns(self) -> list[str]:
        """Names of all its numbers: ``name:label:index``, the last axis fastest."""
        axes = [self.labels, *(map(str, range(n)) for n in self.shape[1:])] if self.shape else []
        return [":".join((self.name, *entry)) for entry in product(*axes)]


@dataclass(frozen=True)
class Header:
    """What a store holds and where it comes from.

    Attributes
    ----------
    alphabet : str
        The C characters, in the order of the character axis.
    length : int
        L, positions of a sequence.
    positions : tuple of int
        Scored positions, 0-based half-open: P = end - start.
    content : {"deltas", "mutants"}
    dtype : {"float32", "float16"}
        Of deltas or mutants; references are float32.
    outputs : tuple of OutputHeader
    expected : int
        Records of the input that this store is to hold, skipped ones included.
    model, model_hash, input, input_hash : str
        File names and SHA-256 (hexadecimal) of the model and of the input; with intervals, that
        of the input covers the genome's letters in their windows.
    command : str
        What determines the content, as a command.
    versions : mapping of str to str
        Packages that took part.
    batch : int
        Sequences of a batch; shards consist of whole batches.
    chrom_sizes : mapping of str to int
        Of the genome that the intervals refer to; empty without one.
    shard : tuple of int
        (I, N): the I-th of N parts, counted from 1.
    not_finite : {"", "skip", "keep"}
        What was done with sequences for which the model gives NaN or infinite outputs: they ended
        the run, were skipped, or are kept as they are.
    sd : int
        Over how many models the standard deviations are; 0 where there are none.
    """

    alphabet: str
    length: int
    positions: tuple[int, int]
    content: str
    dtype: str
    outputs: tuple[OutputHeader, ...]
    expected: int
    model: str
    model_hash: str
    input: str
    input_hash: str
    command: str
    versions: Mapping[str, str]
    batch: int
    chrom_sizes: Mapping[str, int] = field(default_factory=dict)
    shard: tuple[int, int] = (1, 1)
    not_finite: str = ""
    sd: int = 0

    def __post_init__(self) -> None:
        start, end = self.positions
        number, count = self.shard
        valid = {
            "alphabet": len(self.alphabet) > 1 and len(set(self.alphabet)) == len(self.alphabet),
            "length": self.length > 0,
            "positions": 0 <= start < end <= self.length,
            "content": self.content in CONTENTS,
            "dtype": self.dtype in DTYPES,
            "outputs": len(self.outputs) > 0,
            "expected": self.expected >= 0,
            "batch": self.batch > 0,
            "shard": 1 <= number <= count,
            "not_finite": self.not_finite in NOT_FINITE,
            "sd": self.sd == 0 or self.sd > 1,
        }
        for name, good in valid.items():
            if not good:
                raise FastISMError(
                    f"A store cannot have {name}={getattr(self, name)!r}; see the description of "
                    "Header for what is possible."
                )

    @property
    def scored(self) -> int:
        """P, the number of scored positions."""
        return self.positions[1] - self.positions[0]

    def scores_shape(self, output: int) -> tuple[int, ...]:
        """Shape (P, C, *shape) of the scores of one sequence."""
        return (self.scored, len(self.alphabet), *self.outputs[output].shape)

    def to_json(self) -> str:
        """All fields as one line of JSON, keys sorted."""
        values = asdict(self)
        for name in OPTIONAL:
            if not values[name]:
                del values[name]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Header:
        """The header that `to_json` wrote.

        Raises
        ------
        FastISMError
            If fields are missing, unknown or impossible.
        """
        try:
            values = dict(json.loads(text))
            values["outputs"] = tuple(
                OutputHeader(o["name"], tuple(o["shape"]), tuple(o["labels"]))
                for o in values["outputs"]
            )
            values["positions"] = tuple(values["positions"])
            values["shard"] = tuple(values["shard"])
            made = cls(**values)
            made.check_types()
            return made
        except FastISMError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FastISMError(
                f"The header of the store is damaged or of another version ({error})."
            ) from error

    def check_types(self) -> None:
        """Refuse values of the wrong type, which a damaged file may hold.

        Raises
        ------
        TypeError
            Naming the first of them.
        """
        numbers = (self.length, self.expected, self.batch, self.sd, *self.positions, *self.shard)
        sizes = [n for output in self.outputs for n in output.shape]
        words = [self.alphabet, self.model, self.model_hash, self.input, self.input_hash]
        words += [self.command, *self.versions, *self.versions.values(), *self.chrom_sizes]
        for wanted, values in ((int, [*numbers, *sizes, *self.chrom_sizes.values()]), (str, words)):
            for value in values:
                if type(value) is not wanted:
                    raise TypeError(f"{value!r} is no {wanted.__name__}")

    def difference(self, other: Header, ignore: Sequence[str] = ()) -> str:
        """The first field in which two headers differ, with both values; empty if none does."""
        return difference(self, other, ignore)


def difference(one: Any, other: Any, ignore: Sequence[str] = ()) -> str:
    """The first field in which two headers of one kind differ, with both values; else empty."""
    for name in (f.name for f in fields(one)):
        mine, theirs = getattr(one, name), getattr(other, name)
        if name not in ignore and mine != theirs:
            return f"{name}: {_short(mine)} and {_short(theirs)}"
    return ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."


def scores_name(header: Header, output: int) -> str:
    """Name of the scores of an output: deltas or mutants."""
    return f"outputs/{output}/{header.content}"


def array_types(header: Header) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The arrays that hold numbers: their names, dtypes and shapes without the sequence axis."""
    types = {"one_hot": ("uint8", (header.length, len(header.alphabet)))}
    for number, output in enumerate(header.outputs):
        types[f"outputs/{number}/reference"] = ("float32", output.shape)
        types[scores_name(header, number)] = (header.dtype, header.scores_shape(number))
        if header.sd:
            types[f"outputs/{number}/reference_sd"] = ("float32", output.shape)
            types[f"{scores_name(header, number)}_sd"] = types[scores_name(header, number)]
    return types


def chunk_shape(header: Header, name: str) -> tuple[int, ...]:
    """Chunks of an array of `array_types`: (rows, *part of the shape of a row), about 1 MiB.

    Several small rows share a chunk: a power of two of them, no more than are written at a time. A
    large row is cut along its first axis, or along later ones too where a single entry of the first
    one is too large.
    """
    dtype, shape = array_types(header)[name]
    itemsize = np.dtype(dtype).itemsize
    size = itemsize * math.prod(shape)
    if size <= CHUNK_BYTES:
        return (min(_power(CHUNK_BYTES // size), block_rows(header)), *shape)
    chunk = [1] * len(shape)
    for axis, length in enumerate(shape):
        rest = itemsize * math.prod(shape[axis + 1 :])
        fits = CHUNK_BYTES // rest
        if fits:
            parts = math.ceil(length / min(fits, length))
            chunk[axis:] = [math.ceil(length / parts), *shape[axis + 1 :]]
            break
    return (1, *chunk)


def block_rows(header: Header) -> int:
    """Rows that are copied at a time: a power of two that depends on the header alone."""
    largest = max(np.dtype(t).itemsize * math.prod(s) for t, s in array_types(header).values())
    return _power(BLOCK_BYTES // largest)


def _power(number: int) -> int:
    """The largest power of two up to a number, at least 1."""
    return 1 << (max(number, 1).bit_length() - 1)
