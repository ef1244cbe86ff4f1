"""Whether the library is still as fast as it was: baselines and the check against them."""
