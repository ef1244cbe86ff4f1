"""A finished store as a tree of arrays with attributes, which HDF5 and Zarr share.

Requirements: numpy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastism.errors import FastISMError
from fastism.store.arrays import Arrays, damaged, reading
from fastism.store.schema import (
    FORMAT,
    FORMAT_VERSION,
    OPTIONAL,
    Header,
    OutputHeader,
    array_types,
)
from fastism.store.scores import Scores

#: One-dimensional arrays of text and of whole numbers beside those of `schema.array_types`.
_TEXTS = ("names", "chrom", "strand")
_NUMBERS = ("start", "end")


class Tree:
    """The store in an HDF5 file or a Zarr folder.

    Nothing in it is believed: files come from elsewhere. Whatever is not as it was written, ends in
    a FastISMError that calls the file damaged.

    Parameters
    ----------
    path : Path
    arrays : Arrays
        The file as a tree of arrays with attributes.
    """

    def __init__(self, path: Path, arrays: Arrays) -> None:
        self.path, self._arrays = path, arrays
        with reading(path, "the attributes of the root"):
            attributes = arrays.attributes("")
        if attributes.get("format") != FORMAT:
            raise FastISMError(
                f"{path} holds no scores of this program. Expected a file that `fastism score` "
                "wrote."
            )
        with reading(path, "the header"):
            version = int(attributes["format_version"])
            if version != FORMAT_VERSION:
                raise FastISMError(
                    f"{path} has version {version} of the format of scores; this program reads "
                    f"version {FORMAT_VERSION}. Use a fitting version of fastism-suite."
                )
            self.complete = bool(attributes["complete"])
            self.consumed = int(attributes["consumed"])
            self.header = _header(path, arrays, attributes)
            self.rows = int(arrays.check_texts("names").shape[0])
            self._check_arrays()
            self._check_intervals()

    def column(self, name: str) -> list[Any]:
        """See `Scores.column`."""
        if name in _NUMBERS:
            return self._arrays.numbers(name, self.rows).tolist()
        return self._arrays.texts(name, self.rows)

    def skipped(self) -> list[tuple[str, str]]:
        """Records that were not scored: name and reason."""
        names, reasons = (self._arrays.texts(f"skipped/{kind}") for kind in ("names", "reasons"))
        return list(zip(names, reasons, strict=True))

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """See `Scores.read`; what is read is checked."""
        values = np.asarray(self._arrays.get(name)[start:stop])
        if name == "one_hot":
            wrong = (values > 1).any((1, 2)) | (values.sum(2) > 1).any(1)
            what = "a row of one_hot that is neither one-hot nor zero"
        elif self.header.not_finite == "keep":
            return values
        else:
            wrong = ~np.isfinite(values).all(tuple(range(1, values.ndim)))
            what = f"a value of {name} that is not finite"
        if wrong.any():
            raise damaged(self.path, f"row {start + int(wrong.argmax())} holds {what}")
        return values

    def close(self) -> None:
        """Close the file, where there is one."""
        self._arrays.close()

    def _check_arrays(self) -> None:
        """Types and shapes of all arrays, before any of them is read."""
        for name, (dtype, shape) in array_types(self.header).items():
            array = self._arrays.get(name)
            if array.shape != (self.rows, *shape) or array.dtype != np.dtype(dtype):
                raise damaged(
                    self.path,
                    f"{name} has shape {array.shape} and type {array.dtype}; expected "
                    f"{(self.rows, *shape)} and {dtype}",
                )
        for name in _TEXTS:
            self._arrays.check_texts(name, self.rows)

    def _check_intervals(self) -> None:
        start, end = (self._arrays.numbers(name, self.rows) for name in _NUMBERS)
        wrong = (end - start != self.header.length) & ((start != -1) | (end != -1))
        if wrong.any():
            row = int(wrong.argmax())
            raise damaged(
                self.path,
                f"row {row} has the interval {start[row]}-{end[row]}, which is not as long as its "
                f"sequence of {self.header.length}",
            )


def _header(path: Path, arrays: Arrays, attributes: Mapping[str, Any]) -> Header:
    """The header in the attributes of a tree of arrays."""
    values: dict[str, Any] = {}
    for name in Header.__dataclass_fields__:
        if name in ("outputs", "chrom_sizes") or (name in OPTIONAL and name not in attributes):
            continue
        value = attributes[name]
        values[name] = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    values["versions"] = json.loads(values["versions"])
    names = arrays.texts("chrom_sizes/names")
    sizes = arrays.numbers("chrom_sizes/sizes", len(names))
    values["chrom_sizes"] = dict(zip(names, sizes.tolist(), strict=True))
    values["outputs"] = [
        {
            "name": str(each["name"]),
            "shape": json.loads(each["shape"]),
            "labels": arrays.texts(f"outputs/{number}/labels"),
        }
        for number in range(int(attributes["num_outputs"]))
        for each in (arrays.attributes(f"outputs/{number}"),)
    ]
    try:
        return Header.from_json(json.dumps(values))
    except FastISMError as error:
        raise damaged(path, str(error).rstrip(".")) from error


def header_attributes(header: Header) -> Mapping[str, Any]:
    """The attributes of the root of a finished store, in the order they are written in."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "complete": True,
        "consumed": header.expected,
        "alphabet": header.alphabet,
        "length": header.length,
        "positions": list(header.positions),
        "content": header.content,
        "dtype": header.dtype,
        "num_outputs": len(header.outputs),
        "expected": header.expected,
        "model": header.model,
        "model_hash": header.model_hash,
        "input": header.input,
        "input_hash": header.input_hash,
        "command": header.command,
        "versions": json.dumps(dict(header.versions), sort_keys=True),
        "batch": header.batch,
        "shard": list(header.shard),
        **{name: getattr(header, name) for name in OPTIONAL if getattr(header, name)},
    }


def output_attributes(output: OutputHeader) -> Mapping[str, Any]:
    """The attributes of the group of an output."""
    return {"name": output.name, "shape": json.dumps(output.shape)}


def columns(scores: Scores) -> dict[str, np.ndarray]:
    """The one-dimensional arrays of a store, by name; text as UTF-8 of fixed width."""
    names = [name for name, _ in scores.skipped]
    reasons = [reason for _, reason in scores.skipped]
    sizes = scores.header.chrom_sizes
    return {
        "names": text_column(scores.column("names")),
        "chrom": text_column(scores.column("chrom")),
        "start": np.array(scores.column("start"), np.int64),
        "end": np.array(scores.column("end"), np.int64),
        "strand": text_column(scores.column("strand")),
        "skipped/names": text_column(names),
        "skipped/reasons": text_column(reasons),
        "chrom_sizes/names": text_column(sizes),
        "chrom_sizes/sizes": np.array(list(sizes.values()), np.int64),
    }


def text_column(values: Iterable[str]) -> np.ndarray:
    """Strings as UTF-8 bytes, as wide as the longest of them."""
    encoded = [value.encode() for value in values]
    return np.array(encoded, f"S{max([1, *map(len, encoded)])}")
