"""Processor and installed versions, for manifests and benchmarks; imports no library that it names."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("poseunion", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "numpy", "opencv-python-headless")


def installed_versions(libraries: Sequence[str] = _LIBRARIES) -> dict[str, str]:
    """Versions of Python and of those libraries that are installed; by default those that make or run the file."""
    found = {"python": platform.python_version()}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Name of the processor, from the operating system."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
