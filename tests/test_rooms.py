"""The five rooms: who may import whom, and that importing them is cheap."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("models", "annotate", "training", "export", "app")
# What each room may import of the others: a whole room, or one module of it.
ALLOWED = {
    "models": (),
    "annotate": ("models",),
    "training": ("models", "annotate.formats"),
    "export": ("models", "annotate.formats", "training.evaluate"),
    "app": ("models", "annotate", "training", "export"),
}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from poseunion.annotate import formats` names the module in the list, not before it.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = [f"poseunion.{name}." for name in (room, *ALLOWED[room])]
    for path in sorted((ROOT / room).rglob("*.py")):
        for name in _imports(path):
            if name.startswith("poseunion."):
                assert any(f"{name}.".startswith(prefix) for prefix in allowed), f"{path.relative_to(ROOT)}: {name}"


def test_importing_models_and_annotate_loads_nothing_heavy() -> None:
    code = """
import json, sys
import poseunion.models, poseunion.annotate
heavy = ("torch", "matplotlib", "onnxruntime", "skimage", "scipy")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd="/")
    assert json.loads(run.stdout) == []


def _modules() -> list[str]:
    found = []
    for room in ("models", "annotate"):
        package = importlib.import_module(f"poseunion.{room}")
        found += [m.name for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return found


@pytest.mark.parametrize("name", _modules())
def test_doctests(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
