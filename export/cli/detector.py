"""`poseunion export-detector`: exports a trained person detector to ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poseunion.models.errors import MissingExtraError

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def export_detector(
    model: Annotated[Path, typer.Option(help="weights.safetensors of `poseunion train-detector`, or an .onnx.")],
    out: Annotated[Path, typer.Option(help="File to write; training can start from it.")],
    score_threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Score from which a box is shown; default: the weights file's.")
    ] = None,
    iou_threshold: Annotated[
        float | None, typer.Option(min=0.05, max=1, help="Overlap from which the weaker of two boxes is dropped.")
    ] = None,
    side: Annotated[int | None, typer.Option(help="Side of the input in pixels; default: as trained.")] = None,
    revision: Annotated[str, typer.Option(help="Git revision to note in the file.")] = "",
    overwrite: Annotated[bool, typer.Option(help="Replace existing files.")] = False,
) -> None:
    """Export a trained person detector to ONNX, and verify that its outputs equal the trained network's.

    Examples:

        poseunion export-detector --model runs/person/weights.safetensors --out person.onnx

        poseunion export-detector --model runs/person/weights.safetensors --out person.onnx --score-threshold 0.25
    """
    try:
        from poseunion.export.detector import export_detector as export
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    description = export(
        *(model, out),
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        side=side,
        revision=revision,
        overwrite=overwrite,
    )
    width, height = description.size_wh
    typer.echo(
        f"{out}: {out.stat().st_size / 1e6:.1f} MB, input {width}x{height}, "
        f"boxes from a score of {description.score_threshold:g}"
    )
