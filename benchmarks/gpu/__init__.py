"""Measuring on a machine with a GPU, PyTorch, NumPy and this repository, within minutes.

Rows come in the order of their weight, each with the seconds that it is expected to take, and are
appended to records as they are done. Nothing here needs Keras, Snakemake or psutil.
"""
