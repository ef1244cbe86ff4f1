"""A model of *Drosophila* promoters: its data, its training, and what attributions find in it.

Imports the library and the methods of the benchmark; not part of the installed package.
"""
