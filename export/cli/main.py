"""`poseunion export` and `poseunion convert`: trained students to ONNX and TensorRT, public checkpoints to ONNX."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from poseunion.models.command_line import paired
from poseunion.models.errors import BadArgumentError, MissingExtraError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Export trained students, convert others.")


EXAMPLES = (
    "Examples:  poseunion export --model runs/unified/weights.safetensors --out unified.onnx  ·  "
    "poseunion export --model unified --format onnx --format onnx-int8 --out exported --annotations coco/test.json "
    "--images coco/test --calibration coco/train.json coco/train  ·  "
    "poseunion export --model unified --with-preprocess picture --out exported"
)


@app.command(epilog=EXAMPLES)
def export(
    model: Annotated[
        str, typer.Option(help="A run's weights.safetensors, an exported .onnx, or a shipped model's name.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="File to write, or a folder: files are then named after the model.")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="onnx (default: weights stored in half precision, computed in single), onnx-fp32, onnx-fp16, "
            "onnx-int8, onnx-int8-symmetric (TensorRT's) or tensorrt; may be repeated.",
        ),
    ] = None,
    annotations: Annotated[
        list[Path] | None, typer.Option(help="Labelled people to measure accuracy on; may be repeated.")
    ] = None,
    images: Annotated[list[Path] | None, typer.Option(help="Folder of their pictures, in the same order.")] = None,
    calibration: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="ANNOTATIONS IMAGES", help="People that reduced precision is fitted to; default: --annotations."
        ),
    ] = None,
    max_drop: Annotated[
        float, typer.Option(min=0, help="Refuse files that lose more points of AP (PCKh, PCK) than this.")
    ] = 0.5,
    with_preprocess: Annotated[
        str | None,
        typer.Option(
            metavar="crop|picture",
            help="Also write a file that takes uint8 crops, or a whole picture and boxes, and gives keypoints.",
        ),
    ] = None,
    sensitivity: Annotated[
        bool, typer.Option(help="Note in the manifest what each layer alone costs in eight bits (a minute or two).")
    ] = False,
    revision: Annotated[str, typer.Option(help="Git revision to note in the file.")] = "",
    check: Annotated[
        str | None, typer.Option(metavar="tensorrt", help="Write nothing: check the .onnx file --model for TensorRT.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace existing files.")] = False,
) -> None:
    """Export a trained network to ONNX or TensorRT, and verify that its outputs equal the trained network's.

    Each file gets a .manifest.json with the figures. If one breaks the contract, nothing is written.
    """
    if check is not None:
        if check != "tensorrt":
            raise BadArgumentError(f"No check {check!r}: only tensorrt.")
        from poseunion.export.cli.tensorrt import check_tensorrt

        check_tensorrt(Path(model))
        return
    if out is None:
        raise BadArgumentError("Give --out: a file, or a folder.")
    pairs = paired(annotations or [], images or [])
    try:
        from poseunion.export.run import ExportRequest, Labelled
        from poseunion.export.run import export as export_all
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    from poseunion.models.zoo import weights_path

    request = ExportRequest(
        weights=weights_path(model),
        out=out,
        formats=tuple(dict.fromkeys(formats or ["onnx"])),
        twin=with_preprocess,  # type: ignore[arg-type]  # `targets` checks it
        measured=tuple(Labelled(*pair) for pair in pairs),
        calibration=Labelled(*calibration) if calibration else None,
        max_drop=max_drop,
        sensitivity=sensitivity,
        revision=revision,
        command=shlex.join(["poseunion", *map(_portable, sys.argv[1:])]),
        overwrite=overwrite,
    )
    for path, manifest in export_all(request):
        typer.echo(f"{path}: {manifest.summary()}")


@app.command(
    epilog="Examples:  poseunion convert rtmpose-m_simcc-mpii.pth --skeleton mpii16 --out models/  ·  "
    "poseunion convert tinypose-256x192.onnx --out start  (then: poseunion train unified_branch --init …)  ·  "
    "poseunion convert rtmdet-nano.onnx --out start  (then: poseunion train-detector --init …)"
)
def convert(
    file: Annotated[
        Path, typer.Argument(help="mmpose's .pth of an RTMPose t, s, m or l, or the .onnx of a network to start from.")
    ],
    out: Annotated[Path, typer.Option(help="Existing folder, or a path without ending: two files are written.")],
    skeleton: Annotated[
        str | None,
        typer.Option(help="Skeleton: of a .pth the one it predicts (mpii16 …), of an .onnx the student's [union21]."),
    ] = None,
    network: Annotated[str | None, typer.Option(help="Refuse anything else than this, rtmpose-m for example.")] = None,
    size: Annotated[str | None, typer.Option(help="Input as WIDTHxHEIGHT, where it is not half the bins.")] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights to note in the files.")] = "",
    overwrite: Annotated[bool, typer.Option(help="Replace existing files.")] = False,
) -> None:
    """Convert public weights to safetensors and a self-describing ONNX file, without running code from them.

    An RTMPose of mmpose becomes the same network. PP-TinyPose becomes the start of a student: its keypoints as they
    were, those of the union that it lacks untrained. RTMDet-nano becomes a person detector.
    """
    try:
        from poseunion.export.convert import convert as convert_checkpoint
        from poseunion.export.start_from_onnx import convert_start
        from poseunion.models.files import refuse_existing
        from poseunion.models.runtime.description import ModelDescription
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    stem = out / file.stem if out.is_dir() else out
    written = [stem.parent / f"{stem.name}{ending}" for ending in (".safetensors", ".onnx")]
    refuse_existing(*written, overwrite=overwrite)
    if file.suffix == ".onnx":
        if network is not None or size is not None:
            raise BadArgumentError("--network and --size are for a .pth: an .onnx is recognised as it is.")
        description = convert_start(file, stem, skeleton, licence=licence)
    elif skeleton is None:
        raise BadArgumentError("Give --skeleton: the keypoints that the .pth predicts, mpii16 for example.")
    else:
        description = convert_checkpoint(
            file, stem, skeleton, network=network, size_wh=_parse_size(size), licence=licence
        )
    wh = "x".join(map(str, description.size_wh))
    what = f"person detector, input {wh}"
    if isinstance(description, ModelDescription):
        what = f"{description.skeleton}, input {wh}, bins {'x'.join(map(str, description.grid.bins_wh))}"
    print(f"{written[0]}, {written[1]}: {what}")


def _portable(argument: str) -> str:
    """Command-line argument for the manifest: of an absolute path only file and folder."""
    return "/".join(Path(argument).parts[-2:]) if Path(argument).is_absolute() else argument


def _parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise BadArgumentError(f"--size {text} is not WIDTHxHEIGHT, 192x256 for example.")
    return int(width), int(height)
