"""Write the measured part of the README from committed records.

    python -m figures.readme --records benchmarks/records/library-cpu.jsonl \
        --modules benchmarks/records/torch-modules-cpu.jsonl --readme README.md

Requirements: pandas and matplotlib.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.records import Record, read
from benchmarks.records.compare import compare, main_cases
from fastism.errors import FastISMError
from figures import style
from figures.speedup import plot
from figures.speedup_table import markdown

BEGIN = "<!-- speedups: written by `snakemake write_readme_table` from benchmarks/records -->"
END = "<!-- end of speedups -->"
#: Relative to the README: what is shown, and where the figure stands.
RECORDS = Path("benchmarks/records/library-cpu.jsonl")
MODULES = Path("benchmarks/records/torch-modules-cpu.jsonl")
FIGURE = Path("figures/reference/speedup")
ABOUT_MODULES = (
    "The same architectures with the same weights as PyTorch modules, "
    "`FastISM(module, input_shape=(4, 1000))`, against naive ISM of the modules:"
)


def committed(root: Path, name: Path = RECORDS) -> list[Record]:
    """The records that the README shows; none where they have not been taken yet."""
    path = root / name
    return read(path) if path.is_file() else []


def filled(readme: str, records: Sequence[Record], modules: Sequence[Record] = ()) -> str:
    """The README with its measured part renewed.

    Parameters
    ----------
    readme : str
        Has the two markers, once each.
    records : sequence of Record
        What is measured; may be empty.
    modules : sequence of Record
        The same of PyTorch modules, shown below where there is anything.

    Raises
    ------
    FastISMError
        A marker is missing or occurs twice.
    """
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise FastISMError(f"The README needs one line {BEGIN!r} and one line {END!r} below it.")
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    image = ""
    if main_cases(compare(records)):
        text = "Seconds per sequence and speedup of fastISM over naive ISM"
        image = f"![{text}]({FIGURE.as_posix()}.svg)\n\n"
    below = f"{ABOUT_MODULES}\n\n{markdown(modules)}\n" if modules else ""
    return f"{head}{BEGIN}\n\n{image}{markdown(records)}\n{below}{END}{tail}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Renew the measured part of the README, and its figure."""
    parser = argparse.ArgumentParser(prog="python -m figures.readme", description=main.__doc__)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--modules", type=Path, help="records of PyTorch modules, if there are any")
    parser.add_argument("--readme", type=Path, required=True)
    given = parser.parse_args(arguments)
    records = read(given.records)
    modules = read(given.modules) if given.modules else []
    comparisons = main_cases(compare(records))
    if comparisons:
        figure = given.readme.parent / FIGURE
        with style.styled():
            style.write(plot(comparisons), [figure.with_suffix(s) for s in (".svg", ".png")])
    given.readme.write_text(filled(given.readme.read_text(), records, modules))


if __name__ == "__main__":
    main()
