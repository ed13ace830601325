"""The five rooms: which may import which, no cycles, short chains, small folders, and cheap imports."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import subprocess
import sys

import pytest
from import_graph import ROOMS, ROOT, closure, cycle, graph, inside, longest_chain, modules, packages, parts_of

# What each room may import of the others: a whole room, or one part of it.
ALLOWED = {
    "models": (),
    "annotate": ("models",),
    "training": ("models", "annotate.formats"),
    "export": ("models", "annotate.formats", "training.evaluation"),
    "app": ("models", "annotate", "training", "export"),
}
# Longest chain of imports between the parts of a room, a package counting as one; and inside any package.
LONGEST = {"models": 8, "annotate": 8, "training": 7, "export": 8, "app": 8}
LONGEST_INSIDE = 8
MOST_FILES, MOST_LINES = 20, 400
# What a program that reads an annotation file must not have to load.
NOT_FOR_READING = ("models.inference", "models.runtime", "models.conditioning", "models.calibration", "annotate.extend")
EDGES = graph()


def _is_below(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    """Transitively: what the imported modules import counts, too."""
    for name in (name for name in EDGES if _is_below(name, room)):
        for other in closure(name, EDGES):
            allowed = "." not in other or any(_is_below(other, part) for part in (room, *ALLOWED[room]))
            assert allowed, f"{name} loads {other}"


@pytest.mark.parametrize("room", ROOMS)
def test_parts_of_a_room_are_layered(room: str) -> None:
    parts = parts_of(room, EDGES)
    assert cycle(parts) == []
    assert len(longest_chain(parts)) <= LONGEST[room], longest_chain(parts)


def test_modules_are_layered() -> None:
    assert cycle(EDGES) == []
    packages = {name.rsplit(".", 1)[0] for name in EDGES if name.count(".") > 1}
    for package in packages:
        chain = longest_chain(inside(package, EDGES))
        assert len(chain) <= LONGEST_INSIDE, chain


def test_folders_and_files_are_small() -> None:
    """Of the rooms, their tests and the benchmarks."""
    files = [*modules().values(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    for folder in {path.parent for path in files}:
        assert len(list(folder.glob("*.py"))) <= MOST_FILES, folder
    for path in files:
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= MOST_LINES, f"{path.relative_to(ROOT)} has {lines} lines"


def test_every_package_says_what_it_is_for() -> None:
    for path in modules().values():
        if path.name == "__init__.py" and path.parent.parent != ROOT:
            assert path.read_text(encoding="utf-8").startswith('"""'), path


def _loaded_by(code: str) -> list[str]:
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd="/")
    return list(json.loads(run.stdout))


def test_importing_models_and_annotate_loads_nothing_heavy() -> None:
    loaded = set(_loaded_by("import poseunion.models, poseunion.annotate"))
    assert not loaded & {"torch", "matplotlib", "onnxruntime", "skimage", "scipy"}


def test_no_integration_is_imported_by_the_base() -> None:
    """A folder may need its own tool from the start; it is imported by nothing outside, and the others when used."""
    own = {"fiftyone": "annotate.fiftyone_plugin", "huggingface_hub": "models.hub", "gradio": "app.demo"}
    tools = {*own, "cvat_sdk", "label_studio_sdk", "movement", "pandas", "ray", "supervision", "xarray"}
    needing = {name: found for name, path in modules().items() if (found := packages(path) & tools)}
    for name, found in needing.items():
        for tool in found:
            assert tool in own, f"{name} imports {tool}"
            assert _is_below(name, own[tool]), f"{name} imports {tool}"
    for name, others in graph(lazy=False).items():
        if not any(_is_below(name, folder) for folder in own.values()):
            assert not others & needing.keys(), name


def test_the_registry_of_formats_is_light() -> None:
    ours = [name for name in _loaded_by("import poseunion.annotate.formats") if name.startswith("poseunion.")]
    assert len(ours) <= 15, ours


def test_reading_an_annotation_file_loads_no_predictor() -> None:
    code = "from poseunion.annotate.formats import read_annotations\nfrom poseunion.annotate.example import LABELS\n"
    loaded = _loaded_by(f"{code}read_annotations(LABELS)")
    wrong = [name for name in loaded if any(_is_below(name, f"poseunion.{part}") for part in NOT_FOR_READING)]
    assert wrong == []


def _documented() -> list[str]:
    found = []
    for room in ("models", "annotate"):
        package = importlib.import_module(f"poseunion.{room}")
        found += [m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return found


@pytest.mark.parametrize("name", _documented())
def test_doctests(name: str) -> None:
    if _is_below(name, "poseunion.annotate.fiftyone_plugin"):
        pytest.importorskip("fiftyone", reason="fiftyone has an environment of its own: make test-review")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
