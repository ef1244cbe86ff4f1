"""What is known of every family: what is opaque, the gain to expect, and one that was measured.

    python tests/zoo/pins.py            # write what is opaque and expected, and docs/models.md
    python tests/zoo/pins.py --measure  # the same, and time fast and naive ISM in turns (minutes)
    python tests/zoo/pins.py DanQ Sei   # of some families only

The numbers are in zoo.json. The test of the zoo compares them with what the library does, and the
table of docs/models.md with them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [path for path in (str(ROOT), str(HERE)) if path not in sys.path]

from family import Family  # noqa: E402

PINS, PAGE = HERE / "zoo.json", ROOT / "docs" / "models.md"
BEGIN, END = "<!-- zoo: begin -->", "<!-- zoo: end -->"
#: Modules with a register of families, by framework.
MODULES = {"torch": ("torch_stacks", "torch_mixers"), "keras": ("keras_families",)}
#: Runs of fast and naive ISM in turns.
TURNS = 3
#: Sequences of a timed run: a call of TensorFlow takes as long as many small mutants.
SEQUENCES = {"torch": 1, "keras": 16}


@dataclass(frozen=True)
class Pin:
    """What is known of a family.

    Parameters
    ----------
    opaque : dict of str to int
        How many layers of which kind end the windows.
    expected : float or None
        Ratio of multiply-adds; None where it cannot be known.
    measured : float or None
        How many times faster fast ISM was than naive ISM; None where it was not measured.
    """

    opaque: dict[str, int]
    expected: float | None
    measured: float | None = None


def families(framework: str) -> list[Family]:
    """The families of a framework, which has to be installed."""
    modules = [__import__(name) for name in MODULES[framework]]
    return [one for module in modules for one in module.family.families]


def pins(path: Path = PINS) -> dict[str, Pin]:
    """What is in zoo.json, by the names of the families."""
    return {name: Pin(**told) for name, told in json.loads(path.read_text())["families"].items()}


def pinned(family: Family, ism: Any) -> Pin:
    """What the plan says on PyTorch, and for Keras models on TensorFlow, whatever backend runs."""
    from fastism.planning.plan import make_plan

    plan, uniform = ism.plan, family.framework == "keras"
    if plan.layout.uniform != uniform:
        plan = make_plan(plan.graph, uniform=uniform)
    names = set(plan.opaque)
    nodes = [plan.graph.nodes[i] for i in plan.reasons]
    kinds = Counter(node.kind for node in nodes if node.name in names)
    return Pin(dict(kinds), None if plan.uncounted else round(plan.speedup, 3))


def measured(family: Family) -> float:
    """Naive over fast seconds of the same sequences, runs in turns.

    Naive ISM runs one sequence, and takes as many times longer for several.
    """
    from exactness import built, inputs_of, packed, ready

    model = ready(family)
    ism = built(family, model)
    naive = ism.naive()
    count = SEQUENCES[family.framework]
    one, several = (packed(inputs_of(family, n)) for n in (1, count))
    # The first run chooses a batch size, and compiles.
    naive.saturate(one)
    ism.saturate(several)
    ratios = []
    for _ in range(TURNS):
        begin = time.perf_counter()
        ism.saturate(several)
        between = time.perf_counter()
        naive.saturate(one)
        ratios.append(count * (time.perf_counter() - between) / (between - begin))
    return median(ratios)


def renewed(anew: bool, names: list[str]) -> Iterator[tuple[str, Pin]]:
    """Every family's pin: of all or some names read anew, and measured anew, or as it was."""
    from exactness import built, ready

    before = pins() if PINS.exists() else {}
    for framework in MODULES:
        for family in families(framework):
            if names and family.name not in names:
                yield family.name, before[family.name]
                continue
            pin = pinned(family, built(family, ready(family)))
            old = before.get(family.name)
            gain = measured(family) if anew else old.measured if old else None
            print(f"{family.name}: {asdict(pin)}, measured {gain}", flush=True)
            yield family.name, Pin(pin.opaque, pin.expected, gain and round(gain, 2))


def table(known: Mapping[str, Pin], times: bool = True) -> str:
    """The families as a table in Markdown; without measured times they are left empty."""
    lines = [
        "| family | structure from | framework | bp | opaque | expected | measured |",
        "| :-- | :-- | :-- | --: | :-- | --: | --: |",
    ]
    for framework in MODULES:
        for family in families(framework):
            pin = known[family.name]
            name = family.name + (f" ({family.note})" if family.note else "")
            opaque = ", ".join(f"{n} {kind}" for kind, n in pin.opaque.items()) or "–"
            expected = "unknown" if pin.expected is None else f"{pin.expected:.1f}×"
            gain = f"{pin.measured:.1f}×" if times and pin.measured is not None else "–"
            label = {"torch": "PyTorch", "keras": "Keras"}[framework]
            cells = name, family.source, label, str(family.length), opaque, expected, gain
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def shown(text: str) -> str:
    """The table that stands in the page."""
    return text.split(BEGIN)[1].split(END)[0].strip()


def filled(text: str, made: str) -> str:
    """The page with another table."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Write zoo.json and the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--measure", action="store_true", help="time fast and naive ISM in turns")
    parser.add_argument("names", nargs="*", help="families; all by default")
    given = parser.parse_args()
    anew, made = given.measure, dict(renewed(given.measure, given.names))
    old = json.loads(PINS.read_text()) if PINS.exists() else {}
    where = _machine() if anew else old.get("measured_on")
    told = {"measured_on": where, "families": {name: asdict(pin) for name, pin in made.items()}}
    PINS.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(filled(PAGE.read_text(), table(made)))


def _machine() -> dict[str, Any]:
    """Where times were measured."""
    from benchmarks.records.environment import describe

    found = describe()
    return {"date": time.strftime("%Y-%m-%d"), "processor": found.cpu, "threads": found.threads}


if __name__ == "__main__":
    main()
