"""The names by which scripts for fastISM 0.5 declared layers of their own.

Requirements: none. fastISM 0.5 looked layers up in these sets; here a layer's `call` is looked into
instead, so that adding a name changes nothing, and says so once per name.
"""

from __future__ import annotations

import warnings


class LayerNames(set[str]):
    """A set of names of layer classes that is only kept, not read."""

    def add(self, name: str) -> None:
        """Keep a name, and say that nothing depends on it."""
        if name not in self:
            warnings.warn(
                f"Adding {name!r} to a set of fastism.fast_ism_utils has no effect: layers of "
                "one's own are read as the operations that they consist of, without being "
                "declared. print(FastISM(model).plan) shows how each layer runs, and why one "
                "runs in full.",
                stacklevel=2,
            )
        super().add(name)

    def update(self, *names: set[str] | list[str] | tuple[str, ...]) -> None:
        """As `add`, for several names."""
        for name in (name for group in names for name in group):
            self.add(name)


#: Layers on each position alone.
SEE_THROUGH_LAYERS = LayerNames()
#: Layers that join several tensors.
AGGREGATE_LAYERS = LayerNames()
#: Layers on neighbouring positions.
LOCAL_LAYERS = LayerNames()
#: Layers that pool neighbouring positions.
POOLING_LAYERS = LayerNames()
#: Layers from which on everything is computed in full.
STOP_LAYERS = LayerNames()
