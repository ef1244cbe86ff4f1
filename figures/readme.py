"""Write the measured parts of README.md and docs/results.md from committed records.

    python -m figures.readme --records benchmarks/records --readme README.md \
        --page docs/results.md

The README gets one row for each architecture, the page the long tables.

Requirements: pandas and matplotlib.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.architectures import ARCHITECTURES
from benchmarks.records import Record, read
from benchmarks.records.compare import Comparison, compare, main_cases, seconds_per_sequence
from benchmarks.records.tables import markdown_table
from fastism.errors import FastISMError
from figures import style
from figures.provenance import FRAMEWORKS, short_caption
from figures.speedup import plot
from figures.speedup_table import markdown, shown, shown_ratio

BEGIN = "<!-- speedups: written by `snakemake write_readme_table` from benchmarks/records -->"
END = "<!-- end of speedups -->"
#: The committed records, relative to the repository.
FOLDER = Path("benchmarks/records")
#: The figure without its suffix, relative to the repository, and what it shows.
FIGURE = Path("figures/reference/speedup")
ALTERNATIVE = "Seconds per sequence and speedup of fastISM over naive ISM"
NO_RECORD = "no record yet"
DEVICES = {"cpu": "CPU", "gpu": "GPU"}


@dataclass(frozen=True, slots=True)
class Source:
    """A file of records, and how the long tables introduce it.

    Attributes
    ----------
    file : str
        Its name in `FOLDER`.
    about : str
        The sentence above its tables; may be empty.
    """

    file: str
    about: str = ""


#: The files of the README's rows and its figure: the library on each device.
LIBRARY = ("library-cpu.jsonl", "library-gpu.jsonl")
#: What the long tables show, in this order, where the file is there.
SOURCES = (
    Source(LIBRARY[0]),
    Source(LIBRARY[1], "On a GPU:"),
    Source(
        "torch-modules-cpu.jsonl",
        "The same architectures with the same weights as PyTorch modules, "
        "`FastISM(module, input_shape=(4, 1000))`, against naive ISM of the modules:",
    ),
    Source("torch-modules-gpu.jsonl", "The modules on a GPU, in single precision:"),
    Source(
        "torch-modules-tf32-gpu.jsonl",
        'The modules on a GPU, both methods with `precision="tf32"`:',
    ),
    Source(
        "library-amd-cpu.jsonl",
        "On another kind of processor, an AMD EPYC with AVX-512, one sequence in a call:",
    ),
    Source("quick-amd-cpu.jsonl", "The quick benchmark, `make run`, on that processor:"),
)


def committed(folder: Path) -> dict[str, list[Record]]:
    """The records of `SOURCES` by file; without those that have not been taken yet."""
    found = {source.file: folder / source.file for source in SOURCES}
    return {name: read(path) for name, path in found.items() if path.is_file()}


def filled(text: str, content: str) -> str:
    """A text with the part between its two markers replaced.

    Raises
    ------
    FastISMError
        A marker is missing or occurs twice.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise FastISMError(f"The text needs one line {BEGIN!r} and one line {END!r} below it.")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{content.strip()}\n\n{END}{tail}"


def short(records: Mapping[str, Sequence[Record]]) -> str:
    """The figure, and a row for each architecture, its shortest sequence alone in a call.

    Parameters
    ----------
    records : mapping of str to sequence of Record
        By file, as `committed` gives them.

    Returns
    -------
    str
        Markdown. A device that no record is of has a column that says so.
    """
    rows = {device: _one_each(records.get(file, ())) for device, file in _files()}
    names = [name for name in ARCHITECTURES if any(name in found for found in rows.values())]
    if not names:
        return "Not measured yet."
    first = [next(found[n] for found in rows.values() if n in found) for n in names]
    columns = {
        "model": [shown(name) for name in names],
        "bp": [str(comparison.naive.what.length) for comparison in first],
    }
    for device, found in rows.items():
        columns |= _columns(DEVICES[device], [found.get(name) for name in names])
    table = markdown_table(list(columns), list(zip(*columns.values(), strict=True)), left=[0])
    shown_records = [c.best for found in rows.values() for c in found.values()]
    about = (
        "Seconds for all alternatives at all positions of one sequence, naive and fast ISM each on "
        "the framework that is fastest at it; in brackets, least and most of the speedup within a "
        f"round. {short_caption(shown_records)}"
    )
    missing = [DEVICES[device] for device, found in rows.items() if not found]
    if missing:
        about += f" No record of a {' or '.join(missing)} has been committed yet."
    return f"{_image('')}\n\n{table}\n\n{about}"


def long(records: Mapping[str, Sequence[Record]], up: str) -> str:
    """The figure, and every table of `SOURCES`.

    Parameters
    ----------
    records : mapping of str to sequence of Record
        By file, as `committed` gives them.
    up : str
        From the page to the repository, such as ``"../"``.
    """
    tables = [
        "\n\n".join(filter(None, [source.about, markdown(records[source.file]).strip()]))
        for source in SOURCES
        if records.get(source.file)
    ]
    if not tables:
        return "Not measured yet."
    return "\n\n".join([_image(up), *tables])


def compared(records: Mapping[str, Sequence[Record]]) -> list[Comparison]:
    """What the figure shows."""
    return [c for name in LIBRARY for c in main_cases(compare(records.get(name, ())))]


def _files() -> list[tuple[str, str]]:
    return list(zip(DEVICES, LIBRARY, strict=True))


def _one_each(records: Sequence[Record]) -> dict[str, Comparison]:
    """Of each architecture the comparison of the shortest sequence, the fewest of them."""
    found: dict[str, Comparison] = {}
    for comparison in sorted(main_cases(compare(records)), key=_size):
        found.setdefault(comparison.naive.what.architecture, comparison)
    return found


def _size(comparison: Comparison) -> tuple[int, int]:
    what = comparison.naive.what
    return what.length, what.sequences


def _columns(device: str, found: Sequence[Comparison | None]) -> dict[str, list[str]]:
    """The columns of one device; a single one that says so where nothing ran on it."""
    if not any(found):
        return {device: [NO_RECORD] * len(found)}
    cells = [_cells(c) if c else ("–", "–", NO_RECORD) for c in found]
    names = (f"naive ISM, s ({device})", f"fastISM, s ({device})", f"speedup ({device})")
    return dict(zip(names, map(list, zip(*cells, strict=True)), strict=True))


def _cells(comparison: Comparison) -> tuple[str, str, str]:
    def seconds(record: Record) -> str:
        return f"{seconds_per_sequence(record)[0]:.3g}, {FRAMEWORKS[record.how.backend]}"

    best = comparison.best
    return seconds(comparison.naive), seconds(best), shown_ratio(comparison, best, bold=True)


def _image(up: str) -> str:
    return f"![{ALTERNATIVE}]({up}{FIGURE.as_posix()}.svg)"


def main(arguments: Sequence[str] | None = None) -> None:
    """Renew the measured parts of the README and of the page of results, and the figure."""
    parser = argparse.ArgumentParser(prog="python -m figures.readme", description=main.__doc__)
    parser.add_argument("--records", type=Path, required=True, help="the folder of the files")
    parser.add_argument("--readme", type=Path, required=True)
    parser.add_argument("--page", type=Path, required=True, help="one folder below the README")
    given = parser.parse_args(arguments)
    records = committed(given.records)
    comparisons = compared(records)
    if comparisons:
        figure = given.readme.parent / FIGURE
        with style.styled():
            style.write(plot(comparisons), [figure.with_suffix(s) for s in (".svg", ".png")])
    given.readme.write_text(filled(given.readme.read_text(), short(records)))
    given.page.write_text(filled(given.page.read_text(), long(records, "../")))


if __name__ == "__main__":
    main()
