"""The lock files: every package that `make` and the Docker files install, its version and its files' SHA-256.

    uvx uv==0.13.9 --version && python locks/lock.py        # needs uv (pip install uv); --upgrade for newer versions

For CPython 3.11 on Linux x86_64, as in Docker and CI; elsewhere `make` installs by constraints.txt. A lock holds no
address: any index or folder will do whose files have these sums. Only wheels that this Python can use are listed, and
the source where there is none.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import tomllib
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

HERE = Path(__file__).parent
ROOT = HERE.parent
# Lock: extras of pyproject.toml, and packages beside them.
LOCKS = {
    "dev": (("dev", "train"), ()),
    "example": (("example",), ()),
    "demo": (("demo",), ()),
    "engines": (("evaluate",), ("onnx>=1.16", "cuda-bindings>=13,<14")),
    "rtmlib": ((), ("rtmlib==0.0.16",)),
}
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)]
PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
TAGS = {*cpython_tags((3, 11), platforms=PLATFORMS), *compatible_tags((3, 11), "cp311", PLATFORMS)}


def resolved(name: str, upgrade: bool) -> list[dict[str, Any]]:
    """The packages of a lock as uv resolves them, the versions of the present lock where they still fit."""
    extras, more = LOCKS[name]
    with tempfile.TemporaryDirectory() as folder:
        out, wanted = Path(folder) / "pylock.toml", Path(folder) / "wanted.in"
        wanted.write_text("\n".join([f".[{','.join(extras)}]" if extras else "", *more]))
        present = HERE / f"{name}.txt"
        command = ["uv", "pip", "compile", str(wanted), "--format", "pylock.toml", "-o", str(out), "-q"]
        command += ["--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28", "--generate-hashes"]
        command += ["-c", "constraints.txt", *(["--no-deps"] if name == "rtmlib" else [])]
        if present.exists() and not upgrade:
            pins = [line.split(" ")[0] for line in present.read_text().splitlines() if "==" in line]
            (Path(folder) / "present.txt").write_text("\n".join(pins))
            command += ["-c", str(Path(folder) / "present.txt")]
        subprocess.run(command, check=True, cwd=ROOT)
        packages: list[dict[str, Any]] = tomllib.loads(out.read_text())["packages"]
        return [package for package in packages if package["name"] != "poseunion"]


def usable(wheel: dict[str, Any]) -> bool:
    """Can this Python install it?"""
    name = wheel.get("name") or wheel["url"].rpartition("/")[2]
    return bool(parse_wheel_filename(name.replace("%2B", "+"))[3] & TAGS)


def entry(package: dict[str, Any]) -> str:
    """A package's lines."""
    files = [wheel for wheel in package.get("wheels", []) if usable(wheel)]
    if not files:
        files = [package["sdist"]]
    sums = sorted({file["hashes"]["sha256"] for file in files})
    return " \\\n".join([f"{package['name']}=={package['version']}", *(f"    --hash=sha256:{s}" for s in sums)])


def main() -> None:
    for name in LOCKS:
        entries = [entry(package) for package in resolved(name, "--upgrade" in sys.argv)]
        head = "# Made by `python locks/lock.py`: CPython 3.11, Linux x86_64.\n"
        (HERE / f"{name}.txt").write_text(head + "\n".join(entries) + "\n")
        print(f"{name}: {len(entries)} packages")


if __name__ == "__main__":
    main()
