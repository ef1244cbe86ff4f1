"""The parts of `fastism plot` that draw tables of haplotypes and of the steps of designs.

Requirements: matplotlib.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np

from fastism.batch.design_files import read_steps
from fastism.cli.exit_codes import Exit, stage
from fastism.cli.plot_saved import write_figure
from fastism.cli.plot_scan import effect_column, named
from fastism.errors import FastISMError
from fastism.files.text import text_lines
from fastism.genomics.locate import Status

if TYPE_CHECKING:
    from fastism.cli.plot_scores import Request


def plot_haplotype_table(request: Request) -> None:
    """Draw a table of `fastism variants --phased`: joint effects against sums of single ones."""
    from fastism.plots.haplotypes import plot_haplotypes

    with stage(Exit.INPUT):
        texts = (line for _, line in text_lines(request.store, "a table of haplotypes"))
        header, *rows = csv.reader(texts, delimiter="\t", quoting=csv.QUOTE_NONE)
    with stage(Exit.USAGE):
        joint = effect_column(header, request.output, "joint")
        label = header[joint].removeprefix("joint").removeprefix("_")
    with stage(Exit.INPUT):
        at = {name: number for number, name in enumerate(header)}
        try:
            scored = [row for row in rows if row[at["status"]] == Status.SCORED.value]
            values = np.array([[float(row[joint]), float(row[joint + 1])] for row in scored])
            additive = np.array([row[at["additive"]] == "yes" for row in scored])
            windows = [f"{row[at['chrom']]}:{row[at['window_start']]} " for row in scored]
            several = len(set(windows)) > 1
            names = [
                f"{window * several}{row[at['haplotype']]}"
                for window, row in zip(windows, scored, strict=True)
            ]
        except (ValueError, IndexError) as error:
            raise FastISMError(
                f"{request.store} is no whole table of haplotypes ({error})."
            ) from error
        if not scored:
            raise FastISMError(f"{request.store} has no haplotype that was scored.")
        figure = plot_haplotypes(
            *values.T,
            additive=additive,
            names=names,
            output=f"output {label}" if label else "output",
            look=request.look,
        )
    write_figure(figure, request.out, request.dpi)


def plot_step_table(request: Request, sequence: str | None) -> None:
    """Draw a table of `fastism evolve --table`: the objective of one sequence, step by step."""
    from fastism.plots.designs import plot_design

    with stage(Exit.INPUT):
        steps, letters = read_steps(request.store)
        if not steps:
            raise FastISMError(f"{request.store} has no step: no substitution improved anything.")
    with stage(Exit.USAGE):
        name = named(sequence, list(steps), request.store)
    figure = plot_design(steps[name], alphabet=letters, title=name, look=request.look)
    write_figure(figure, request.out, request.dpi)
