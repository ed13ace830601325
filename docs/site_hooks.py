"""What mkdocs.yml does besides: pages outside docs/, and links as they are in the repository.

README.md is the site's first page; cards of models, benchmark notes and the changelog are pages, too. Links between
them are those that a reader of the repository follows. A file that is no page (code, a folder) is linked to the
`Repository` of pyproject.toml's `[project.urls]`; while there is none, its name alone is shown.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

import tomllib
from mkdocs.structure.files import File, Files
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).resolve().parents[1]
# Pages and pictures outside docs/, under their own paths on the site.
OUTSIDE = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docker/README.md",
    "benchmarks/README.md",
    "benchmarks/peers/README.md",
    "benchmarks/notes/*",
    "models/weights/*.md",
    "models/detectors/*.md",
)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    config.repo_url = project.get("urls", {}).get("Repository") or None
    paths = sorted(ROOT.glob("benchmarks/notes/*.md"), reverse=True)
    notes = [{_dated_title(path): f"benchmarks/notes/{path.name}"} for path in paths]
    peers = {"Peers": "benchmarks/peers/README.md"}
    config.nav.append({"Benchmarks": [{"Overview": "benchmarks/README.md"}, peers, {"Notes": notes}]})


def on_files(files: Files, config: Any) -> Files:
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, _page(name), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links of the repository as links of the site; outside of fenced blocks."""
    if page.file.src_uri.endswith(".ipynb"):
        return markdown
    here = Path(page.file.abs_src_path).parent
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)

    def replaced(match: re.Match[str]) -> str:
        picture, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        name = (here / target).resolve().relative_to(ROOT).as_posix()
        uri = _page(name)
        if files.get_file_from_path(uri) is not None:
            depth = PurePosixPath(page.file.src_uri).parent
            return f"{picture}[{text}]({get_relative_url(uri, f'{depth}/' if str(depth) != '.' else '')}{anchor})"
        if config.repo_url:
            return f"{picture}[{text}]({config.repo_url}/blob/main/{name}{anchor})"
        return text if text.startswith("`") or "/" not in text else f"`{text}`"

    return "".join(part if part.startswith("```") else LINK.sub(replaced, part) for part in parts)


def _dated_title(note: Path) -> str:
    heading = next(line for line in note.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    return f"{note.name[:10]}: {heading.lstrip('# ')}"


def _page(name: str) -> str:
    """A file of the repository as the site's source path."""
    if name == "README.md":
        return "index.md"
    return name.removeprefix("docs/")
