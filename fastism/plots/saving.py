"""Figures as files.

Requirements: matplotlib.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from fastism.errors import FastISMError
from fastism.files.whole import whole_file
from fastism.plots.style import SETTINGS

#: Extensions, each with the metadata that would differ from run to run.
FORMATS: dict[str, dict[str, Any]] = {
    ".svg": {"Date": None},
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None},
}
DPI, _LEAST_DPI = 200, 10
#: A picture with more pixels along a side cannot be made.
_MOST_PIXELS = 2**16 - 1


def check_format(path: Path) -> None:
    """Refuse a name that does not end in a format of figures.

    Raises
    ------
    FastISMError
        Naming the formats.
    """
    if path.suffix.lower() not in FORMATS:
        raise FastISMError(f"{path} must end in one of {', '.join(FORMATS)}.")


def check_resolution(figure: Figure, dpi: float) -> None:
    """Refuse a resolution of which no picture of a figure can be made.

    Raises
    ------
    FastISMError
        Saying how many pixels there would be.
    """
    pixels = max(figure.get_size_inches()) * dpi
    if not (dpi >= _LEAST_DPI and pixels <= _MOST_PIXELS):
        raise FastISMError(
            f"{dpi:g} pixels per inch make a picture of up to {pixels:,.0f} pixels along a side; "
            f"expected at least {_LEAST_DPI} per inch and at most {_MOST_PIXELS:,} in all. "
            "Choose another resolution, or a smaller part."
        )


def save(figure: Figure, path: str | Path, *, dpi: float = DPI) -> None:
    """Write a figure as SVG, PDF or PNG, as the extension says; the same figure, the same bytes.

    Parameters
    ----------
    figure : matplotlib Figure
    path : str or Path
    dpi : float
        Pixels per inch, of PNG and of the parts of SVG and PDF that are pictures.

    Raises
    ------
    FastISMError
        For another extension, for more pixels than a picture can have, or if it cannot be written.
    """
    path = Path(path)
    check_format(path)
    check_resolution(figure, dpi)
    suffix = path.suffix.lower()
    with matplotlib.rc_context(SETTINGS), whole_file(path) as beside:
        figure.savefig(beside, format=suffix[1:], dpi=dpi, metadata=FORMATS[suffix])


def svg_text(figure: Figure) -> str:
    """A figure as the text of an SVG element, to stand within a page."""
    text = StringIO()
    with matplotlib.rc_context(SETTINGS):
        figure.savefig(text, format="svg", dpi=DPI, metadata=FORMATS[".svg"])
    return text.getvalue()[text.getvalue().index("<svg") :]
