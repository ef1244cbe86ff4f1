"""What a framework must offer to run a plan: three small protocols, one on top of the other.

Requirements: numpy only. `Transfer` brings arrays to a device and back and compiles functions of
them; `Arrays` are plain operations on arrays; `Windows` are those on the windows of mutants. Most
operations follow from others, so that a new framework, or one for a test, implements few of them
and overrides what it can do better. A new operation is one method and its case in
``tests/array_cases.py`` or ``tests/window_cases.py``.
"""

from __future__ import annotations

from fastism.backends.transfer import Array, Geometry
from fastism.backends.windows import Windows, per_mutant

__all__ = ["Array", "Backend", "Geometry", "per_mutant"]


class Backend(Windows):
    """All that a rule, the engine and the frontends may ask of a framework."""
