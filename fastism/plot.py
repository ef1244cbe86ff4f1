"""Figures of scores, pairs, scans, haplotypes, designs and the spread over models.

Requirements: matplotlib, logomaker.
"""

from __future__ import annotations

from fastism.plots.designs import plot_design
from fastism.plots.folds import plot_folds
from fastism.plots.haplotypes import plot_haplotypes
from fastism.plots.outputs import plot_outputs
from fastism.plots.pairs import plot_dependency
from fastism.plots.saving import save
from fastism.plots.scans import plot_scan
from fastism.plots.sequences import Effects, plot_sequence, plot_sequences
from fastism.plots.style import Look
from fastism.plots.tracks import Bar

__all__ = [
    "Bar",
    "Effects",
    "Look",
    "plot_dependency",
    "plot_design",
    "plot_folds",
    "plot_haplotypes",
    "plot_outputs",
    "plot_scan",
    "plot_sequence",
    "plot_sequences",
    "save",
]
