"""Networks of the benchmark that nobody published: the base of the sweeps, a promoter model."""
