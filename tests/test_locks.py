"""The locks: every package with a sum, no address, and the versions that constraints.txt and pyproject.toml ask for."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
EXTRAS = {"dev": ("dev", "train"), "example": ("example",), "demo": ("demo",), "engines": ("evaluate",)}
ENTRY = re.compile(r"([a-z0-9.-]+)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def locked(path: Path) -> dict[str, str]:
    """Package -> version; nothing but entries and comments is in a lock."""
    text = path.read_text()
    assert not ENTRY.sub("", re.sub("#.*\n", "", text))
    return {name: version for name, version, _ in ENTRY.findall(text)}


def asked(extra: str) -> list[Requirement]:
    """What an extra asks for, through the project's other extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: list[Requirement] = []
    for text in project["optional-dependencies"][extra]:
        requirement = Requirement(text)
        if requirement.name == "poseunion":
            found += [one for inner in sorted(requirement.extras) for one in asked(inner)]
        else:
            found.append(requirement)
    return found + [Requirement(text) for text in project["dependencies"]]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_has_what_is_asked_for(path: Path) -> None:
    versions = locked(path)
    environment = {"python_version": "3.11", "sys_platform": "linux", "platform_machine": "x86_64"}
    for extra in EXTRAS.get(path.stem, ()):
        for requirement in asked(extra):
            if requirement.marker is None or requirement.marker.evaluate(environment):
                assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert versions.get(canonicalize_name(name), version) == version
