"""The library's exception.

Requirements: none.
"""

from __future__ import annotations


class FastISMError(ValueError):
    """The one exception type of the library.

    It is raised for everything a caller can mend: an input of the wrong shape, a model that cannot
    be read, a setting that is not supported, a file that is not what it should be. The message says
    what was given, what was expected, and what to do.
    """
