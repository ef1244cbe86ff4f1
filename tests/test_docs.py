"""Documentation: its code runs, what it names exists, what is generated is true and complete."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="models on the pages run on TensorFlow")
pytest.importorskip("torch", reason="pages show torch modules too")
keras = pytest.importorskip("keras", reason="models on the pages are Keras models")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from made_once import made_once  # noqa: E402
from profiles import profile  # noqa: E402
from random_graphs import dependence  # noqa: E402
from random_models import examples  # noqa: E402
from random_modules import modules  # noqa: E402

from docs.generate import GENERATORS, MARKER, filled, generate, layers  # noqa: E402
from docs.generate.rooms import rooms  # noqa: E402
from docs.generate.source import source  # noqa: E402
from fastism.frontends.base import front_end  # noqa: E402
from fastism.frontends.keras_layers import LAYERS  # noqa: E402
from fastism.frontends.torch_ops import OPERATORS  # noqa: E402
from fastism.rules import Opaque, Reshape  # noqa: E402

pytestmark = [pytest.mark.tensorflow, pytest.mark.torch]

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
#: Executed by tests of their own, which run commands for minutes.
ELSEWHERE = {"tutorial.md", "cluster.md"}
WITH_CODE = [p for p in PAGES if p.name not in ELSEWHERE and PYTHON.search(p.read_text())]


# ---- code on pages ----------------------------------------------------------------------


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_python_on_a_page_runs(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    keras.utils.set_random_seed(0)
    names: dict[str, Any] = {}
    blocks = PYTHON.findall(page.read_text())
    for number, code in enumerate(blocks, 1):
        exec(compile(code, f"{page.name}, block {number}", "exec"), names)
    assert names


def test_pages_with_code_are_found():
    assert {"start.md", "migrating.md", "limits.md"} <= {page.name for page in WITH_CODE}


COMMAND = re.compile(r"^\$ fastism (.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the files that the commands of a page name."""
    made = tmp_path_factory.mktemp("start")
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Conv1D(4, 5, activation="relu"), keras.layers.MaxPooling1D(4)]
    readout = [keras.layers.Flatten(), keras.layers.Dense(1)]
    keras.Sequential([keras.Input((200, 4)), *hidden, *readout]).save(made / "model.keras")
    letters = np.random.default_rng(0).choice(list("ACGT"), 1000)
    genome = "".join(letters)
    (made / "genome.fa").write_text(f">chr1\n{genome}\n")
    (made / "promoters.fa").write_text(f">seq1\n{genome[:200]}\n>seq2\n{genome[200:400]}\n")
    (made / "peaks.bed").write_text("chr1\t300\t500\tpeak1\t0\t+\nchr1\t450\t650\tpeak2\t0\t-\n")
    other = "A" if letters[499] != "A" else "C"
    line = f"chr1\t500\t.\t{letters[499]}\t{other}\t.\t.\t.\n"
    head = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (made / "variants.vcf").write_text(head + line)
    return made


def test_commands_of_the_five_minutes_run_one_after_the_other(folder, monkeypatch):
    from fastism.cli.app import application

    monkeypatch.chdir(folder)
    commands = COMMAND.findall((DOCS / "start.md").read_text())
    assert len(commands) > 5
    for command in commands:
        words = shlex.split(command)
        monkeypatch.setattr(sys, "argv", ["fastism", *words])
        with pytest.raises(SystemExit) as end:
            application()()
        assert end.value.code == 0, command
        if "-o" in words:
            assert (folder / words[words.index("-o") + 1]).stat().st_size > 0, command


# ---- what pages name --------------------------------------------------------------------

PATH = re.compile(r"^[\w.-]+(?:/[\w.-]+)+/?$")
DOTTED = re.compile(r"^(?:fastism|benchmarks|figures|docs)(?:\.\w+)+$")


def code_on(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", text)


#: Read where the repository is, not on the site.
AT_THE_TOP = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def repository_paths() -> list[tuple[str, str]]:
    tops = {path.name for path in ROOT.iterdir()}
    return [
        (page.name, name)
        for page in [*PAGES, *AT_THE_TOP]
        for name in code_on(page)
        if PATH.match(name) and name.split("/")[0] in tops and not name.startswith("results/")
    ]


def test_files_that_pages_name_exist():
    named = repository_paths()
    assert len(named) > 20
    assert [(page, name) for page, name in named if not (ROOT / name).exists()] == []


#: To a file, that is, not to another site and not within the page.
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("page", [*PAGES, *AT_THE_TOP, ROOT / "CHANGELOG.md"], ids=lambda p: p.stem)
def test_links_lead_somewhere_where_the_pages_are_read_in_the_repository(page):
    links = LINK.findall(page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def resolved(name: str) -> Any:
    """A module, or an attribute of one."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError as error:
            if not name.startswith(str(error.name)):
                raise
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


def test_names_of_the_code_on_pages_exist():
    names = {name for page in PAGES for name in code_on(page) if DOTTED.match(name)}
    names |= {n for p in PAGES for n in re.findall(r"^::: (\S+)$", p.read_text(), re.MULTILINE)}
    assert len(names) > 20
    for name in sorted(names):
        assert resolved(name) is not None


def test_a_name_that_is_gone_is_found():
    with pytest.raises(AttributeError):
        resolved("fastism.planning.plan.no_such_thing")


# ---- what is generated ------------------------------------------------------------------


def test_every_generator_is_used_and_every_marker_known():
    used = {name for page in PAGES for name in MARKER.findall(page.read_text())}
    assert used == set(GENERATORS)


def test_an_unknown_marker_is_an_error():
    with pytest.raises(KeyError, match="no generator 'nonsense'"):
        filled("<!-- generate: nonsense -->")


def test_code_that_is_gone_is_an_error():
    assert source("figures/drawings.py", "DRAWINGS").count("\n") == 2
    with pytest.raises(KeyError, match="no 'nonsense'"):
        source("figures/drawings.py", "nonsense")
    with pytest.raises(KeyError, match=r"no 'Arrays\.nonsense'"):
        source("fastism/backends/arrays.py", "Arrays.nonsense")


def test_a_method_is_shown_without_its_class():
    shown = source("fastism/backends/arrays.py", "Arrays.conv1d").splitlines()
    assert shown[1] == "@abstractmethod"
    assert shown[2].startswith("def conv1d(")


def test_rooms_are_in_the_order_of_their_imports():
    """Within the library arrows point one way; each room says what it is."""
    found = rooms("fastism")
    seen: set[str] = set()
    for room in found:
        assert room.imports <= seen, room.name
        assert room.about, room.name
        seen.add(room.name)
    assert {"fastism.ism", "fastism.planning", "fastism.cli"} <= seen
    assert all(room.about for room in rooms("benchmarks") if room.modules)


def test_a_circle_of_imports_is_found(tmp_path):
    for room, other in (("one", "two"), ("two", "one")):
        (tmp_path / "house" / room).mkdir(parents=True)
        (tmp_path / "house" / room / "file.py").write_text(f"from house.{other} import file\n")
    first, second = rooms("house", tmp_path)
    assert first.imports == {"house.two"}
    assert second.imports == {"house.one"}


def test_every_rule_is_in_its_table():
    from fastism import rules

    table = generate("rules")
    helpers = {"Joining", "Kind", "ReadoutCall", "ReadsOut", "Rule", "Source", "WindowCall"}
    for name in set(rules.__all__) - helpers:
        assert f"| `{name}` |" in table


def test_every_keras_layer_and_operation_is_in_a_table():
    rows = [s for ops in (False, True) for s in layers.keras_support(ops)]
    named = [name for support in rows for name in support.names]
    assert len(named) == len(LAYERS)
    table = generate("keras_layers")
    for cls in LAYERS:
        if ".ops." not in cls.__module__:
            assert f"`{cls.__name__}`" in table
    operations = generate("keras_operations")
    assert all(f"`{n}`" in operations for n in ("add", "true_divide", "mean", "x[:, a:b]"))


def test_every_torch_operator_is_in_its_table():
    table = generate("torch_operators")
    assert len(OPERATORS) > 100
    for operator in OPERATORS:
        assert f"`{str(operator).removeprefix('aten.').removesuffix('.default')}`" in table


def allowed(handler: Any) -> tuple[set[str], list[str]]:
    """Rules that the table says a handler makes, and its refusals as patterns."""
    refusals = (re.escape(text).replace("…", ".*") for text in layers.refusals(handler))
    return set(layers.made_rules(handler)), list(refusals)


def watch(monkeypatch: pytest.MonkeyPatch, register: dict, seen: set) -> None:
    """Compare what handlers do with what their table says, whenever they are called."""

    def watched(handler: Any, rules: set[str], refusals: list[str]) -> Any:
        def wrapped(emit: Any, *arguments: Any, **keywords: Any) -> Any:
            before = len(emit.builder.nodes)
            made = handler(emit, *arguments, **keywords)
            if isinstance(made, str):
                assert any(re.fullmatch(r, made) for r in refusals), (handler, made)
            for node in emit.builder.nodes[before:]:
                kind = type(node.rule)
                # An unknown activation function of a layer, and axes put into order, are not the
                # layer's own doing.
                if kind is Opaque or (kind is Reshape and "in another order" in node.name):
                    continue
                assert kind.__name__ in rules, (handler, kind)
                seen.add(kind.__name__)
            return made

        return wrapped

    for key, handler in list(register.items()):
        monkeypatch.setitem(register, key, watched(handler, *allowed(handler)))


def test_keras_tables_are_true(monkeypatch):
    seen: set[str] = set()

    @profile(6)
    @given(examples("float32"))
    def compare(example):
        front_end(example.model, example.sequence, None).graph(())

    with monkeypatch.context() as patch:
        watch(patch, LAYERS, seen)
        compare()
    assert {"Convolution", "MaxPool", "Pointwise", "WeightedSum", "Reshape"} <= seen


@pytest.mark.slow
def test_torch_table_is_true(monkeypatch):
    seen: set[str] = set()

    @profile(5)
    @given(modules("float32"))
    def compare(example):
        made = front_end(
            example.module, example.sequence, None, example.shapes, example.channels_last
        )
        made.graph(())

    with monkeypatch.context() as patch:
        watch(patch, OPERATORS, seen)
        compare()
    assert {"Convolution", "Pointwise"} <= seen


def test_a_wrong_table_would_be_found(monkeypatch):
    model = keras.Sequential([keras.Input((8, 4)), keras.layers.Conv1D(2, 3)])
    with monkeypatch.context() as patch:
        patch.setattr(layers, "made_rules", lambda handler: ("MaxPool",))
        watch(patch, LAYERS, set())
        with pytest.raises(AssertionError, match="Convolution"):
            front_end(model, 0, None).graph(())


def test_refusals_are_read_from_helpers_too():
    texts = layers.refusals(LAYERS[keras.layers.Conv1DTranspose])
    assert "output_padding is set" in texts
    assert "channels_first data format" in texts


# ---- drawings ---------------------------------------------------------------------------


@given(position=st.integers(0, 59))
@profile(20)
def test_the_drawn_affected_interval_is_what_depends_on_the_change(position):
    from docs.generate.drawings import LENGTH, rows_of, small_graph

    graph = small_graph()
    changed = np.arange(LENGTH) == position
    reached = dependence(graph, changed)
    for row, expected in zip(rows_of(graph, position), reached, strict=False):
        assert row.affected == (expected.argmax(), len(expected) - expected[::-1].argmax())
        assert row.window[0] <= row.affected[0] < row.affected[1] <= row.window[1]


def test_the_drawn_taps_add_up_to_the_difference_of_two_convolutions():
    from docs.generate.drawings import taps

    rng = np.random.default_rng(0)
    reference, kernel = rng.normal(size=20), rng.normal(size=5)
    mutant = reference.copy()
    mutant[8:11] += (delta := rng.normal(size=3))
    # numpy flips a kernel that it convolves with; correlation is what layers do.
    difference = np.correlate(mutant, kernel, "full") - np.correlate(reference, kernel, "full")
    shifted, total = taps(delta, kernel)
    np.testing.assert_allclose(shifted.sum(0), total)
    np.testing.assert_allclose(difference[8 : 8 + len(total)], total, atol=1e-12)
    assert np.abs(np.delete(difference, range(8, 8 + len(total)))).max() < 1e-12


# ---- measurements -----------------------------------------------------------------------


def test_every_committed_figure_is_shown():
    shown = generate("reference_figures") + (DOCS / "results.md").read_text()
    stems = {p.stem for p in (ROOT / "figures/reference").rglob("*") if p.suffix == ".svg"}
    assert stems
    for stem in stems:
        assert f"/{stem}.svg)" in shown, stem


# ---- the command line -------------------------------------------------------------------


def test_every_command_and_option_is_in_the_reference():
    from docs.generate.commands import commands

    text = generate("commands")
    found = commands()
    assert "score" in found
    for name, (command, context) in found.items():
        assert f"## fastism {name}" in text
        options = [o for p in command.get_params(context) for o in p.opts if o.startswith("--")]
        assert options
        section = text.partition(f"## fastism {name}\n")[2].partition("\n## ")[0]
        assert [option for option in options if option not in section] == []


def test_every_exit_code_is_in_the_table():
    from fastism.cli.exit_codes import Exit

    table = generate("exit_codes")
    assert len(Exit) == table.count("\n") - 1
    for code in Exit:
        assert f"| {int(code)} | {code.name.lower()} | {code.meaning} |" in table


def test_every_format_is_in_the_table():
    from fastism.store.export import FORMATS

    table = generate("formats")
    assert all(f"`{extension}`" in table for extension in FORMATS)


def test_the_layout_of_a_store_is_read_from_its_description():
    from fastism.store.schema import Header, OutputHeader, array_types

    empty = dict.fromkeys(("model", "model_hash", "input", "input_hash", "command"), "")
    outputs = (OutputHeader("profile", (2, 10), ("0", "1")),)
    table = generate("store_layout")
    for content in ("deltas", "mutants"):
        header = Header(
            "ACGT", 20, (0, 20), content, "float32", outputs, 0, **empty, versions={}, batch=1
        )
        for name in array_types(header):
            assert f"`{name.replace('outputs/0', 'outputs/I')}`" in table
    assert all(f"`{name}`" in table for name in ("names", "chrom", "chrom_sizes/sizes"))


def test_the_layout_of_a_scan_names_what_the_files_hold(tmp_path):
    import h5py

    from fastism.batch.scan_files import ScanHeader, scan_writer
    from fastism.genomics.regions import Region
    from fastism.scans.result import Scan

    header = ScanHeader(1, 4, ["profile"], ["profile"], {"model": "m", "fill": "N"})
    scan = Scan(np.zeros((1, 2)), np.ones((1, 1, 4, 2)), np.arange(4), ("-1",))
    with scan_writer(tmp_path / "scan.h5", header) as writer:
        writer.write(Region("a", "ACGT"), scan)
    table, found = generate("scan_layout"), []
    with h5py.File(tmp_path / "scan.h5") as file:
        file.visititems(lambda name, each: found.append((name, hasattr(each, "shape"))))
        attributes = set(file.attrs) - {"model"}
    for name in (name for name, is_array in found if is_array):
        assert f"`{name.replace('profile', 'OUTPUT')}`" in table
    page = (ROOT / "docs" / "files.md").read_text()
    assert all(f"`{name}`" in page for name in attributes)


# ---- the site ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("mkdocstrings", reason="the site is built by the packages of extra docs")
    return made_once(tmp_path_factory, "site", build_site)


def build_site(target: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(target)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_site_is_built_without_warnings_and_nothing_is_left_to_fill(site):
    pages = sorted(site.glob("*.html"))
    assert {page.stem for page in PAGES} <= {page.stem for page in pages}
    for page in pages:
        assert not re.search("<!-- (generate|source):", page.read_text())


@pytest.mark.slow
def test_every_figure_is_a_link_to_itself_and_every_page_to_its_neighbours(site):
    figure = re.compile(r'<a class="plot" href="([^"]+)"[^>]*><img [^>]*src="([^"]+)"')
    count = 0
    for page in site.glob("*.html"):
        text = page.read_text()
        for link, image in figure.findall(text):
            assert link == image
            assert (site / link).is_file()
            count += 1
        assert page.stem == "404" or "md-footer__link" in text, page.name
    assert count >= 10


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site):
    loading = re.compile(r'<(?:script|img|link|iframe)\b[^>]*?(?:src|href)="(https?:)?//[^"]*"')
    kinds = re.compile(r'rel="(?:canonical|author|license)"')
    for page in site.glob("*.html"):
        found = [m[0] for m in loading.finditer(page.read_text()) if not kinds.search(m[0])]
        assert found == []
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//", sheet.read_text())
