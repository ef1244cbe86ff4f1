"""Nothing that the locks install has to be compiled, and they hold all that is needed, no more."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag

from requirements import pins as pins_module
from requirements.lock import Chosen, applies, imports_of
from requirements.pins import LINE, Pin, canonical, read_lock
from requirements.purposes import LEFT_OUT, PURPOSES, Alone, requirements_of

#: Linux on x86-64 with glibc 2.28 or newer, of 2018.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)]
PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
#: What Python 3.11 installs there. A wheel of `linux_x86_64` is not among them: such a wheel is
#: what a source distribution was made into on the machine at hand.
WHEELS = {
    *cpython_tags((3, 11), platforms=PLATFORMS),
    *compatible_tags((3, 11), interpreter="cp311", platforms=PLATFORMS),
}
ALL = [pin for purpose in PURPOSES for pin in read_lock(purpose).values()]
each_lock = pytest.mark.parametrize("purpose", PURPOSES)
#: Those whose packages are seen by every process of the environment.
each_common_lock = pytest.mark.parametrize(
    "purpose", [name for name, purpose in PURPOSES.items() if not purpose.apart]
)


def is_wheel_for_all(tags: str) -> bool:
    """Whether a wheel of these tags runs on Python 3.11 on any Linux of the last years."""
    return not WHEELS.isdisjoint(parse_tag(tags))


def installed_tags(pin: Pin) -> set[Tag]:
    """The tags of the wheel that was installed; none where another version is, or nothing."""
    try:
        found = distribution(pin.name)
    except PackageNotFoundError:
        return set()
    if found.version.partition("+")[0] != pin.version:
        return set()
    lines = (found.read_text("WHEEL") or "").splitlines()
    tags = (line.partition(":")[2].strip() for line in lines if line.startswith("Tag:"))
    return {tag for text in tags for tag in parse_tag(text)}


def with_those_before(purpose: str) -> dict[str, Pin]:
    """The pins that are installed for a purpose."""
    before = PURPOSES[purpose].over
    return read_lock(purpose) | (read_lock(before) if before else {})


# ---- wheels ----------------------------------------------------------------------------------


@each_lock
def test_every_pin_has_a_wheel(purpose):
    others = [str(pin) for pin in read_lock(purpose).values() if not is_wheel_for_all(pin.tags)]
    assert others == [], "not for Python 3.11 on Linux"


@pytest.mark.parametrize(
    "tags", ["cp311-cp311-linux_x86_64", "cp312-cp312-manylinux_2_17_x86_64", "py3-none-win_amd64"]
)
def test_the_check_itself_refuses_other_wheels(tags):
    assert not is_wheel_for_all(tags)


@each_common_lock
def test_what_is_installed_are_the_wheels_of_the_lock(purpose):
    """A wheel that was made here has other tags; so may a line that was written by hand."""
    pins = [*read_lock(purpose).values()]
    found = {pin: installed_tags(pin) for pin in pins}
    if not any(found.values()):
        pytest.skip("this environment was not made from the locks")
    for pin, tags in found.items():
        assert "linux_x86_64" not in {tag.platform for tag in tags}, f"{pin}: was compiled here"
        said = ", ".join(sorted(map(str, tags)))
        assert not tags or not tags.isdisjoint(parse_tag(pin.tags)), f"{pin}: installed is {said}"


def test_what_has_no_wheel_is_left_out():
    names = {pin.key for pin in ALL}
    assert names.isdisjoint(LEFT_OUT)
    assert names.isdisjoint({"macs3", "cykhash"})


# ---- what is in them -------------------------------------------------------------------------


def test_the_benchmark_needs_few_packages():
    assert len(read_lock("run")) <= 110
    only_tests = {"bpnet-lite", "enformer-pytorch", "transformers", "polars", "modisco", "pytest"}
    assert only_tests.isdisjoint(read_lock("run"))
    assert {"mkdocs", "snakemake-executor-plugin-slurm"}.isdisjoint(read_lock("run"))


def test_no_package_is_pinned_over_another_pin():
    for name, purpose in PURPOSES.items():
        if purpose.over:
            assert set(read_lock(name)).isdisjoint(read_lock(purpose.over))


def test_locks_agree():
    versions: dict[str, str] = {}
    for pin in ALL:
        assert versions.setdefault(pin.key, pin.version) == pin.version, pin.name


def asked_for(name: str, extras: frozenset[str]) -> list[Requirement]:
    """What an installed package asks for here."""
    lines = map(Requirement, distribution(name).requires or ())
    return [line for line in lines if any(applies(line, extra) for extra in (*extras, ""))]


@each_common_lock
def test_a_lock_holds_all_that_its_packages_ask_for_and_nothing_else(purpose):
    """By what the installed packages themselves say."""
    locked = with_those_before(purpose)
    if not all(installed_tags(pin) for pin in locked.values()):
        pytest.skip("this environment was not made from the locks")
    imports = {
        canonical(Requirement(package.requirement).name): package.imports
        for package in PURPOSES[purpose].alone
    }
    waiting = [Requirement(line) for line in requirements_of(purpose)]
    waiting += [Requirement(package.requirement) for package in PURPOSES[purpose].alone]
    found: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        line = waiting.pop()
        name, extras = canonical(line.name), frozenset(line.extras)
        if name in LEFT_OUT or (name, extras) in found:
            continue
        assert name in locked, f"{line} is asked for and not locked"
        assert line.specifier.contains(locked[name].version, prereleases=True), str(line)
        found.add((name, extras))
        for further in asked_for(name, extras):
            if name not in imports:
                waiting.append(further)
            elif canonical(further.name) in imports[name]:
                waiting.append(Requirement(f"{further.name}{further.specifier}"))
    assert set(read_lock(purpose)) - {name for name, _ in found} == set(), "nobody asks for these"


# ---- reading and writing ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["numpy", "numpy==2.0", "numpy>=2.0  # py3-none-any", "torch==2.0+cpu  # py3-none-any"],
)
def test_a_line_that_is_no_pin_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.setattr(pins_module, "FOLDER", tmp_path)
    (tmp_path / "run.lock").write_text(f"# a comment\n{text}\n")
    with pytest.raises(ValueError, match="is not `name==version"):
        read_lock("run")


def test_a_package_is_pinned_once(tmp_path, monkeypatch):
    monkeypatch.setattr(pins_module, "FOLDER", tmp_path)
    (tmp_path / "run.lock").write_text(
        "a.b==1  # py3-none-any\nA_B==2  # py3-none-any\n",
    )
    with pytest.raises(ValueError, match="A_B is pinned twice"):
        read_lock("run")


def entry(name: str, file: str, *asks: str) -> dict:
    """A package in the report of pip."""
    metadata = {"name": name, "version": "1.0+cpu", "requires_dist": list(asks)}
    return {"metadata": metadata, "download_info": {"url": f"file:///wheels/{file}"}}


def test_a_pin_is_what_pip_chose_without_its_local_version():
    chosen = Chosen([entry("Torch", "torch-1.0%2Bcpu-cp311-cp311-manylinux_2_28_x86_64.whl")])
    line = str(chosen.pin("torch"))
    assert line == "Torch==1.0  # cp311-cp311-manylinux_2_28_x86_64"
    assert LINE.fullmatch(line)


def test_a_source_distribution_is_not_locked():
    with pytest.raises(SystemExit, match="MACS3 has no wheel"):
        Chosen([entry("MACS3", "macs3-1.0.tar.gz")]).pin("macs3")


def test_all_that_is_asked_for_is_locked():
    wheel = "x-1.0-py3-none-any.whl"
    asks = ("b", 'c; extra == "more"', "nvidia-cudnn", "connection_pool", 'd; python_version < "3"')
    chosen = Chosen(
        [
            entry("a", wheel, *asks),
            entry("b", wheel, "a[more]"),
            entry("c", wheel),
            entry("d", wheel),
        ]
    )
    assert chosen.closure([Requirement("a")]) == {"a", "b", "c"}


def test_what_is_installed_alone_brings_what_is_imported_in_the_version_it_wants():
    chosen = Chosen([entry("a", "a-1.0-py3-none-any.whl", "b[x]==3", "c")])
    assert [*map(str, imports_of([Alone("a>=1.0", ("b",))], chosen))] == ["b==3"]
