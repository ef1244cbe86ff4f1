"""Small genomes for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def random_letters(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def write_fasta(path: Path, chromosomes: Mapping[str, str], width: int = 17) -> Path:
    """A FASTA file with lines of an odd width; compressed by bgzip if its name ends in .gz."""
    lines = []
    for name, letters in chromosomes.items():
        lines.append(f">{name} of a test")
        lines.extend(letters[i : i + width] for i in range(0, len(letters), width))
    text = "".join(f"{line}\n" for line in lines).encode()
    if path.suffix == ".gz":
        from Bio import bgzf

        with bgzf.BgzfWriter(str(path)) as handle:
            handle.write(text)
    else:
        path.write_bytes(text)
    return path
