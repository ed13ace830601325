"""`poseunion export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poseunion.models.errors import MissingExtraError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Export trained students.")


@app.command(epilog="Example:  poseunion export runs/unified/weights.safetensors --out unified.onnx")
def export(
    weights: Annotated[Path, typer.Argument(help="weights.safetensors of a training run.")],
    out: Annotated[Path, typer.Option(help="The .onnx file to write.")],
    revision: Annotated[str, typer.Option(help="Git revision to note in the file.")] = "",
) -> None:
    """Write a self-describing ONNX file and prove that it equals the trained network."""
    try:
        from poseunion.export.onnx import export_onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    description = export_onnx(weights, out, revision)
    print(f"{out}: {description.name}, {description.skeleton}, {description.size_wh[0]}x{description.size_wh[1]}")
