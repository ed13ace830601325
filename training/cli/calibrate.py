"""`poseunion calibrate`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poseunion.models.errors import BadArgumentError, MissingExtraError

if TYPE_CHECKING:
    from poseunion.training.calibration.fit_calibration import Source

EXAMPLES = (
    "Examples:  poseunion calibrate --model runs/unified.onnx --annotations coco/train.json --images coco/train "
    "--annotations lspet/train.json --images lspet/train --out calibrated.onnx  ·  "
    "poseunion calibrate --model unified --annotations mine.json --images mine --all --out mine.onnx"
)


def calibrate(
    model: Annotated[str, typer.Option(metavar="NAME|PATH", help="Shipped model or described .onnx file.")],
    annotations: Annotated[list[Path], typer.Option(help="File the model was trained on; may be repeated.")],
    images: Annotated[list[Path], typer.Option(help="Folder of its pictures, in the same order.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The calibrated .onnx file; may be the model itself.")],
    everyone: Annotated[
        bool, typer.Option("--all", help="The model was never trained on these files: use all their pictures.")
    ] = False,
    test_annotations: Annotated[
        list[Path] | None, typer.Option(help="File nothing was fitted on, measured for orientation; may be repeated.")
    ] = None,
    test_images: Annotated[list[Path] | None, typer.Option(help="Folder of its pictures, in the same order.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Make a model's confidences probabilities, and fit what `annotate extend --risk` promises.

    Only pictures that training held out are used; people with a face also in the form of an MPII file. The calibration
    is written into the description that the file carries, and into that of a .safetensors beside it; the weights stay
    as they are.
    """
    try:
        import onnx  # noqa: F401  before minutes of predicting
        import scipy  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "train") from error
    from poseunion.models.inference.predictor import load_predictor
    from poseunion.models.runtime.write_calibration import stamp
    from poseunion.models.zoo import model_path
    from poseunion.training.calibration.fit_calibration import calibrate as fit

    source = model_path(model)
    if out.suffix != ".onnx":
        raise BadArgumentError(f"--out {out} would hold an ONNX model: end its name in .onnx.")
    beside = [(source.with_suffix(e), out.with_suffix(e)) for e in (".onnx", ".safetensors", ".evidence.json")]
    written = [(old, new) for old, new in beside if old.is_file()]
    if not overwrite and (there := [new for _, new in written if new.exists()]):
        raise BadArgumentError(f"{there[0]} exists: give another --out, or --overwrite.")
    sources = _sources(annotations, images, "--annotations", "--images")
    tests = _sources(test_annotations or [], test_images or [], "--test-annotations", "--test-images")
    predictor = load_predictor(source, threads=threads)
    calibration = fit(predictor, sources, tests, everyone=everyone)
    for old, new in written:
        if new.suffix == ".json":
            if old.resolve() != new.resolve():
                shutil.copyfile(old, new)
            continue
        stamp(old, new, calibration, predictor.metadata)
    print("\n".join(str(new) for _, new in written))
    print(f"fitted on {calibration.people}\npromises rest on {calibration.guarantee_people}")
    if calibration.test_people:
        print(f"measured on {calibration.test_people}")


def _sources(annotations: Sequence[Path], images: Sequence[Path], first: str, second: str) -> list[Source]:
    from poseunion.training.calibration.fit_calibration import Source

    if len(annotations) != len(images):
        raise BadArgumentError(f"{len(annotations)} {first} and {len(images)} {second}: give one folder a file.")
    return [Source(a, i) for a, i in zip(annotations, images, strict=True)]
