"""Running a plan on a backend: chunks of mutants, window steps, readouts, steps in full."""
