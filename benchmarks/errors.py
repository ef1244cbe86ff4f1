"""What the benchmark raises besides the library's own `FastISMError`."""


class BenchmarkError(RuntimeError):
    """A job cannot give what it is for: methods disagree, or nothing could be run."""
