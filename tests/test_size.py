"""A checkout and a wheel that are quick to fetch: history cannot shrink, so that what is too large must never enter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
CHECKOUT_BYTES = 24_000_000
WHEEL_BYTES = 20_000_000


def tracked() -> list[Path]:
    """Files of the checkout, as far as they are there; skips where this is none."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout: nothing says which files are tracked")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def total(files: list[Path]) -> tuple[int, str]:
    """Bytes of all, and what to say of them."""
    size = {path: path.stat().st_size for path in files}
    largest = ", ".join(f"{path.name} {size[path] / 1e6:.1f}" for path in sorted(size, key=lambda p: -size[p])[:5])
    return sum(size.values()), f"{sum(size.values()) / 1e6:.1f} MB, of these {largest}"


def test_the_checkout_is_light() -> None:
    size, said = total(tracked())
    assert size <= CHECKOUT_BYTES, said


def test_weights_are_stored_once() -> None:
    assert not [path.name for path in tracked() if path.suffix in (".safetensors", ".pt", ".pth", ".ckpt")]


def test_what_a_wheel_holds_is_light() -> None:
    """Uncompressed: weights do not compress."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {package: settings["package-dir"].get(package) for package in settings["packages"]}
    files: set[Path] = set()
    for package in folders:
        _, *inner = package.split(".")
        folder = ROOT.joinpath(*inner) if inner else ROOT / "poseunion"
        files |= {*folder.glob("*.py")}
        for pattern in settings["package-data"].get(package, []):
            found = list(folder.glob(pattern))
            assert found, f"{package} has no {pattern}"
            files |= set(found)
    assert any(path.suffix == ".onnx" for path in files)
    size, said = total(sorted(files))
    assert size <= WHEEL_BYTES, said


@pytest.mark.slow
def test_the_wheel_is_light(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77", reason="needs what pyproject.toml builds with")
    for path in tracked():
        copy = tmp_path / "source" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path)]
    subprocess.run([*command, str(tmp_path / "source")], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size <= WHEEL_BYTES
