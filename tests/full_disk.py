"""A disk with little room, for the files that HDF5 is written through."""

from __future__ import annotations

import errno
import os

from fastism.store.surviving import SurvivingFile


class Full:
    """A file that refuses what lies behind its first `room` bytes, as a full disk does."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        fits = self.room - self.file.tell()
        if len(data) > fits:
            if fits > 0:
                self.file.write(data[:fits])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


def fill_disk(monkeypatch, room):
    """Until `monkeypatch` undoes it, files that HDF5 is written through have so much room."""
    opened = SurvivingFile.__init__
    monkeypatch.setattr(
        SurvivingFile, "__init__", lambda self, file: opened(self, Full(file, room))
    )
