"""`python -m benchmarks.regression`: compare this machine's speedups with the baseline."""

import sys

from benchmarks.regression.check import main

sys.exit(main())
