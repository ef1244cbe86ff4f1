"""The command of a study of models: substitutions of one sequence, some rows a model, a table.

Requirements: rich; Keras with PyTorch.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.attribution.twins import make_twin
from benchmarks.jobs.progress import Progress
from benchmarks.jobs.select_sequences import encoded
from benchmarks.records import environment
from benchmarks.records.tables import markdown_table
from benchmarks.studies.command import FASTA
from fastism.errors import FastISMError
from fastism.loading.model_files import load_model


@dataclass(frozen=True, slots=True)
class ModelStudy:
    """A study whose table has some rows for each model.

    Attributes
    ----------
    name : str
        Of its module in `benchmarks.studies`.
    description : str
        What the command does.
    positions : int
        How many are mutated unless the user says otherwise.
    header : tuple of str
    left : tuple of int
        Columns that are aligned to the left.
    rows : callable
        From name and length of a model, its PyTorch twin and the mutants to the rows of the table.
    head : str
        What stands above the table, without machine and versions; with the fields ``positions``
        and ``fasta``.
    """

    name: str
    description: str
    positions: int
    header: tuple[str, ...]
    left: tuple[int, ...]
    rows: Callable[[str, int, Any, np.ndarray], list[list[str]]]
    head: str

    def run(self, arguments: Sequence[str] | None) -> int:
        """Print the table, and write it to a file as well; the exit code."""
        parser = self._parser()
        given = parser.parse_args(arguments)
        if not given.architecture and not given.model:
            parser.error("give at least one --architecture or --model")
        environment.prepare("torch", "cpu", given.threads)
        body: list[list[str]] = []
        with Progress(self.name.capitalize()) as progress:
            try:
                for name, model in models(given.architecture, given.model):
                    length = model.inputs[0].shape[1]
                    x = mutants_of(encoded(given.fasta, length)[0], given.positions)
                    body += self.rows(name, length, make_twin(model), x)
                    progress.done(f"{name}, {length} bp")
            except FastISMError as error:
                progress.wrong(str(error))
                return 1
        table = markdown_table(self.header, body, self.left)
        print(table)
        if given.markdown:
            head = self.head.format(positions=given.positions, fasta=given.fasta.name)
            where = environment.caption(environment.describe())
            given.markdown.parent.mkdir(parents=True, exist_ok=True)
            given.markdown.write_text(f"{head}: {where}\n\n{table}\n")
        return 0

    def _parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.studies.{self.name}", description=self.description
        )
        add = parser.add_argument
        add("--architecture", choices=ARCHITECTURES, nargs="+", default=[])
        add("--model", type=Path, nargs="+", default=[], help="trained ones, .keras")
        add("--fasta", type=Path, default=FASTA, help="its first sequence is mutated")
        add("--positions", type=int, default=self.positions, help="how many, evenly spaced")
        add("--threads", type=int, default=0, help="processors to use; 0 for all")
        add("--markdown", type=Path, help="file to write the table to as well")
        return parser


def models(architectures: Sequence[str], files: Sequence[Path]) -> Iterator[tuple[str, Any]]:
    """Names and Keras models: untrained ones by architecture, then those of files."""
    for name in architectures:
        architecture = ARCHITECTURES[name]
        yield architecture.label, build(name, architecture.lengths[0])
    for path in files:
        yield f"`{path.name}`", load_model(str(path)).model


def mutants_of(sequence: np.ndarray, positions: int) -> np.ndarray:
    """A sequence and its other characters at evenly spaced positions.

    Parameters
    ----------
    sequence : ndarray, shape (length, characters)
        One-hot.
    positions : int

    Returns
    -------
    ndarray, float32, shape (1 + mutants, length, characters)
    """
    length, characters = sequence.shape
    made = [sequence]
    for position in np.unique(np.linspace(0, length - 1, positions).astype(int)):
        for character in np.flatnonzero(sequence[position] == 0):
            mutant = sequence.copy()
            mutant[position] = np.eye(characters)[character]
            made.append(mutant)
    return np.stack(made).astype(np.float32)
