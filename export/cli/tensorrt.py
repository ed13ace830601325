"""`poseunion engine` and `poseunion export --check tensorrt`: building and prechecking TensorRT engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poseunion.models.errors import MissingExtraError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

EXAMPLES = (
    "Examples:  poseunion engine unified-int8-symmetric.onnx --out unified-int8.engine  ·  "
    "poseunion engine unified-fp16.onnx --out unified.engine --batch 1 16 64 --timing-cache timings.bin"
)


@app.command(epilog=EXAMPLES)
def engine(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="Half precision, or signed eight bits.")],
    out: Annotated[Path, typer.Option(help="The .engine file to write; its record, .engine.json, lies beside it.")],
    batch: Annotated[
        tuple[int, int, int], typer.Option(metavar="LEAST USUAL MOST", help="Crops a call; tuned for the usual.")
    ] = (1, 8, 32),
    workspace: Annotated[int, typer.Option(min=1, help="MB of GPU memory that building may use.")] = 1024,
    timing_cache: Annotated[
        Path | None, typer.Option(help="Timings to start from and to keep, for the next one.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing engine.")] = False,
) -> None:
    """Build a TensorRT engine for the GPU of this machine, and compare its outputs with the file's on the CPU.

    The engine computes in the file's own types. `export --format tensorrt` makes the half-precision file by itself.
    """
    from poseunion.models.files import refuse_existing

    refuse_existing(out, overwrite=overwrite)
    try:
        from poseunion.export.tensorrt.build import build_engine
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "train") from error
    record = build_engine(file, out, batch=batch, workspace_mb=workspace, timing_cache=timing_cache)
    typer.echo(
        f"{out}: {record['precision']}, TensorRT {record['tensorrt']}, {record['gpu']['name']}; logits within "
        f"{record['logit_difference']:.2g} of the ONNX file's, {record['equal_bins']:.2%} equal bins on noise"
    )


def check_tensorrt(model: str | Path) -> None:
    """Print the TensorRT precheck of `model`; raises typer.Exit(2) where a check fails.

    Raises:
        BadArgumentError: no such shipped model. BadFileError: not an ONNX file.
    """
    try:
        from poseunion.export.tensorrt.precheck import check
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "train") from error
    from poseunion.models.zoo import model_path

    evidence = check(model_path(model))
    typer.echo(evidence.text())
    if not evidence.passed:
        raise typer.Exit(2)
