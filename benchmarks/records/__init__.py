"""Records of timed runs, one row per method, in JSON lines; the committed ones lie beside."""

from benchmarks.records.record import (
    How,
    Record,
    Result,
    What,
    Where,
    append,
    read,
    tabulate,
)

__all__ = ["How", "Record", "Result", "What", "Where", "append", "read", "tabulate"]
