"""Runs over many sequences or variants, and the files that they write."""
