"""Stores of made-up scores, each row of which depends on its number alone."""

import itertools
import zlib
from dataclasses import replace

import numpy as np

from fastism.genomics.regions import Region
from fastism.store import Header, OutputHeader, StoreWriter

TWO_OUTPUTS = (OutputHeader("signal", (3,), ("0", "4", "5")), OutputHeader("counts", ()))
HEADER = Header(
    alphabet="ACGT",
    length=30,
    positions=(5, 25),
    content="deltas",
    dtype="float32",
    outputs=TWO_OUTPUTS,
    expected=11,
    model="model.keras",
    model_hash="ab12",
    input="peaks.bed",
    input_hash="cd34",
    command="fastism score model.keras peaks.bed",
    versions={"numpy": "2.0.0", "fastism-suite": "0.6.0"},
    batch=3,
    chrom_sizes={"chr2": 5000, "chr1": 9000},
)
#: Row that has an N at its tenth position.
AMBIGUOUS = 4


def row(header, number):
    """Region, one-hot, references and scores of a row."""
    rng = np.random.default_rng(number)
    one_hot = np.eye(4, dtype=np.uint8)[rng.integers(0, 4, header.length)]
    if number == AMBIGUOUS:
        one_hot[10] = 0
    start = 100 + 17 * number
    region = Region(
        f"peak{number} é",
        "",
        "chr1" if number % 3 else "chr2",
        start,
        start + header.length,
        "+-."[number % 3],
    )
    reference = [rng.normal(size=o.shape).astype("f4") for o in header.outputs]
    known = one_hot[slice(*header.positions)]
    scores = []
    for output, value in zip(header.outputs, reference, strict=True):
        effects = rng.normal(size=header.scores_shape(0)[:2] + output.shape)
        effects[known == 1] = 0
        kept = effects + value if header.content == "mutants" else effects
        scores.append(kept.astype(header.dtype))
    return region, one_hot, reference, scores


def batch(header, numbers, skipped=()):
    """The arguments of `StoreWriter.append` for some rows."""
    rows = [row(header, number) for number in numbers]
    outputs = range(len(header.outputs))
    return (
        [r[0] for r in rows],
        np.array([r[1] for r in rows], "u1").reshape(-1, header.length, 4),
        [
            np.array([r[2][i] for r in rows], "f4").reshape(-1, *header.outputs[i].shape)
            for i in outputs
        ],
        [np.array([r[3][i] for r in rows]).reshape(-1, *header.scores_shape(i)) for i in outputs],
        [(f"peak{n}", "N at 3") for n in skipped],
    )


def fill(writer, first, last, skip=()):
    """Append the rows [first, last) of the input in its batches, and complete the store."""
    header = writer.header
    for start in range(first, last, header.batch):
        numbers = range(start, min(start + header.batch, last))
        kept = [n for n in numbers if n not in skip]
        writer.append(*batch(header, kept, [n for n in numbers if n in skip]))
    writer.complete()


def store(path, header=HEADER, skip=()):
    """A complete store."""
    with StoreWriter.create(path, header) as writer:
        fill(writer, 0, header.expected, skip)
    return path


def shards(folder, header=HEADER, bounds=(0, 3, 9, 11), skip=()):
    """The same rows in several stores."""
    paths = []
    count = len(bounds) - 1
    for number, (first, last) in enumerate(itertools.pairwise(bounds), start=1):
        path = folder / f"part{number}.h5"
        part = replace(header, expected=last - first, shard=(number, count))
        with StoreWriter.create(path, part) as writer:
            fill(writer, first, last, skip)
        paths.append(path)
    return paths


def content(path):
    """Checksums of all files of an output, by relative name."""
    if path.is_file():
        return {"": zlib.crc32(path.read_bytes())}
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): zlib.crc32(p.read_bytes()) for p in files}
