"""Writing a figure of `fastism plot` where the user wants it.

Requirements: matplotlib, imported when a figure is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastism.cli.exit_codes import Exit, stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_figure(figure: Figure, out: Path, dpi: float) -> None:
    """Write a figure to `out` with `dpi` pixels per inch, or end with an exit code."""
    from fastism.plots.saving import check_resolution, save

    with stage(Exit.USAGE):
        check_resolution(figure, dpi)
    with stage(Exit.OUTPUT):
        save(figure, out, dpi=dpi)
