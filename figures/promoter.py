"""The promoter model: logos of its best promoters, and importance at matches of motifs.

    python -m figures.promoter --record promoter.json --output P.svg P.png P.csv P.md

Requirements: matplotlib, logomaker, pandas, numpy.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from benchmarks.records import Where
from figures import style
from figures.choices import LABELS
from figures.drawings import Drawing
from figures.provenance import short_caption

TITLE = "What a model of fly promoters relies on: exact ISM finds the DRE and the TATA box"
MOTIFS = {
    "Dref": "DREF",
    "Trl": "GAGA (Trl)",
    "pho": "Pho",
    "vfl": "Zelda (vfl)",
    "TBP": "TATA (TBP)",
}
ISM = "fast_ism"
#: What figures call the methods here: the first is ISM, however it is computed.
METHODS = {ISM: "ISM", "gradient_x_input": LABELS["gradient_x_input"], "deepshap": "DeepSHAP"}
MARKS = {
    ISM: {"marker": "o", "color": style.BLUE, "markerfacecolor": style.BLUE},
    "gradient_x_input": {"marker": "s", "color": style.VERMILION, "markerfacecolor": "white"},
    "deepshap": {"marker": "^", "color": style.GREY, "markerfacecolor": "white"},
}
LETTERS = {"A": "#009E73", "C": style.BLUE, "G": "#E69F00", "T": style.VERMILION}
WIDTH, HEIGHT, BOTTOM = 9.0, 9.95, 0.83  # inches
#: Dots per inch of the PNG, which is to stay small.
DPI = 120
#: Steps of the profile with fewer matches show no median.
FEWEST = 5


@dataclass(frozen=True)
class Measured:
    """What `benchmarks.studies.promoter.enrichment` wrote, and where it ran."""

    content: Mapping[str, Any]
    where: Where

    @classmethod
    def read(cls, path: str | Path) -> Measured:
        """Read a record."""
        content = json.loads(Path(path).read_text())
        return cls(content, Where(**content["where"]))


def draw(record: Measured) -> Drawing:
    """Draw logos above, importance along the promoter and of all motifs below."""
    content = record.content
    figure = plt.figure(figsize=(WIDTH, HEIGHT))
    logos = [_panel(figure, 0.8, top, 8.08, 0.72) for top in (0.62, 1.72, 2.82)]
    _draw_logos(logos, content["logos"])
    _draw_profile(_panel(figure, 0.8, 4.38, 8.08, 1.45), content["profile"])
    _draw_methods(_panel(figure, 0.8, 6.6, 2.9, 1.95), content["profile"]["near"])
    _draw_motifs(_panel(figure, 4.95, 6.6, 3.93, 1.95), content["enrichment"])
    style.add_title(figure, TITLE, 0.08)
    caption = _caption(record)
    style.add_caption(figure, caption, BOTTOM, characters=168)
    rows = content["enrichment"]
    return Drawing(TITLE, caption, figure, rows, HEADER, [_cells(r) for r in rows], left=(0, 1, 3))


def _panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """A panel whose place is given in inches from the left and from the top."""
    bottom = HEIGHT - top - height
    return figure.add_axes((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))


def _letter(panel: Axes, letter: str, text: str) -> None:
    panel.set_title(f"{letter}   {text}", fontsize=9)


def _draw_logos(panels: Sequence[Axes], logos: Sequence[Mapping[str, Any]]) -> None:
    import logomaker
    import pandas

    high = max(max(logo["importance"]) for logo in logos)
    low = min(min(logo["importance"]) for logo in logos)
    room = 0.16 * (high - low)
    panels[-1].set_xlabel("position relative to the transcription start site (bp)", labelpad=2)
    panels[len(panels) // 2].set_ylabel("ISM importance (logit)")
    for index, (panel, logo) in enumerate(zip(panels, logos, strict=True)):
        length = len(logo["sequence"])
        positions = np.arange(-length, 0)
        letters = np.array(list(logo["sequence"]))[:, None]
        heights = np.equal(letters, list("ACGT")) * np.array(logo["importance"])[:, None]
        frame = pandas.DataFrame(heights, index=positions, columns=list("ACGT"))
        logomaker.Logo(frame, ax=panel, color_scheme=LETTERS, font_name="DejaVu Sans")
        for name, start, end in logo["matches"]:
            _mark_match(panel, name, start, end, low - 0.35 * room, room)
        panel.set_xlim(-length - 0.7, -0.3)
        panel.set_ylim(low - 2.6 * room if any(one["matches"] for one in logos) else low, high)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xticks([*range(-length, 0, 10), -1])
        panel.tick_params(labelbottom=panel is panels[-1])
        shown = f"{logo['name'].split()[0]}, logit {logo['output']:.1f}"
        _letter(panel, "ABCDEFGH"[index], shown)


def _mark_match(panel: Axes, name: str, start: int, end: int, height: float, room: float) -> None:
    """A bracket under a match, half-open as all intervals are."""
    left, right = start - 0.45, end - 0.55
    xs = [left, left, right, right]
    panel.plot(xs, [height, height - 0.5 * room, height - 0.5 * room, height], color="black", lw=1)
    middle = (left + right) / 2
    label = MOTIFS.get(name, name)
    panel.text(middle, height - 0.7 * room, label, ha="center", va="top", fontsize=7)


def _draw_profile(panel: Axes, profile: Mapping[str, Any]) -> None:
    matches, bins = profile["matches"], profile["bins"]
    at, values = np.array(matches["distance"]), np.array(matches[ISM])
    edges = [b[0] for b in bins] + [bins[-1][1]]
    low, median, high = (np.array([b[i] for b in bins]) for i in (3, 4, 5))
    panel.fill_between(
        edges,
        np.append(low, low[-1]),
        np.append(high, high[-1]),
        step="post",
        facecolor="#d5d5d5",
        linewidth=0,
    )
    panel.step(edges, np.append(median, median[-1]), where="post", color="#555555", lw=1.2, ls="--")
    panel.plot(at, values, "o", color=style.BLUE, markerfacecolor="none", ms=3, mew=0.6)
    for start, end, *_ in bins:
        inside = values[(at >= start) & (at < end)]
        if len(inside) >= FEWEST:
            panel.plot([start, end], [np.median(inside)] * 2, color="black", lw=2)
    panel.set_xlim(edges[0], edges[-1])
    panel.grid(axis="y")
    panel.set_xlabel(
        "middle of the match, relative to the transcription start site (bp)", labelpad=2
    )
    panel.set_ylabel("ISM importance,\nmean of a match (logit)")
    _letter(panel, "D", "Importance at matches of DREF along the promoter")
    handles = [
        Line2D([], [], ls="none", marker="o", color=style.BLUE, mfc="none", ms=4, label="a match"),
        Line2D([], [], color="black", lw=2, label=f"median of {bins[0][1] - bins[0][0]} bp"),
        Line2D([], [], color="#555555", ls="--", label="shuffled matrices: median"),
        Patch(facecolor="#d5d5d5", label="shuffled matrices: 5 to 95 %"),
    ]
    panel.legend(handles=handles, loc="upper left", ncols=2, fontsize=7.5)


def _draw_methods(panel: Axes, near: Mapping[str, Any]) -> None:
    """Pairs of boxes, of matches and of shuffled ones, in units of the spread of a method."""
    for place, name in enumerate(METHODS):
        for shift, kind in ((-0.19, "matches"), (0.19, "shuffled")):
            values = np.array(near[name][kind]) / near[name]["sd"]
            box = {
                "whislo": values[5],
                "q1": values[25],
                "med": values[50],
                "q3": values[75],
                "whishi": values[95],
            }
            face = {"facecolor": style.BLUE if kind == "matches" else "white", "alpha": 0.75}
            panel.bxp(
                [{**box, "fliers": []}],
                positions=[place + shift],
                widths=0.32,
                patch_artist=True,
                showfliers=False,
                manage_ticks=False,
                boxprops=face | {"hatch": "" if kind == "matches" else "////"},
                medianprops={"color": "black", "linewidth": 1.6},
            )
    panel.axhline(0, color="#999999", lw=0.8, zorder=0)
    panel.set_xticks(range(len(METHODS)), [m.replace(" × ", "\n× ") for m in METHODS.values()])
    panel.set_ylim(top=1.32 * panel.get_ylim()[1])
    panel.set_ylabel("importance of a match\n(standard deviations of positions)")
    panel.grid(axis="y")
    _letter(panel, "E", "DREF next to the start, by method")
    panel.legend(
        handles=[
            Patch(facecolor=style.BLUE, alpha=0.75, edgecolor="black", label="matches"),
            Patch(facecolor="white", hatch="////", edgecolor="black", label="shuffled"),
        ],
        fontsize=7.5,
        loc="upper right",
    )


def _draw_motifs(panel: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    motifs = list(dict.fromkeys(row["motif"] for row in rows))
    labels = {}
    for row in rows:
        place = motifs.index(row["motif"]) + 0.24 * (list(METHODS).index(row["method"]) - 1)
        mark = MARKS[row["method"]]
        panel.plot([row["low"], row["high"]], [place, place], color=mark["color"], lw=1.2)
        panel.plot(row["superiority"], place, ls="none", ms=5, **mark)
        labels[row["motif"]] = f"{MOTIFS.get(row['motif'], row['motif'])}\n{row['matches']} matches"
    panel.axvline(0.5, color="black", lw=0.9, ls="--")
    panel.set_yticks(range(len(motifs)), [labels[m] for m in motifs], fontsize=7.5)
    panel.set_ylim(len(motifs) - 0.4, -0.6)
    panel.set_xlim(right=1.0)
    panel.grid(axis="x")
    panel.set_xlabel("how often a match has more importance\nthan one of a shuffled matrix")
    _letter(panel, "F", "All motifs next to the start, 95 % intervals")
    handles = [
        Line2D([], [], ls="none", ms=5, label=METHODS[name], **MARKS[name]) for name in METHODS
    ]
    panel.legend(handles=handles, fontsize=7.5, loc="upper left")


HEADER = (
    "motif",
    "consensus",
    "matches",
    "method",
    "mean importance",
    "shuffled",
    "superiority (95 %)",
    "Mann–Whitney p",
    "shuffled matrices below",
    "p",
)


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{MOTIFS.get(row['motif'], row['motif'])} ({row['identifier']})",
        row["consensus"],
        f"{row['matches']} in {row['promoters']}",
        METHODS[row["method"]],
        f"{row['mean']:.3f}",
        f"{row['shuffled_mean']:.3f}",
        f"{row['superiority']:.3f} ({row['low']:.3f} to {row['high']:.3f})",
        _p(row["p_mann_whitney"]),
        f"{row['exceeded']} of {row['matrices']}",
        _p(row["p_matrices"]),
    ]


def _p(value: float) -> str:
    return "< 1e-300" if value < 1e-300 else f"{value:.2g}"


def _caption(record: Measured) -> str:
    content, settings = record.content, record.content["settings"]
    near = f"the last {settings['near']} bp"
    parts = [
        f"{content['promoters']:,} promoters of chromosome X, {content['length']} bp next to the "
        "start site each, of which no two overlap; the model saw none of them in training.",
        "Its output is a logit.",
        f"A: the highest of all; B, C: the highest with a match of DREF in {near}.",
        "Letters: importance, minus the mean effect of the three alternatives; brackets: matches "
        "of DREF and TBP.",
        "Matches: log-odds of JASPAR's matrices on either strand, "
        f"p ≤ {settings['p_value']:g} per position, the best of overlapping ones.",
        f"Shuffled: {settings['shuffles']} matrices with the motif's columns in another order, "
        "without matches that overlap one of the motif.",
        f"E, F and the table: {near}. Boxes: quartiles, whiskers: 5 and 95 %.",
        "Intervals: resampled promoters.",
        "DeepSHAP: ten dinucleotide-shuffled references per sequence.",
        "Mann–Whitney: one-sided, match by match. Last columns of the table: the mean of the motif "
        f"against that of every shuffled matrix with {settings['fewest']} matches or more.",
        short_caption([record]),
    ]
    return " ".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the figure of the promoter model, and its table, from a record."""
    parser = argparse.ArgumentParser(prog="python -m figures.promoter", description=main.__doc__)
    parser.add_argument("--record", type=Path, required=True, help="promoter.json")
    parser.add_argument("--output", type=Path, nargs="+", required=True, help="svg, png, csv, md")
    given = parser.parse_args(arguments)
    with style.styled(), plt.rc_context({"savefig.dpi": DPI}):
        draw(Measured.read(given.record)).write(given.output)


if __name__ == "__main__":
    main()
