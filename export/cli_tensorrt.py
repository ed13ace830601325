"""`poseunion export --check tensorrt`."""

from __future__ import annotations

from pathlib import Path

import typer

from poseunion.models.errors import MissingExtraError


def check_tensorrt(file: Path) -> None:
    """Print what speaks for and against building an engine from `file`; raises typer.Exit(1) where something does.

    Raises:
        BadFileError: not an ONNX file.
    """
    try:
        from poseunion.export.tensorrt_check import check
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "train") from error
    evidence = check(file)
    typer.echo(evidence.text())
    if not evidence.passed:
        raise typer.Exit(1)
