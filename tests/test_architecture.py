"""The rooms of the house: arrows point downward, there are no circles, frameworks stay apart."""

from pathlib import Path

import pytest
from imports import circle, edges, imported, modules_of

ROOT = Path(__file__).resolve().parents[1]
#: From bottom to top: a room imports only what stands before it. A new room gets its place here.
LIBRARY = (
    "fastism.errors",
    "fastism.fast_ism_utils",
    "fastism.intervals",
    "fastism.files",
    "fastism.sequences",
    "fastism.backends",
    "fastism.rules",
    "fastism.graph",
    "fastism.planning",
    "fastism.loading",
    "fastism.frontends",
    "fastism.calls",
    "fastism.running",
    "fastism.pairs",
    "fastism.edits",
    "fastism.base_ism",
    "fastism.scans",
    "fastism.engines",
    "fastism.naive_ism",
    "fastism.propagated",
    "fastism.resident",
    "fastism.ism",
    "fastism.design",
    "fastism",
    "fastism.models",
    "fastism.torch",
    "fastism.genomics",
    "fastism.store",
    "fastism.batch",
    "fastism.plots",
    "fastism.plot",
    "fastism.report",
    "fastism.cli",
    "fastism.__main__",
)
BENCHMARK = (
    "benchmarks",
    "benchmarks.errors",
    "benchmarks.clock",
    "benchmarks.networks",
    "benchmarks.architectures",
    "benchmarks.records",
    "benchmarks.jobs",
    "benchmarks.floor",
    "benchmarks.attribution",
    "benchmarks.methods",
    "benchmarks.timing",
    "benchmarks.gpu",
    "benchmarks.peers",
    "benchmarks.workflow",
    "benchmarks.studies",
    "benchmarks.regression",
)
ORDER = (*LIBRARY, *BENCHMARK, "figures")
#: The one import against the order: scripts that were installed before `fastism.cli.start` was the
#: beginning of the command call `fastism.cli.app.main`, which hands over to it when it is called.
HANDED_OVER = ("fastism.cli.app", "fastism.cli.start")
FRAMEWORKS = {"torch", "keras", "tensorflow", "jax"}
#: What may import a framework. Elsewhere in the library it is reached through these.
KNOW_FRAMEWORKS = (
    "fastism.frontends",
    "fastism.backends",
    "fastism.models",
    "fastism.loading",
    "fastism.torch",
)
#: They run in environments of their own, where `fastism` is the published package.
ELSEWHERE = ("benchmarks.peers.run_", "benchmarks.peers.script_")


def room_of(module):
    """The room that a module is in: its first two names; all of `figures` is one."""
    package, *rest = module.split(".")
    return package if package == "figures" else ".".join([package, *rest[:1]])


def upward(graph, order):
    """Imports that do not point downward."""
    height = {room: number for number, room in enumerate(order)}
    return sorted(
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in others
        if room_of(module) != room_of(other) and height[room_of(module)] < height[room_of(other)]
    )


@pytest.fixture(scope="module")
def sources():
    found = modules_of(ROOT, "fastism", "benchmarks", "figures")
    return {name: text for name, text in found.items() if not name.startswith(ELSEWHERE)}


def test_every_room_has_its_place(sources):
    rooms = set(map(room_of, sources))
    assert sorted(rooms - set(ORDER)) == [], "give it a place in the order of rooms"
    assert sorted(set(ORDER) - rooms) == [], "this room is gone: take it out of the order"


def test_arrows_point_downward(sources):
    assert upward(edges(sources), ORDER) == []


def test_modules_form_no_circle(sources):
    graph = edges(sources)
    importer, beginning = HANDED_OVER
    assert beginning in graph[importer], "no exception is needed any more: take it out"
    graph[importer] = graph[importer] - {beginning}
    assert circle(graph) == []


def test_frameworks_are_imported_where_they_are_known(sources):
    wrong = {
        name: sorted(found)
        for name, text in sources.items()
        if name.split(".")[0] == "fastism" and not name.startswith(KNOW_FRAMEWORKS)
        if (found := {other.split(".")[0] for other in imported(text)} & FRAMEWORKS)
    }
    assert wrong == {}


def test_scripts_of_peers_import_nothing_of_the_benchmark():
    found = modules_of(ROOT, "benchmarks")
    scripts = {name: text for name, text in found.items() if name.startswith(ELSEWHERE)}
    assert scripts
    for name, text in scripts.items():
        assert not [other for other in imported(text) if other.startswith("benchmarks")], name


# ---- the checks themselves -------------------------------------------------------------------


def test_what_is_imported_is_found_wherever_it_stands():
    text = """
import a.b as x
from c import d
if TYPE_CHECKING:
    from e.f import g
def late():
    import h
    return importlib.import_module("torch")
"""
    names = {"a.b", "c", "c.d", "e.f", "e.f.g", "h", "torch"}
    assert set(imported(text)) == names


def test_an_arrow_upward_and_a_circle_are_found():
    made = {
        "fastism.errors": "",
        "fastism.rules": "from fastism.rules.base import Rule",
        "fastism.rules.base": "def late():\n    from fastism.ism import FastISM",
        "fastism.ism": "import fastism.rules.base",
    }
    graph = edges(made)
    assert upward(graph, ORDER) == ["fastism.rules.base imports fastism.ism"]
    assert circle(graph) == ["fastism.rules.base", "fastism.ism", "fastism.rules.base"]
    assert circle({**graph, "fastism.rules.base": set()}) == []


def test_a_package_counts_where_something_of_its_own_is_taken():
    made = {"p": "from p.a import x", "p.a": "", "q": "from p import a", "r": "from p import x"}
    assert edges(made) == {"p": {"p.a"}, "p.a": set(), "q": {"p.a"}, "r": {"p"}}
