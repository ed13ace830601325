"""Plain engineer's English: first lines of docstrings and help texts name things; software is no person.

docs/glossary.md has the terms.
"""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from import_graph import ROOMS, ROOT, modules

# Words of persons and metaphors, and rhetorical questions.
DENIED = re.compile(
    r"\b(nobody|everybody|somebody|whom|whose word|told|tells?|says?|said|believed?|believes|nought|quarrel\w*|slips?"
    r"|lessons?|asked for|himself)\b|\?$",
    re.IGNORECASE,
)

# The same for comments, the rest of docstrings and messages: of the last ones a question is allowed, and what a person
# remembers, looks at or says. Names in backquotes are not read.
DENIED_IN_PROSE = re.compile(
    r"(?<![-\w])(nobody|everybody|somebody|whom|whose word|told|tells?|says?|believ\w*|nought|quarrel\w*|lessons?"
    r"|asked for|himself|promis\w*|voices?|knows?|guess\w*|judged?|judges)\b|\blead(s|ing)? (no|any)where",
    re.IGNORECASE,
)


def _first_lines(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text.split("\n")[0]


def _help_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Strings given as `help=` and docstrings of the functions of a command module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "help":
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value
        elif isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield node.lineno, text


def test_first_lines_of_docstrings_name_things() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in modules().values()
        for line, text in _first_lines(path)
        if DENIED.search(text)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", sorted(p for p in modules().values() if "cli" in p.relative_to(ROOT).as_posix()))
def test_help_texts_name_things(path: Path) -> None:
    wrong = [f"{line}: {text}" for line, text in _help_texts(path) if DENIED.search(text)]
    assert not wrong, "\n".join(wrong)


def _prose(path: Path) -> Iterator[tuple[int, str]]:
    """Comments, and strings of several words: docstrings, help and messages."""
    with path.open("rb") as file:
        yield from ((t.start[0], t.string) for t in tokenize.tokenize(file.readline) if t.type == tokenize.COMMENT)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield from ((node.lineno, line) for line in node.value.split("\n"))


@pytest.mark.parametrize("room", [*ROOMS, "benchmarks"])
def test_comments_docstrings_and_messages_name_things(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for line, text in _prose(path)
        if DENIED_IN_PROSE.search(re.sub("`[^`]*`", "", text))
    ]
    assert not wrong, "\n".join(wrong)
