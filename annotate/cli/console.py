"""Options and JSON output that the commands of `annotate` share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output instead of text.")]
VoiceOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Another extension of this file, as by a teacher; repeatable."),
]


def print_json(value: object) -> None:
    """One JSON value and a line's end on standard output."""
    json.dump(value, sys.stdout)
    sys.stdout.write("\n")
