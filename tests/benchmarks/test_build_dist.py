"""Source archive and wheel: the same bytes whoever packs them, links that a package index can follow, one version."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest
from build_dist import absolute_links, normalised

import poseunion

ROOT = Path(__file__).resolve().parents[2]


def packed(names: list[str], mtime: float, owner: str, mode: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uname, member.uid, member.mode = len(name), mtime, owner, len(owner), mode
            archive.addfile(member, io.BytesIO(name.encode()))
    return out.getvalue()


def test_the_same_files_are_the_same_bytes() -> None:
    archive = normalised(packed(["b/c.py", "a"], 1e9 + 0.5, "ann", 0o664), 1_700_000_000)
    assert archive == normalised(packed(["a", "b/c.py"], 5.0, "root", 0o600), 1_700_000_000)
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        assert {m.name: (m.mtime, m.mode, m.uname) for m in opened} == dict.fromkeys(
            ["a", "b/c.py"], (1_700_000_000, 0o644, "")
        )
        content = opened.extractfile("b/c.py")
        assert content is not None
        assert content.read() == b"b/c.py"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("![a](docs/a.jpg)", "![a](https://host/me/raw/v1/docs/a.jpg)"),
        ("[b](docs/b.md#c)", "[b](https://host/me/blob/v1/docs/b.md#c)"),
        ("[c](#c) [d](https://elsewhere/d)", "[c](#c) [d](https://elsewhere/d)"),
    ],
)
def test_relative_links_become_addresses(given: str, expected: str) -> None:
    assert absolute_links(given, "https://host/me", "v1") == expected


def test_the_citation_has_the_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [poseunion.__version__]
