"""How much of a window one program in Triton makes: the sizes to choose from.

Requirements: those of `fastism.backends.triton_runtime`.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastism.backends import triton_runtime


@dataclass(frozen=True)
class Tile:
    """What one program makes, and how.

    Parameters
    ----------
    rows, features, terms : int
        Rows and channels of its part of the window, and terms of the sum that are read at a time;
        powers of two, for products 16 or more.
    warps, stages : int
        As Triton means them.
    """

    rows: int
    features: int
    terms: int
    warps: int = 4
    stages: int = 3

    def __str__(self) -> str:
        """As part of the name of a kernel."""
        return f"{self.rows}x{self.features}x{self.terms}"


#: Few, for each is compiled before it is measured. With more sums than 64 for each thread, 32 at a
#: time in a warp, registers do not hold what comes behind them as well.
TILES = (
    Tile(64, 128, 32),
    Tile(128, 128, 32, warps=8),
    Tile(128, 64, 32),
    Tile(64, 64, 32),
    Tile(128, 32, 32),
    Tile(128, 16, 16),
)
#: Features from which on a tile may be as small as this.
WIDE = 64
#: The interpreter takes as long for a small program as for a large one.
INTERPRETED_TILES = (Tile(64, 64, 32),)


def tiles() -> tuple[Tile, ...]:
    """The tiles to choose from."""
    return INTERPRETED_TILES if triton_runtime.interpreted() else TILES


def power(number: int, least: int = 1) -> int:
    """The smallest power of two that is not below `number` and `least`."""
    return max(1 << (number - 1).bit_length(), least)
