"""The places that name packages and versions agree: pyproject, environment.yml, lock, CITATION."""

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

ROOT = Path(__file__).resolve().parents[1]
#: Packages that are not called as their modules are.
PACKAGES = {"Bio": "biopython"}
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
    extras = PROJECT["optional-dependencies"].values()
    return bounds([*PROJECT["dependencies"], *(line for extra in extras for line in extra)])


def environment_lines() -> list[str]:
    """The requirements of environment.yml, without pip itself and the project."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = [entry for entry in entries if isinstance(entry, str) and entry != "pip"]
    (pip,) = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    assert "-e ." in pip
    return [*conda, *(entry for entry in pip if entry != "-e .")]


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    found = {}
    for line in pins:
        # No local version: torch 2.13.0+cpu, say, exists on some machines only.
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line), (
            f"{line}: expected name==version"
        )
        name, version = line.split("==")
        assert canonicalize_name(name) not in found, f"{name} is pinned twice"
        found[canonicalize_name(name)] = version
    return found


def test_environment_has_the_packages_and_bounds_of_pyproject():
    python = PROJECT["requires-python"].removeprefix(">=")
    lines = environment_lines()
    assert len(bounds(lines)) == len(lines), "environment.yml names a package twice"
    assert bounds(lines) == project_bounds() | {"python": python}


def test_lock_satisfies_pyproject():
    pins = locked()
    for name, bound in project_bounds().items():
        assert name in pins, f"{name} is not in requirements.lock"
        assert Version(pins[name]) >= Version(bound), f"{name}: {pins[name]} is older than {bound}"


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
    assert found == installed


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
