"""How the project is installed: one constant, and the pages, images and metadata that agree with it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from import_graph import ROOMS, ROOT

from poseunion.models.errors import INSTALL

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = SETTINGS["project"]["optional-dependencies"]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docker/*.md"), *ROOT.glob("models/**/*.md")]
)
IMAGES = ["app/Dockerfile", "docker/Dockerfile", "app/space/make.sh"]


def test_the_constant_alone_spells_the_command() -> None:
    spelled = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room in [*ROOMS, "poseunion"]
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and re.search(r"pip install \S*\[", str(node.value))
        and "MissingExtraError" not in str(node.value)  # its doctest shows the message
    ]
    assert spelled == [f"models/errors.py:{_line_of('INSTALL = ')}"]


def _line_of(start: str) -> int:
    lines = (ROOT / "models" / "errors.py").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.startswith(start))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_show_what_the_constant_shows(page: Path) -> None:
    before, _ = INSTALL.split("{extra}")
    for shown, extras in re.findall(r"(pip install '[^'\[]*\[)([\w,-]+)\]'", page.read_text(encoding="utf-8")):
        assert shown == before
        assert set(extras.split(",")) <= set(EXTRAS)


def test_every_extra_that_a_message_names_exists() -> None:
    named = {
        extra
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for extra in re.findall(r"(?:MissingExtraError\(.*, |install_command\()[\"']([\w-]+)", path.read_text("utf-8"))
    }
    assert named
    assert named <= set(EXTRAS)


def test_the_readme_has_a_row_for_every_extra() -> None:
    install = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Install")[2].partition("\n## ")[0]
    first_columns = re.findall(r"^\| (.*?) \|", install, re.MULTILINE)
    assert set(re.findall(r"`([\w-]+)`", " ".join(first_columns))) == set(EXTRAS)


def test_every_package_of_the_checkout_is_installed() -> None:
    """An editable installation finds a folder that is not listed; a wheel does not have it."""
    rooms = SETTINGS["tool"]["setuptools"]["package-dir"].values()
    folders = {file.parent.relative_to(ROOT) for room in rooms for file in (ROOT / room).rglob("__init__.py")}
    named = {
        ".".join(folder.parts if folder.parts[0] == "poseunion" else ("poseunion", *folder.parts)) for folder in folders
    }
    assert named == set(SETTINGS["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize("image", IMAGES)
def test_images_copy_every_folder_that_is_installed(image: str) -> None:
    text = (ROOT / image).read_text(encoding="utf-8")
    for folder in SETTINGS["tool"]["setuptools"]["package-dir"].values():
        assert re.search(rf"^(COPY {folder} {folder}|git archive .*\b{folder}\b.*)$", text, re.MULTILINE), folder
