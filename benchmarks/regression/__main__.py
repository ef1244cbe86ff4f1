"""`python -m benchmarks.regression`: compare this machine's speedups with the baseline."""

from benchmarks.regression.check import main

main()
