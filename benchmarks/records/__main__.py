"""`python -m benchmarks.records`: join records and write them as a table."""

from benchmarks.records.record import main

main()
