"""`poseunion export` and `poseunion convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poseunion.models.errors import BadArgumentError, MissingExtraError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Export trained students, convert others.")


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


@app.command(epilog="Example:  poseunion convert rtmpose-m_simcc-mpii.pth --skeleton mpii16 --out models/")
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="mmpose's .pth of an RTMPose t, s, m or l.")],
    skeleton: Annotated[str, typer.Option(help="Skeleton it predicts: coco17, mpii16, union21 ... or a .toml file.")],
    out: Annotated[Path, typer.Option(help="Existing folder, or a path without ending: two files are written.")],
    network: Annotated[str | None, typer.Option(help="Refuse anything else than this, rtmpose-m for example.")] = None,
    size: Annotated[str | None, typer.Option(help="Input as WIDTHxHEIGHT, where it is not half the bins.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the checkpoint to note in the files.")] = "",
    overwrite: Annotated[bool, typer.Option(help="Replace existing files.")] = False,
) -> None:
    """Turn mmpose's checkpoint into safetensors and a self-describing ONNX file, without running what is in it."""
    try:
        from poseunion.export.convert import convert as convert_checkpoint
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    stem = out / checkpoint.stem if out.is_dir() else out
    written = [stem.parent / f"{stem.name}{ending}" for ending in (".safetensors", ".onnx")]
    if not overwrite and (there := [path for path in written if path.exists()]):
        raise BadArgumentError(f"{there[0]} exists: give another --out, or --overwrite.")
    description = convert_checkpoint(
        checkpoint, stem, skeleton, network=network, size_wh=_parse_size(size), licence=licence
    )
    bins = "x".join(map(str, description.grid.bins_wh))
    wh = "x".join(map(str, description.size_wh))
    print(f"{written[0]}, {written[1]}: {description.skeleton}, input {wh}, bins {bins}")


def _parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise BadArgumentError(f"--size {text} is not WIDTHxHEIGHT, 192x256 for example.")
    return int(width), int(height)
