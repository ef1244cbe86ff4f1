"""The places that name packages and versions agree: pyproject, environment.yml, locks, CITATION."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import fastism
from requirements.pins import read_lock
from requirements.purposes import PURPOSES, requirements_of

ROOT = Path(__file__).resolve().parents[1]
#: Packages that are not called as their modules are.
PACKAGES = {"Bio": "biopython", "yaml": "pyyaml"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def bounds(lines: list[str]) -> dict[str, str]:
    """Package -> lower bound; refuses anything but one `>=X.Y[.Z]`, and two different bounds."""
    found: dict[str, str] = {}
    for line in lines:
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == ">=", f"{line}: expected exactly one lower bound"
        assert re.fullmatch(r"\d+(\.\d+){1,2}", specifier.version), f"{line}: expected >=X.Y.Z"
        name = canonicalize_name(requirement.name)
        assert found.setdefault(name, specifier.version) == specifier.version, f"{name}: two bounds"
    return found


def project_bounds() -> dict[str, str]:
    """Those of all extras but the ones that cannot be in one environment with the others."""
    apart = {extra for purpose in PURPOSES.values() if purpose.apart for extra in purpose.extras}
    extras = PROJECT["optional-dependencies"].items()
    lines = [line for name, extra in extras if name not in apart for line in extra]
    return bounds([*PROJECT["dependencies"], *lines])


def environment_lines() -> list[str]:
    """The requirements of environment.yml, without pip itself and the project."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [entry for entry in entries if isinstance(entry, str) and entry != "pip"]
    (pip,) = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    assert "-e ." in pip
    return [*conda, *(entry for entry in pip if entry != "-e .")]


def test_environment_has_the_packages_and_bounds_of_pyproject():
    python = PROJECT["requires-python"].removeprefix(">=")
    lines = environment_lines()
    assert len(bounds(lines)) == len(lines), "environment.yml names a package twice"
    assert bounds(lines) == project_bounds() | {"python": python}


@pytest.mark.parametrize("purpose", PURPOSES)
def test_locks_satisfy_the_bounds(purpose):
    pins = read_lock(purpose)
    before = PURPOSES[purpose].over
    pins |= read_lock(before) if before else {}
    for name, bound in bounds(requirements_of(purpose)).items():
        assert name in pins, f"{name} is not in the lock"
        version = pins[name].version
        assert Version(version) >= Version(bound), f"{name}: {version} is older than {bound}"


def test_every_package_of_environment_is_in_a_lock_and_new_enough():
    pins = {name: pin for purpose in PURPOSES for name, pin in read_lock(purpose).items()}
    for name, bound in bounds(environment_lines()).items():
        if name != "python":
            assert Version(pins[name].version) >= Version(bound), name


def test_every_extra_is_in_a_lock():
    used = {extra for purpose in PURPOSES.values() for extra in purpose.extras}
    assert used == set(PROJECT["optional-dependencies"])


def test_base_dependencies_stay_small():
    assert set(bounds(PROJECT["dependencies"])) == {"numpy", "rich"}


def imported(folder: Path) -> set[str]:
    """Modules outside of the standard library that Python files of a folder import."""
    trees = [ast.parse(path.read_text()) for path in folder.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {n.name for node in nodes if isinstance(node, ast.Import) for n in node.names}
    names |= {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def test_users_install_what_the_library_imports():
    extras = PROJECT["optional-dependencies"]
    lines = [line for name in ("tensorflow", "jax", "torch", "cli") for line in extras[name]]
    installed = {*bounds([*PROJECT["dependencies"], *lines]), "fastism"}
    found = {PACKAGES.get(name, name.lower()) for name in imported(ROOT / "fastism")}
    # PyTorch's builds for GPUs bring Triton along; elsewhere nothing imports it.
    assert found - {"triton"} == installed


def test_the_benchmark_installs_what_it_imports():
    installed = {PACKAGES.get(name, name) for name in imported(ROOT / "benchmarks")}
    installed |= imported(ROOT / "figures")
    # In environments of their own:
    of_peers = {"crested", "tangermeme", "yuzu", "script_common", "script_torch"}
    own = {"benchmarks", "figures", "fastism"}
    lines = bounds(requirements_of("run"))
    assert installed - of_peers - own <= set(lines)


def test_imports_are_found(tmp_path):
    code = "import os, Bio.Seq\ndef f():\n    from keras.ops import sum\nfrom . import g\n"
    (tmp_path / "a.py").write_text(code)
    assert imported(tmp_path) == {"Bio", "keras"}


def test_keras_comes_with_its_backends():
    extras = PROJECT["optional-dependencies"]
    assert set(bounds(extras["tensorflow"])) == {"tensorflow", "keras"}
    assert set(bounds(extras["jax"])) == {"jax", "keras"}
    assert set(bounds(extras["torch"])) == {"torch"}


def test_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == fastism.__version__
    assert citation["license"] == PROJECT["license"] == "MIT"
    paper = citation["preferred-citation"]
    assert paper["doi"] == "10.1093/bioinformatics/btac135"
    assert [author["family-names"] for author in paper["authors"]] == [
        "Nair",
        "Shrikumar",
        "Schreiber",
        "Kundaje",
    ]


@pytest.mark.parametrize("line", ["numpy", "numpy>=2.0,<3", "numpy==2.0.0", "numpy>=2.0.0rc1"])
def test_the_check_itself_refuses_other_bounds(line):
    with pytest.raises((AssertionError, ValueError)):
        bounds([line])


def test_the_check_itself_sees_two_bounds():
    with pytest.raises(AssertionError, match="two bounds"):
        bounds(["keras>=3.8.0", "Keras>=3.9.0"])
