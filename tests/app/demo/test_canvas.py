"""Files of the page beside its Python modules."""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "app" / "demo"


def test_a_wheel_holds_the_files_that_the_page_reads() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packaged = {path.name for pattern in settings["package-data"]["poseunion.app.demo"] for path in DEMO.glob(pattern)}
    sources = "".join(path.read_text(encoding="utf-8") for path in DEMO.glob("*.py"))
    assert set(re.findall(r'"(\w+\.(?:html|js|css))"', sources)) == packaged
