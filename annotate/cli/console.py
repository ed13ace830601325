"""Options and JSON output that the commands of `annotate` share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output instead of text.")]
# The registry's (`formats.FORMATS`), in its order, for texts of help: those are shown without importing it.
FORMAT_NAMES = (
    *("halpe", "crowdpose", "wholebody", "posetrack18", "jhmdb", "coco", "mpii", "mpii-mat", "lsp-mat", "aic"),
    *("yolo-pose", "datumaro", "cvat-xml", "label-studio", "labelme", "openpose", "coco-results"),
)
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Extended file (COCO style).")]
AuditQueueOption = Annotated[
    bool, typer.Option("--audit", help="Only the sample of annotate audit, in the order it was drawn.")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it is there.")]
AlternativeOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--alternative",
        "--voice",  # its former name
        metavar="FILE",
        help="Another extension of this file, as by a teacher; repeatable.",
    ),
]


def names_of(text: str | None) -> tuple[str, ...] | None:
    """`"nose, left_eye"` -> their names, each once, in the order given; None stays None."""
    if text is None:
        return None
    return tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


def print_json(value: object) -> None:
    """One JSON value and a line's end on standard output."""
    json.dump(value, sys.stdout)
    sys.stdout.write("\n")
