"""Studies: one module for each question that is not answered by timing methods in turns.

A study is a named set of measurements. Those that compare the times of methods are described by a
file in `workflows/config`, whose name is the `study` of its records; all others are here: the
breakdown of time by layers, agreement of methods, double mutants, rounding, sizes of files, and a
model of promoters.
"""
