"""Designing sequences: directed evolution by exact saturation mutagenesis at every step."""

from fastism.design.evolution import Evolution, Substitution, evolve
from fastism.design.objectives import Goal

__all__ = ["Evolution", "Goal", "Substitution", "evolve"]
