"""`annotate`: complete, show and check annotation files."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poseunion.annotate.cli import audit as cli_audit
from poseunion.annotate.cli import decisions as cli_decisions
from poseunion.annotate.cli import labelling_tools as cli_labelling_tools
from poseunion.annotate.cli import release as cli_release
from poseunion.annotate.cli import review as cli_review
from poseunion.annotate.cli.console import FORMAT_NAMES, JsonOption, names_of, print_json
from poseunion.models import command_line
from poseunion.models.command_line import ROUTE_HELP, VersionOption
from poseunion.models.errors import BadArgumentError, install_command
from poseunion.models.progress import progress_bar

if TYPE_CHECKING:
    from poseunion.models.skeleton import Skeleton

app = typer.Typer(
    help="Complete, show and check pose annotation files.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_audit.app)
app.add_typer(cli_decisions.app)
app.add_typer(cli_release.app)
app.add_typer(cli_labelling_tools.app)
app.add_typer(cli_review.app)


def main() -> None:
    """Run the command line; what goes wrong on purpose is one sentence on standard error and exit code 2."""
    command_line.run(app, "annotate")


FormatOption = Annotated[
    str | None, typer.Option("--format", help=f"One of {', '.join(FORMAT_NAMES)}; default: recognised.")
]
SkeletonOption = Annotated[
    str | None, typer.Option(help="Skeleton the file must have (name or .toml); default: recognised by its names.")
]
CategoryOption = Annotated[
    str | None,
    typer.Option("--category", metavar="a,b", help="Categories or classes that are people; default: recognised."),
]


@app.callback()
def options(version: VersionOption = False) -> None:
    """Options of the program itself."""


@app.command("extend")
def extend_command(
    dataset: Annotated[
        str | None,
        typer.Option(help="mpii, coco or lsp (searched below $POSEUNION_DATA), example, or a dataset .toml."),
    ] = None,
    annotations: Annotated[Path | None, typer.Option(metavar="FILE", help="Annotation file.")] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of its pictures.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Extended file; default: NAME.extended.json in this folder.")
    ] = None,
    model: command_line.ModelsOption = ["unified"],  # noqa: B006 typer reads the default
    turns: command_line.TurnsOption = "none",
    calibration: command_line.JointCalibrationOption = None,
    format_name: Annotated[
        str | None,
        typer.Option("--format", help="Format of the output; default: COCO style. The input's own, or a tool's."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Confidence from which a proposal is accepted; default: 0.5 of a calibrated model."),
    ] = None,
    risk: Annotated[
        float | None,
        typer.Option(help="Accept so that at most this share is a gross error, with 90 % confidence, per keypoint."),
    ] = None,
    tolerance: cli_audit.CalibratedToleranceOption = None,
    fill_gaps: Annotated[
        bool,
        typer.Option("--fill-gaps", help="Also propose what the dataset defines and its annotators left out."),
    ] = False,
    keypoints: Annotated[
        str | None,
        typer.Option(metavar="a,b", help="Propose only these keypoints; default: all that the dataset lacks."),
    ] = None,
    evidence: Annotated[
        bool | None,
        typer.Option(help="Condition the prediction on a person's labelled joints; default: if calibrated for it."),
    ] = None,
    route: Annotated[str, typer.Option(metavar="off|auto", help=ROUTE_HELP)] = "off",
    skeleton: SkeletonOption = None,
    category: CategoryOption = None,
    limit: Annotated[int | None, typer.Option(help="Predict only the first so many people.")] = None,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="Also people without any human keypoint.")] = False,
    flip: Annotated[
        bool, typer.Option("--flip", help="Average with the mirrored crop: better, twice the time.")
    ] = False,
    max_bad: Annotated[
        float, typer.Option(help="Share of people that may be unusable before the run gives up.")
    ] = 0.05,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Recognise pictures by their content, not by size and time of change."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Forecast what would be done; write nothing.")] = False,
    check_labels: cli_audit.SelfCheckOption = False,
    as_json: JsonOption = False,
    overlay: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also draw every picture with its people into this folder.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where the network runs: cpu, cuda or tensorrt.")] = "cpu",
    allow_fallback: Annotated[
        bool, typer.Option("--allow-fallback", help="Where --device is absent, run on the next best, with a notice.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Chunks of people worked on at once; default: what fills the cores.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of each worker's network; default: what fills the cores.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help=f"local, or ray: the same work as a Ray Data job ({install_command('ray')}).")
    ] = "local",
) -> None:
    """Add the keypoints that a file's people lack; change nothing that is there.

    Human points stay to the digit; pelvis and thorax are derived where both parents are labelled; what else the dataset
    does not define is proposed with a confidence. What its annotators could have labelled and left out is proposed
    with --fill-gaps only, and --keypoints chooses. An interrupted run goes on with --resume and ends in the same
    bytes. Neither --workers, --threads nor --engine changes the result, only the time it takes.

    Examples:

        annotate extend --dataset mpii

        annotate extend --annotations train.json --images train/ --out train_21.json

        annotate extend --dataset my_data.toml --out my_21.json --overlay overlays/ --limit 50

        annotate extend --dataset coco --risk 0.05 --dry-run

        annotate extend --dataset coco --risk 0.05 --dry-run --self-check

        annotate extend --dataset coco --fill-gaps --keypoints left_ankle,right_ankle

        annotate extend --dataset mpii --keypoints nose,left_eye,right_eye

        annotate extend --dataset coco --device cuda

        annotate extend --annotations crowd.json --images crowd/ --route auto

        annotate extend --dataset lsp --model unified --model other.onnx --turns disagreement
    """
    import tempfile

    from rich.console import Console

    from poseunion.annotate.datasets import find_dataset
    from poseunion.annotate.extend.executor import share_cores
    from poseunion.annotate.extend.proposer import load_proposer
    from poseunion.annotate.extend.run import Options, extend, journal_path
    from poseunion.annotate.formats import FORMATS, read_annotations, writer_for
    from poseunion.models.inference.size_routing import check_route
    from poseunion.models.runtime.onnx import check_device

    check_device(device)
    check_route(route)
    workers, threads = share_cores(workers, threads, on_cpu=device == "cpu")
    # A dry run writes nothing, not even the example's pictures: they live as long as this function.
    temporary = tempfile.TemporaryDirectory() if dry_run else None
    scratch = Path(temporary.name) if temporary else out.parent if out else Path("runs/example")
    found = find_dataset(dataset, annotations, images, scratch=scratch)
    behaviour = (format_name, threshold, limit, unlabelled, max_bad, resume, overwrite, workers, engine, risk)
    options = Options(*behaviour, fill_gaps, names_of(keypoints), strict)
    records = read_annotations(
        found.annotations,
        found.format,
        _skeleton(skeleton) or found.skeleton,
        lean=True,
        categories=names_of(category) or (),
    )
    output_format = writer_for(records, format_name)[0]
    out = out or Path(f"{found.annotations.stem}.extended{FORMATS[output_format].ending}")
    if overlay is not None and output_format != "coco":
        raise BadArgumentError(f"--overlay draws COCO-style output: leave out --format {output_format}.")
    if overlay is not None:
        from poseunion.annotate.show import refuse_folder

        refuse_folder(overlay, found.images)
    predictor = load_proposer(
        model,
        partial(typer.echo, err=True),
        evidence=evidence,
        route=route,
        turns=turns,
        calibration=calibration,
        flip=flip,
        device=device,
        threads=threads,
        allow_fallback=allow_fallback,
    )
    checked = cli_audit.check_labels(records, found.images, predictor, options) if check_labels else None
    if dry_run:
        from poseunion.annotate.extend.dry_run import forecast

        planned = forecast(records, found, predictor, out, options)
        if as_json:
            print_json(planned.to_json() | ({} if checked is None else {"self_check": checked.to_json()}))
        else:
            planned.print(Console())
            if checked is not None:
                checked.print(Console())
        return
    if checked is not None:
        checked.refuse_risk()
        checked.print(Console(stderr=True))
    try:
        with progress_bar("people") as progress:
            report = extend(records, found.images, predictor, out, options, progress=progress, command=sys.argv)
    except KeyboardInterrupt:
        typer.echo(f"Interrupted: finished work is kept in {journal_path(out)}; go on with --resume.", err=True)
        raise typer.Exit(130) from None
    if overlay is not None:
        _draw_overlays(out, found.images, overlay)
    if as_json:
        print_json(report.to_json())
    else:
        report.print(Console())


@app.command("show")
def show_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Annotation file, extended or not.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="Folder of its pictures.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the overlays.")],
    limit: Annotated[int | None, typer.Option(help="Only the first so many pictures.")] = None,
    rejected: Annotated[bool, typer.Option("--rejected", help="Also draw proposals that were not accepted.")] = False,
    format_name: FormatOption = None,
    skeleton: SkeletonOption = None,
    category: CategoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw people on their pictures: human points white, proposals red, derived points amber, opacity by confidence.

    Examples:

        annotate show train_21.json --images train/ --out overlays/

        annotate show train_21.json --images train/ --out overlays/ --limit 20 --rejected
    """
    from poseunion.annotate.formats import read_annotations
    from poseunion.annotate.show import show

    records = read_annotations(file, format_name, _skeleton(skeleton), categories=names_of(category) or ())
    with progress_bar("pictures") as progress:
        report = show(records, images, out, limit=limit, rejected=rejected, progress=progress)
    if as_json:
        print_json({"written": report.written, "bad": [{"image": i, "reason": r} for i, r in report.bad]})
        return
    for name, reason in report.bad:
        typer.echo(f"skipped {name}: {reason}", err=True)
    typer.echo(
        f"{len(report.written)} overlays in {out}" + (f", {len(report.bad)} pictures skipped" if report.bad else "")
    )


@app.command("check")
def check_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Annotation file, extended or not.")],
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Also check the pictures.")] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="Also list left/right swaps by a model; needs --images."),
    ] = None,
    patch: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what can be mended as a JSON Patch (RFC 6902).")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="MPII's .mat, to compare an MPII json with.")
    ] = None,
    consumer: Annotated[
        str | None,
        typer.Option("--for", metavar="ultralytics", help="Also what that would drop of it, and why."),
    ] = None,
    format_name: FormatOption = None,
    skeleton: SkeletonOption = None,
    category: CategoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the problems of a file and their places; exit code 2 if it cannot be used as it is.

    Examples:

        annotate check train.json

        annotate check train_21.json --images train/ --json

        annotate check train.json --images train/ --model unified

        annotate check data.yaml --for ultralytics

        annotate check mpii_train.json --against mpii_human_pose_v1_u12_1.mat --patch mpii.patch.json
    """
    from poseunion.annotate.check.json_patch import write_patch
    from poseunion.annotate.check.run import check

    predictor = None
    if model is not None:
        from poseunion.models.inference.predictor import load_predictor

        # Averaged with mirrored crops: a model that is unsure of the sides has a low confidence then.
        predictor = load_predictor(model, flip=True)
    with progress_bar("people") if predictor else contextlib.nullcontext() as progress:
        records, problems = check(
            file,
            images=images,
            format_name=format_name,
            skeleton=_skeleton(skeleton),
            categories=names_of(category) or (),
            reference=against,
            model=predictor,
            consumer=consumer,
            progress=progress,
        )
    wrong = sum(p.fatal for p in problems)
    mended = write_patch(patch, problems, file) if patch is not None else None
    if as_json:
        found = [{"place": p.place, "problem": p.text, "fatal": p.fatal, "fix": bool(p.fix)} for p in problems]
        report = {"file": str(file), "usable": not wrong, "problems": found}
        print_json(report if patch is None else {**report, "patch": str(patch), "mended": mended})
    else:
        for problem in problems:
            typer.echo(f"{'wrong' if problem.fatal else 'look'}: {problem.place}: {problem.text}")
        if records is not None:
            from poseunion.annotate.extend.plan import plan

            human, planned = int((records.visibility > 0).sum()), plan(records)
            typer.echo(
                f"{file}: {records.format}, {records.skeleton.name}, {len(records.images)} images, "
                f"{len(records)} records, {human} labelled keypoints; {wrong} wrong, {len(problems) - wrong} to look at"
            )
            left = f"; left as they are: {planned.reasons()}" if planned.passed else ""
            typer.echo(f"{len(planned.order)} of {planned.people} people in the file can be completed{left}")
        if patch is not None:
            apply = f"annotate apply-patch {file} {patch} --out NEW"
            typer.echo(f"{patch}: mends {mended} of {len(problems)}; to apply it: {apply}")
    if wrong:
        raise typer.Exit(2)


@app.command("apply-patch")
def apply_patch_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON file that the patch was made for.")],
    patch: Annotated[Path, typer.Argument(metavar="PATCH", help="JSON Patch, as `annotate check --patch` writes it.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The mended file; never one that is there.")],
) -> None:
    """Write a mended copy of a file; the file itself stays as it is.

    Take operations you do not agree with out of the patch first: it is a plain JSON list.

    Examples:

        annotate apply-patch train.json train.patch.json --out train.mended.json
    """
    from poseunion.annotate.check.json_patch import apply_file

    typer.echo(f"{out}: {apply_file(file, patch, out)} operations applied")


def _skeleton(name: str | None) -> Skeleton | None:
    from poseunion.models.skeleton import load_skeleton

    return None if name is None else load_skeleton(name)


def _draw_overlays(out: Path, images: Path, overlay: Path) -> None:
    from poseunion.annotate.formats import read_annotations
    from poseunion.annotate.show import show

    with progress_bar("overlays") as progress:
        report = show(read_annotations(out), images, overlay, progress=progress)
    for name, reason in report.bad:
        typer.echo(f"no overlay of {name}: {reason}", err=True)


if __name__ == "__main__":
    main()
