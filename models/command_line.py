"""Shared error handling and options of the command lines: an error is one sentence and exit code 2."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from poseunion.models.errors import BadArgumentError, PoseUnionError

ROUTE_HELP = "auto: small people go to the model's low-resolution students, where a route comes with it (today: none)."
ModelsOption = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="NAME|PATH",
        help="Shipped model or described .onnx file; repeat it to predict with several as one, by their mean density.",
    ),
]
TurnsOption = Annotated[
    str,
    typer.Option(
        "--turns",
        metavar="none|disagreement|always",
        help="Also predict in pictures turned by 90, 180 and 270 degrees: where the models disagree, or always.",
    ),
]
JointCalibrationOption = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        metavar="FILE",
        help="Calibration of several models or of turned pictures, from poseunion calibrate with the same --model.",
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"poseunion {version('poseunion')}")
        raise typer.Exit


VersionOption = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
]


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
    if isinstance(command, TyperGroup):
        for each in command.commands.values():  # click would cut the list's texts to a line
            each.short_help = each.short_help or " ".join((each.help or "").split("\n\n")[0].split())
    command(args=list(arguments), prog_name=name)


def _end(sentence: str, code: int) -> None:
    typer.echo(f"Error: {sentence}", err=True)
    sys.exit(code)
