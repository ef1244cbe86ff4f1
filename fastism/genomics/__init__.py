"""Genomes, intervals and variants: what is scored, and where in a genome it lies."""
