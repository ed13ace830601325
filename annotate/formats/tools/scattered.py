"""Formats of one json file a picture: a folder of them, or a single one, as one source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from poseunion.annotate.formats.types import Problem, Report, Source
from poseunion.models.errors import BadFileError
from poseunion.models.files import read_json, sha256_of

# Of a folder, this many files are opened to recognise it.
PROBED = 20


@dataclass(frozen=True)
class ScatteredSource(Source):
    """All files of a folder: together they are the input.

    Attributes:
        files: in the order of their names.
    """

    files: tuple[Path, ...] = ()

    @cached_property
    def document(self) -> Any:
        """A list of what the files hold."""
        return [read_json(path) for path in self.files]

    @cached_property
    def sha256(self) -> str:
        """Hex SHA-256 of the file; of a folder, over its files and their names."""
        if not self.path.is_dir():
            return sha256_of(self.path)
        total = hashlib.sha256()
        for path in self.files:
            total.update(f"{path.relative_to(self.path).as_posix()} {sha256_of(path)}\n".encode())
        return total.hexdigest()


def one_file_a_picture(source: Source, is_page: Callable[[Any], bool]) -> bool:
    """Whether the source is such a file, or a folder with one among its first files."""
    if source.path.is_dir():
        return any(_is_page(path, is_page) for path in sorted(source.path.rglob("*.json"))[:PROBED])
    return is_page(source.json)


def pages_of(source: Source, is_page: Callable[[Any], bool], report: Report) -> ScatteredSource:
    """The source as its pages; a file of the folder that is none is reported."""
    if not source.path.is_dir():
        pages = ScatteredSource(source.path, source.lean, source.categories, (source.path,))
        if not is_page(source.document):
            raise BadFileError(f"{source.path} is none of the known annotation formats' files of one picture.")
        pages.__dict__["document"] = [source.document]  # parsed once
        return pages
    files, documents = [], []
    for path in sorted(source.path.rglob("*.json")):
        name = path.relative_to(source.path).as_posix()
        try:
            document = read_json(path)
        except BadFileError as error:
            report(Problem(name, str(error).rstrip(".")))
            continue
        if is_page(document):
            files.append(path)
            documents.append(document)
        else:
            report(Problem(name, "is another kind of file, and not read", False))
    pages = ScatteredSource(source.path, source.lean, source.categories, tuple(files))
    pages.__dict__["document"] = documents
    return pages


def _is_page(path: Path, is_page: Callable[[Any], bool]) -> bool:
    try:
        return is_page(read_json(path))
    except BadFileError:
        return False
