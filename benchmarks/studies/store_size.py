"""Measure how much space scores take on disk: bytes per sequence of stores that are really written.

    python -m benchmarks.studies.store_size --fasta data/dm3_promoters_2kb.fa.gz \
        --output benchmarks/records/store_size.json

Weights are random: scores of trained models compress neither much better nor much worse, as the
last digits of any of them look like noise.

Requirements: keras, TensorFlow or whatever Keras runs on, h5py and psutil to measure; reading what
was measured needs none of them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastism.errors import FastISMError
from fastism.genomics.regions import Region

CHARACTERS = 4
#: Bytes of a number, by its type.
ITEM = {"float32": 4, "float16": 2}
#: Architecture, number of the output that is kept, sequences.
CASES = (("basset", 0, 64), ("bpnet", 0, 4))
LENGTH = 1000
SEED = 1


@dataclass(frozen=True, slots=True)
class StoreSize:
    """Size of one store.

    Attributes
    ----------
    architecture : str
    length : int
        Positions of a sequence, all of them scored.
    shape : tuple of int
        Of the one output that was kept, for one sequence.
    dtype : {"float32", "float16"}
        Of the deltas; references are float32.
    sequences : int
    bytes : int
        Of the finished file.
    """

    architecture: str
    length: int
    shape: tuple[int, ...]
    dtype: str
    sequences: int
    bytes: int

    @property
    def per_sequence(self) -> float:
        """Bytes per sequence of the finished, compressed file."""
        return self.bytes / self.sequences

    @property
    def raw(self) -> int:
        """Bytes per sequence in the file of a run that is not finished, which is not compressed."""
        values = math.prod(self.shape)
        scores = ITEM[self.dtype] * self.length * CHARACTERS * values
        return scores + ITEM["float32"] * values + self.length * CHARACTERS


@dataclass(frozen=True, slots=True)
class Measured:
    """Sizes, and what they were measured with.

    Attributes
    ----------
    data : str
        Where the sequences are from.
    versions : dict of str to str
    commit, date : str
    stores : tuple of StoreSize
    """

    data: str
    versions: dict[str, str]
    commit: str
    date: str
    stores: tuple[StoreSize, ...]

    def to_json(self) -> str:
        """All of it, for people to read too."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"


def read(path: str | Path) -> Measured:
    """Read what `main` wrote.

    Raises
    ------
    FastISMError
        It is missing or something else.
    """
    try:
        values: dict[str, Any] = json.loads(Path(path).read_text())
        stores = (StoreSize(**{**s, "shape": tuple(s["shape"])}) for s in values.pop("stores"))
        return Measured(**values, stores=tuple(stores))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FastISMError(
            f"{path} holds no sizes of stores ({error}); expected what "
            "`python -m benchmarks.studies.store_size` writes."
        ) from error


def measure(architecture: str, output: int, one_hot: np.ndarray) -> list[StoreSize]:
    """Score sequences and write them to stores, one per type of number.

    Parameters
    ----------
    architecture : str
        A key of `benchmarks.architectures.ARCHITECTURES`.
    output : int
        Which output of the model to keep.
    one_hot : ndarray, float32, shape (sequences, length, 4)
    """
    from benchmarks.architectures import build
    from fastism import FastISM

    length = one_hot.shape[1]
    result = FastISM(build(architecture, length), test_correctness=False).saturate(one_hot)
    reference, deltas = result.reference, result.delta()
    if isinstance(reference, list):
        reference, deltas = reference[output], deltas[output]
    shape = reference.shape[1:]
    return [
        StoreSize(architecture, length, shape, dtype, len(one_hot), size)
        for dtype in ITEM
        for size in [written(one_hot, reference, deltas, dtype)]
    ]


def written(one_hot: np.ndarray, reference: np.ndarray, deltas: np.ndarray, dtype: str) -> int:
    """Bytes of the store of these scores."""
    from fastism.store import Header, OutputHeader, StoreWriter

    shape = reference.shape[1:]
    labels = tuple(map(str, range(shape[0]))) if shape else ()
    header = Header(
        alphabet="ACGT",
        length=one_hot.shape[1],
        positions=(0, one_hot.shape[1]),
        content="deltas",
        dtype=dtype,
        outputs=(OutputHeader("output", shape, labels),),
        expected=len(one_hot),
        model="model",
        model_hash="",
        input="input",
        input_hash="",
        command="",
        versions={},
        batch=len(one_hot),
    )
    regions = [Region(f"sequence {i}", "") for i in range(len(one_hot))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.h5"
        with StoreWriter.create(path, header) as writer:
            writer.append(regions, one_hot.astype(np.uint8), [reference], [deltas])
            writer.complete()
        return path.stat().st_size


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the bytes of stores."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.store_size", description=main.__doc__
    )
    parser.add_argument("--fasta", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="JSON")
    given = parser.parse_args(arguments)

    from benchmarks.jobs.select_sequences import select
    from benchmarks.records import environment
    from fastism.sequences import one_hot

    environment.prepare()
    most = max(sequences for _, _, sequences in CASES)
    texts = [record.sequence[-LENGTH:] for record in select(given.fasta, most, SEED)]
    stores = [
        size
        for architecture, output, sequences in CASES
        for size in measure(architecture, output, one_hot(texts[:sequences]))
    ]
    where = environment.describe()
    data = f"{given.fasta.name}, seed {SEED}, last {LENGTH} bp"
    measured = Measured(data, dict(where.versions), where.commit, where.date, tuple(stores))
    given.output.write_text(measured.to_json())


if __name__ == "__main__":
    main()
