"""How figures look: fonts, colours, and what users choose of them.

Requirements: matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import matplotlib
from matplotlib.colors import Colormap, LinearSegmentedColormap, is_color_like

from fastism.errors import FastISMError

#: Okabe and Ito's colours, which readers who confuse red and green can tell apart.
COLOURS = MappingProxyType(
    {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00", "U": "#D55E00"}
)
OTHER_COLOUR = "#333333"
SETTINGS: Mapping[str, Any] = MappingProxyType(
    {
        "font.family": "sans-serif",
        # The first comes with matplotlib, which measures text by it; the others are about as wide.
        "font.sans-serif": ["DejaVu Sans", "Verdana", "Geneva", "Arial", "Helvetica"],
        "font.size": 9,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "svg.fonttype": "none",  # text stays text: it can be searched, copied and edited
        "svg.hashsalt": "fastism",  # the same figure gives the same file
        "pdf.fonttype": 42,  # text that drawing programs can edit
    }
)
#: Maps of effects: the first colours lower, white is zero; both ends are equally dark.
MAPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "blue-orange": (
            "#053061",
            "#2f79b5",
            "#a7cfe4",
            "#ffffff",
            "#fdc38d",
            "#d9641e",
            "#6b2303",
        ),
        "blue-red": ("#053061", "#4393c3", "#d1e5f0", "#ffffff", "#fddbc7", "#d6604d", "#67001f"),
        "green-purple": (
            "#00441b",
            "#5aae61",
            "#d9f0d3",
            "#ffffff",
            "#e7d4e8",
            "#9970ab",
            "#40004b",
        ),
    }
)


@dataclass(frozen=True)
class Look:
    """What can be chosen of a figure.

    Attributes
    ----------
    title : str
        Above the figure; the names of its sequences stay.
    width : float or None
        Inches of the whole figure; by default so wide that letters can be read.
    per_row : int or None
        Positions side by side. By default sequences of up to 150 take one row, up to 1,000 several
        rows of about 100, and longer ones a single row again, which is an overview.
    limit : float or None
        Effect at which colours are darkest; by default the largest one.
    own_limits : bool
        Every sequence has limits of its own, instead of all having those of the largest effect.
    colours : str
        Of effects: a name of `MAPS`, or a colour map of matplotlib.
    letters : mapping of str to str
        Colours of letters, where they are not to be the usual ones.

    Raises
    ------
    FastISMError
        For a value that is none of these.
    """

    title: str = ""
    width: float | None = None
    per_row: int | None = None
    limit: float | None = None
    own_limits: bool = False
    colours: str = "blue-orange"
    letters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.width is not None and not 3 <= self.width <= 200:
            raise FastISMError(f"A width of {self.width:g} inches; expected 3 to 200.")
        if self.per_row is not None and self.per_row < 1:
            raise FastISMError(f"{self.per_row} positions in a row; expected at least 1.")
        if self.limit is not None and not 0 < self.limit < float("inf"):
            raise FastISMError(f"A limit of {self.limit:g}; expected a positive number.")
        if self.own_limits and self.limit is not None:
            raise FastISMError(
                "A limit holds for all sequences, but each was to have its own: choose one."
            )
        for letter, colour in self.letters.items():
            if len(letter) != 1 or not is_color_like(colour):
                raise FastISMError(
                    f"{letter}={colour} is no colour of a letter; expected such as A=#009E73 or "
                    "A=green."
                )
        self.map()

    def map(self) -> Colormap:
        """The colour map of effects."""
        if self.colours in MAPS:
            return LinearSegmentedColormap.from_list("effects", MAPS[self.colours])
        try:
            return matplotlib.colormaps[self.colours]
        except KeyError:
            raise FastISMError(
                f"There is no colour map {self.colours!r}; expected {', '.join(MAPS)}, or a name "
                "that matplotlib knows, such as PuOr or coolwarm."
            ) from None

    def letter(self, letter: str) -> str:
        """The colour of a letter."""
        return self.letters.get(letter, COLOURS.get(letter, OTHER_COLOUR))
