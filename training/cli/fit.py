"""`poseunion calibrate`, `fit-prior` and `fit-evidence`: the parameters of confidences and conditioning."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poseunion.models.command_line import ModelsOption, TurnsOption, paired
from poseunion.models.errors import BadArgumentError, BadFileError, MissingExtraError

if TYPE_CHECKING:
    from poseunion.models.calibration.schema import Calibration
    from poseunion.models.inference.joint import JointPredictor

CALIBRATE_EXAMPLES = (
    "Examples:  poseunion calibrate --model runs/unified.onnx --annotations coco/train.json --images coco/train "
    "--annotations lspet/train.json --images lspet/train --out calibrated.onnx  ·  "
    "poseunion calibrate --model unified --annotations mine.json --images mine --all --out mine.onnx"
)
PRIOR_EXAMPLES = (
    "Examples:  poseunion fit-prior --annotations coco_keypoints_train2017_normalised.npz --annotations "
    "mpii_train_joints.csv --annotations lspet/train.json --exclude mpii/images --out prior.npz  ·  "
    "poseunion fit-prior --annotations lsp14:lspet-extended.json --annotations coco.json --out prior.npz"
)
EVIDENCE_EXAMPLES = (
    "Example:  poseunion fit-evidence --model runs/unified.onnx --annotations coco/train.json --images coco/train "
    "--annotations lspet/train.json --images lspet/train"
)


def calibrate(
    model: ModelsOption,
    annotations: Annotated[list[Path], typer.Option(help="File the model was trained on; may be repeated.")],
    images: Annotated[list[Path], typer.Option(help="Folder of its pictures, in the same order.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Calibrated .onnx, may be the model itself; of several .json.")
    ],
    turns: TurnsOption = "none",
    everyone: Annotated[
        bool, typer.Option("--all", help="Use all pictures: the model was never trained on these files.")
    ] = False,
    test_annotations: Annotated[
        list[Path] | None, typer.Option(help="File nothing was fitted on, measured for orientation; may be repeated.")
    ] = None,
    test_images: Annotated[list[Path] | None, typer.Option(help="Folder of its pictures, in the same order.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Calibrate a model's confidences, and fit the guarantee of `annotate extend --risk`.

    Only pictures that training held out are used; people with a face also in the form of an MPII file. The calibration
    is written into the description inside the file, and into that of a .safetensors beside it; the weights stay. Of
    several models, or of turned pictures, it is a file of its own, for annotate extend --calibration.
    """
    try:
        import onnx  # noqa: F401  before minutes of predicting
        import scipy  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "train") from error
    from poseunion.models.files import refuse_existing
    from poseunion.models.inference.predictor import load_predictor
    from poseunion.models.runtime.write_calibration import stamp
    from poseunion.models.zoo import model_path
    from poseunion.training.calibration.fit_calibration import Source
    from poseunion.training.calibration.fit_calibration import calibrate as fit

    sources = [Source(*pair) for pair in paired(annotations, images)]
    test_pairs = paired(test_annotations or [], test_images or [], ("--test-annotations", "--test-images"))
    tests = [Source(*pair) for pair in test_pairs]
    if len(model) > 1 or turns != "none":
        fit_joint = partial(fit, sources=sources, tests=tests, everyone=everyone)
        _calibrate_joint(model, turns, out, fit_joint, threads, overwrite)
        return
    source = model_path(model[0])
    if out.suffix != ".onnx":
        raise BadArgumentError(f"--out {out} would hold an ONNX model: end its name in .onnx.")
    beside = [(source.with_suffix(e), out.with_suffix(e)) for e in (".onnx", ".safetensors", ".evidence.json")]
    written = [(old, new) for old, new in beside if old.is_file()]
    refuse_existing(*(new for _, new in written), overwrite=overwrite)
    predictor = load_predictor(source, threads=threads)
    calibration = fit(predictor, sources, tests, everyone=everyone)
    for old, new in written:
        if new.suffix == ".json":
            if old.resolve() != new.resolve():
                shutil.copyfile(old, new)
            continue
        stamp(old, new, calibration, predictor.metadata)
    _print([new for _, new in written], calibration)


def _calibrate_joint(
    models: list[str],
    turns: str,
    out: Path,
    fit: Callable[[JointPredictor], Calibration],
    threads: int | None,
    overwrite: bool,
) -> None:
    """Calibrate several models as one; their conditioning parameters lie beside `out`, from fit-evidence."""
    from poseunion.models.files import refuse_existing, write_json
    from poseunion.models.inference.joint import calibration_file, load_joint

    if out.suffix != ".json":
        raise BadArgumentError(f"--out {out} would hold the calibration of a joint model: end its name in .json.")
    refuse_existing(out, overwrite=overwrite)
    predictor = load_joint(models, turns=turns, path=out, threads=threads)
    calibration = fit(predictor)
    write_json(out, calibration_file(predictor, calibration).model_dump())
    _print([out], calibration)


def _print(written: list[Path], calibration: Calibration) -> None:
    print("\n".join(map(str, written)))
    print(f"fitted on {calibration.people}\nguarantees rest on {calibration.guarantee_people}")
    if calibration.test_people:
        print(f"measured on {calibration.test_people}")


def fit_prior(
    annotations: Annotated[
        list[str],
        typer.Option(
            metavar="[SKELETON:]FILE",
            help="Labelled skeletons: any annotation file, a .npz of COCO fractions, a .csv of MPII joints; may be "
            "repeated. SKELETON: the one whose definitions the human labels follow, in an extended file.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The prior, .npz.")],
    exclude: Annotated[
        list[Path] | None, typer.Option(help="Folder of pictures whose people are left out: test sets, fixtures.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of 512 people; 1,000 take a minute on a free core.")] = 8000,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
) -> None:
    """Fit p(missing | known joints) on skeletons without their pictures (needs the `train` extra).

    People of pictures that training holds out (8 %, by file name) are left out; on them the fit is measured.
    """
    from poseunion.models.conditioning.prior import save_prior
    from poseunion.models.files import refuse_existing
    from poseunion.models.skeleton import load_skeleton, shipped_skeletons
    from poseunion.training.calibration.fit_prior import PriorConfig, held_out_error
    from poseunion.training.calibration.fit_prior import fit_prior as fit
    from poseunion.training.data.pose_files import read_skeletons, split

    if out.suffix != ".npz":
        raise BadArgumentError(f"--out {out} would hold a prior: end its name in .npz.")
    refuse_existing(out, overwrite=overwrite)
    skeleton = load_skeleton("union21")
    found = []
    for text in annotations:
        head, colon, tail = text.partition(":")
        definitions, file = (head, tail) if colon and head in shipped_skeletons() else (None, text)
        found.append(read_skeletons(Path(file), skeleton, definitions))
        print(f"{file}: {len(found[-1])} people")
    unwanted = [name for folder in exclude or [] for name in _pictures(folder)]
    people, held = split(found, unwanted)
    print(
        f"fitting on {len(people)} people; {len(held)} held out, {sum(map(len, found)) - len(people) - len(held)} left"
    )
    prior = fit(people, skeleton, PriorConfig(steps=steps, seed=seed))
    save_prior(prior, out)
    print(out)
    for name, error in held_out_error(prior, held).items():
        print(f"{name}: median error of each joint from the other labelled ones of held-out people, {error:.3f} torso")


def fit_evidence(
    model: ModelsOption,
    annotations: Annotated[list[Path], typer.Option(help="File the model was trained on; may be repeated.")],
    images: Annotated[list[Path], typer.Option(help="Folder of its pictures, in the same order.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Default: beside the model, NAME.evidence.json, where it is used."),
    ] = None,
    turns: TurnsOption = "none",
    prior: Annotated[Path | None, typer.Option(help="A prior of fit-prior; default: the shipped one.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Fit how a model is conditioned on the joints that humans labelled (needs the `train` extra).

    Only pictures that training held out are used, without those on which the guarantees of `poseunion calibrate` rest;
    people with a face also in the form of an MPII file. Run it before `poseunion calibrate`, whose confidences depend
    on it. Of several models, --out is NAME.evidence.json beside the NAME.json that they are to be calibrated into.
    """
    from poseunion.models.calibration.conditioning_parameters import tempering_path
    from poseunion.models.conditioning.prior import PRIOR_PATH, load_prior
    from poseunion.models.files import refuse_existing, write_json
    from poseunion.models.inference.joint import load_joint
    from poseunion.models.inference.predictor import load_predictor
    from poseunion.models.zoo import model_path
    from poseunion.training.calibration.fit_conditioning import fit_tempering, held_out_people

    pairs = paired(annotations, images)
    joint = len(model) > 1 or turns != "none"
    if joint and out is None:
        raise BadArgumentError("Several models, or turned pictures, have no file of their own: give --out.")
    path = model_path(model[0])
    target = out or tempering_path(path)
    refuse_existing(target, overwrite=overwrite)
    predictor = load_joint(model, turns=turns, threads=threads) if joint else load_predictor(path, threads=threads)
    grid = predictor.metadata.grid
    people = held_out_people(predictor, pairs)
    print(f"fitting on {len(people.labelled)} held-out people")
    loaded = load_prior(prior or PRIOR_PATH)
    tempering = fit_tempering(people, grid, predictor.skeleton, loaded, predictor.name, predictor.sha256)
    write_json(target, tempering.model_dump(), indent=1)
    print(target)


def _pictures(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError as error:
        raise BadFileError(f"Cannot read the folder {folder}: {error.strerror or error}.") from error
