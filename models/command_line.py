"""Shared error handling of the command lines: one sentence on standard error and exit code 2."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer
from typer.core import TyperGroup

from poseunion.models.errors import BadArgumentError, PoseUnionError

ROUTE_HELP = "auto: small people go to the model's low-resolution students, where a route comes with it (today: none)."


def run(app: typer.Typer, name: str) -> None:
    """Run a typer app as the program `name`; expected errors become one sentence and exit code 2.

    A path that the system refuses (too long, in a folder without permission) is a bad argument, too.
    """
    # numpy's matrices are small here, and people are worked on side by side: more threads would wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a picture's name may hold what the terminal cannot show
    try:
        start(app, name, sys.argv[1:])
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


def start(app: typer.Typer, name: str, arguments: Sequence[str]) -> None:
    """Run the command of `app` that `arguments` begin with.

    Options of the group itself (`--install-completion`) are parsed only where no command is named: typer checks values
    by pydantic, whose import takes longer than a help text. So does rich, which typer would draw boxes with, and its
    Markdown: help texts and errors are plain.
    """
    app.rich_markup_mode = None
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup) and arguments and arguments[0] in command.commands:
        command, name, arguments = command.commands[arguments[0]], f"{name} {arguments[0]}", arguments[1:]
    command(args=list(arguments), prog_name=name)


def _end(sentence: str, code: int) -> None:
    typer.echo(f"Error: {sentence}", err=True)
    sys.exit(code)
