"""mmpose's own answers (`tests/golden`) and what it was asked (`benchmarks/peers/recipe.py`)."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[2] / "golden"
RECIPE = Path(__file__).parents[3] / "benchmarks" / "peers" / "recipe.py"


@pytest.fixture(scope="session")
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe", RECIPE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def mmpose() -> dict[str, Any]:
    """Scores, OKS and skeletons."""
    answers: dict[str, Any] = json.loads((GOLDEN / "mmpose.json").read_text())
    assert answers["mmpose"] == "1.3.2"
    return answers


def _arrays(name: str) -> Mapping[str, NDArray[Any]]:
    with np.load(GOLDEN / f"mmpose_{name}.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def mmpose_networks() -> Mapping[str, NDArray[Any]]:
    return _arrays("networks")


@pytest.fixture(scope="session")
def mmpose_public() -> Mapping[str, NDArray[Any]]:
    return _arrays("public")


@pytest.fixture(scope="session")
def mmpose_codec() -> Mapping[str, NDArray[Any]]:
    return _arrays("codec")


@pytest.fixture(scope="session")
def mmpose_crops() -> Mapping[str, NDArray[Any]]:
    return _arrays("crops")
