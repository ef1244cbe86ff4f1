"""Scores on disk: one store of sequences and their scores, and its exports to what others read.

`writer` makes a store, `reader` reads it, `export` turns finished stores into files for users.

Requirements: numpy; h5py where a finished store is written or read.
"""

from fastism.store.reader import Store
from fastism.store.schema import Header, OutputHeader
from fastism.store.writer import StoreWriter

__all__ = ["Header", "OutputHeader", "Store", "StoreWriter"]
