"""Source archive and wheel of the committed files, the same bytes from the same commit: `make dist`.

    python benchmarks/maintenance/build_dist.py dist        # needs git, and `build` (pip install build)

Times are the commit's (or `SOURCE_DATE_EPOCH`), owners and modes are fixed, files that git does not track are absent.
setuptools writes its version into the wheel: compare two builds of the same one. While pyproject.toml names a
Repository, the README's relative links become links into it: a package index shows no others.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]


def absolute_links(text: str, repository: str, tag: str) -> str:
    """The README's text, its relative links and pictures as addresses of the repository at `tag`."""

    def address(match: re.Match[str]) -> str:
        kind = "raw" if match[1] == "!" else "blob"
        return f"{match[1]}[{match[2]}]({repository}/{kind}/{tag}/{match[3]})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)]+)\)", address, text)


def normalised(archive: bytes, epoch: int) -> bytes:
    """A .tar.gz of the same files: sorted, at one time, of no owner."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive)) as given,
        gzip.GzipFile("", "wb", fileobj=out, mtime=epoch) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as made,
    ):
        for member in sorted(given.getmembers(), key=lambda m: m.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            made.addfile(member, given.extractfile(member) if member.isfile() else None)
    return out.getvalue()


def build(out: Path, commit: str = "HEAD") -> list[Path]:
    """Write the source archive of a commit and the wheel that is built from it."""

    def git(*words: str) -> bytes:
        return subprocess.run(["git", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout

    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct", commit))
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    os.umask(0o022)  # modes of files are kept in both
    with tempfile.TemporaryDirectory() as folder:
        source, built = Path(folder) / "source", Path(folder) / "built"
        _extract(git("-c", "tar.umask=0022", "archive", "--format=tar", commit), source)
        project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        if repository := project.get("urls", {}).get("Repository"):
            readme = source / "README.md"
            text = absolute_links(readme.read_text(encoding="utf-8"), repository, f"v{project['version']}")
            readme.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "build", "--outdir", str(built)]
        _run([*command, "--sdist", str(source)], environment)
        (sdist,) = built.glob("*.tar.gz")
        sdist.write_bytes(normalised(sdist.read_bytes(), epoch))
        _extract(sdist.read_bytes(), Path(folder) / "unpacked")
        (unpacked,) = (Path(folder) / "unpacked").iterdir()
        _run([*command, "--wheel", str(unpacked)], environment)
        out.mkdir(parents=True, exist_ok=True)
        files = []
        for file in sorted(built.iterdir()):
            files.append(out / file.name)
            files[-1].write_bytes(file.read_bytes())
    return files


def _run(command: list[str], environment: dict[str, str]) -> None:
    """Run a build; what it prints is shown where it fails."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def _extract(archive: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        opened.extractall(folder, filter="data")


if __name__ == "__main__":
    for written in build(Path(sys.argv[1])):
        content = written.read_bytes()
        print(f"{hashlib.sha256(content).hexdigest()}  {written}  {len(content) / 1e6:.1f} MB")
