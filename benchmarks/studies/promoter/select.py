"""Write the held-out promoters of which no two overlap, as FASTA.

    python -m benchmarks.studies.promoter.select --fasta F.fa.gz --output held_out.fa

Requirements: numpy, fastism.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.studies.promoter.dataset import held_out_promoters, read_upstream


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the promoters of the held-out chromosome, 400 bp each, as FASTA."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.promoter.select", description=main.__doc__
    )
    parser.add_argument("--fasta", type=Path, required=True, help="2,000 bp upstream of starts")
    parser.add_argument("--output", type=Path, required=True, help="FASTA, uncompressed")
    given = parser.parse_args(arguments)
    promoters = held_out_promoters(read_upstream(given.fasta))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text("".join(f">{p.name}\n{p.promoter}\n" for p in promoters))


if __name__ == "__main__":
    main()
