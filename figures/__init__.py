"""Tables and figures of the benchmark, one module each: records in, files out.

Imports `benchmarks`; nothing imports this. Not part of the installed package.
"""
