"""Shared parts of the command lines: an error is one sentence on standard error and exit code 2."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from poseunion.models.errors import BadArgumentError, PoseUnionError

ROUTE_HELP = "auto: small people go to the model's low-resolution students, where a route comes with it (today: none)."


def run(app: typer.Typer, name: str) -> None:
    """Run `app` as the program `name`.

    A path that the system refuses in a place of its own (too long, in a folder that may not be looked into) is a bad
    argument, too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a picture's name may hold what the terminal cannot show
    try:
        app(prog_name=name)
    except PoseUnionError as error:
        _end(str(error), error.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        _end(f"Cannot use {error.filename}: {error.strerror}; give another path.", PoseUnionError.exit_code)


def paired(
    files: Sequence[Path], folders: Sequence[Path], options: tuple[str, str] = ("--annotations", "--images")
) -> list[tuple[Path, Path]]:
    """Annotation files, each with the folder of its pictures; BadArgumentError where their numbers differ."""
    if len(files) != len(folders):
        raise BadArgumentError(f"{len(files)} {options[0]} and {len(folders)} {options[1]}: give one folder a file.")
    return list(zip(files, folders, strict=True))


def _end(sentence: str, code: int) -> None:
    typer.echo(f"Error: {sentence}", err=True)
    sys.exit(code)
