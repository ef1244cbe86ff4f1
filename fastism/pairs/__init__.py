"""Every double substitution, exactly: see `fastism.pairs.windows` for the idea."""

from fastism.pairs.result import Pairs

__all__ = ["Pairs"]
