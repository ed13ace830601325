"""What the runs that fork children share: makers of sample files, and a folder in memory for them."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

TESTS = Path(__file__).parent
MEMORY = Path("/dev/shm")
ROOMY = 2 << 30  # bytes; a container's default of 64 MB is no place for thousands of files


def load(path: Path) -> ModuleType:
    """A test module or conftest, for the makers of samples in it."""
    # As pyproject.toml has it for pytest.
    for folder in (str(TESTS.parent / "benchmarks" / "training"), str(TESTS / "fixtures")):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(f"sample_{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def scratch() -> Path | None:
    """Parent of temporary folders: in memory, where `fsync` costs nothing and a killed process loses as little."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOMY else None
