"""The names of `poseunion` itself, from a checkout, an editable installation and a wheel's layout alike."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import poseunion

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", poseunion.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(poseunion, name).__module__.startswith("poseunion.")


def test_version_is_the_installed_one() -> None:
    assert poseunion.__version__ == version("poseunion")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = poseunion.nothing


def test_importing_it_loads_no_room() -> None:
    code = "import poseunion, sys; print([m for m in sys.modules if m.startswith('poseunion.')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("folder", [ROOT, Path("/")])
def test_python_m_is_the_command(folder: Path) -> None:
    """Also in a checkout, whose folder `poseunion` hides the installed one."""
    run = subprocess.run(
        [sys.executable, "-m", "poseunion", "--version"], capture_output=True, text=True, check=False, cwd=folder
    )
    assert (run.returncode, run.stdout) == (0, f"poseunion {version('poseunion')}\n"), run.stderr


def test_rooms_are_found_beside_a_checkout(tmp_path: Path) -> None:
    """An installed package and a checkout in the current folder: the rooms come from where they are installed."""
    installed = tmp_path / "site" / "poseunion"
    installed.mkdir(parents=True)
    for file in ROOT.joinpath("poseunion").glob("*.py"):
        (installed / file.name).write_bytes(file.read_bytes())
    (installed / "models").mkdir()
    (installed / "models" / "__init__.py").write_text("PLACE = 'installed'\n")
    code = f"import sys; sys.path[:0] = ['', {str(tmp_path / 'site')!r}]; sys.meta_path[:] = sys.meta_path[:3]; "
    code += "import poseunion.models; print(poseunion.models.PLACE)"
    run = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.stdout == "installed\n", run.stderr
