"""Mutants of several edits, such as haplotypes, exactly: see `fastism.edits.plan` for the idea."""

from fastism.edits.listed import Edits

__all__ = ["Edits"]
