"""A finished store as a tree of arrays with attributes, which HDF5 and Zarr share.

Requirements: numpy. Files and groups come from h5py or zarr, and are only used here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastism.errors import FastISMError
from fastism.store.layout import FORMAT, FORMAT_VERSION, Header, OutputHeader, array_types
from fastism.store.scores import Scores


class Tree:
    """An HDF5 file or Zarr folder: a tree of arrays with attributes.

    Parameters
    ----------
    path : Path
    root : h5py.File or zarr.Group
    """

    def __init__(self, path: Path, root: Any) -> None:
        self.path, self._root = path, root
        attributes = dict(root.attrs)
        if attributes.get("format") != FORMAT:
            raise FastISMError(
                f"{path} holds no scores of this program. Expected a file that `fastism score` "
                "wrote."
            )
        if int(attributes["format_version"]) != FORMAT_VERSION:
            raise FastISMError(
                f"{path} has version {attributes['format_version']} of the format of scores; this "
                f"program reads version {FORMAT_VERSION}. Use a fitting version of fastism-suite."
            )
        try:
            self.header = read_header(root)
            self.complete = bool(attributes["complete"])
            self.consumed = int(attributes["consumed"])
            self.rows = int(root["names"].shape[0])
            for name, (_, shape) in array_types(self.header).items():
                if root[name].shape != (self.rows, *shape):
                    raise KeyError(f"{name} of shape {root[name].shape}")
        except KeyError as error:
            raise FastISMError(f"{path} is damaged: unexpected or missing {error}.") from error

    def column(self, name: str) -> list[Any]:
        """See `Scores.column`."""
        if name in ("start", "end"):
            return np.asarray(self._root[name][:]).tolist()
        return texts(self._root[name])

    def skipped(self) -> list[tuple[str, str]]:
        """Records that were not scored: name and reason."""
        names, reasons = texts(self._root["skipped/names"]), texts(self._root["skipped/reasons"])
        return list(zip(names, reasons, strict=True))

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """See `Scores.read`."""
        return np.asarray(self._root[name][start:stop])

    def close(self) -> None:
        """Close the file, where there is one."""
        close = getattr(self._root, "close", None)
        if close is not None:
            close()


def texts(array: Any) -> list[str]:
    """An array of UTF-8 bytes of fixed width as strings."""
    return [x.decode() for x in np.asarray(array[:]).astype(bytes).tolist()]


def read_header(root: Any) -> Header:
    """The header in the attributes of a tree of arrays."""
    values: dict[str, Any] = {}
    for name in Header.__dataclass_fields__:
        if name in ("outputs", "chrom_sizes"):
            continue
        value = root.attrs[name]
        values[name] = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    values["versions"] = json.loads(values["versions"])
    sizes = root["chrom_sizes"]
    values["chrom_sizes"] = dict(
        zip(texts(sizes["names"]), np.asarray(sizes["sizes"][:]).tolist(), strict=True)
    )
    values["outputs"] = [
        {
            "name": str(group.attrs["name"]),
            "shape": json.loads(group.attrs["shape"]),
            "labels": texts(group["labels"]),
        }
        for group in (root[f"outputs/{i}"] for i in range(int(root.attrs["num_outputs"])))
    ]
    return Header.from_json(json.dumps(values))


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
