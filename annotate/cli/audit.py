"""`annotate audit`, `certify`: a random sample for inspection, and the bounds that its answers give."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poseunion.annotate.cli.console import FileArgument, JsonOption, OverwriteOption, print_json
from poseunion.models.progress import progress_bar

if TYPE_CHECKING:
    from poseunion.annotate.audit.certificate import Certificate
    from poseunion.annotate.audit.self_check import SelfCheck
    from poseunion.annotate.audit.tolerance import Tolerance
    from poseunion.annotate.extend.run import Options
    from poseunion.annotate.formats import AnnotationSet
    from poseunion.models.inference.interface import PosePredictor

app = typer.Typer()
SelfCheckOption = Annotated[
    bool,
    typer.Option(
        "--self-check",
        help="First hide labelled keypoints of 100 people and predict them again; if they have more errors than the "
        "calibration predicts, --risk is refused.",
    ),
]
AuditOption = Annotated[
    Path | None, typer.Option("--audit", metavar="FILE", help="The drawn sample; default: FILE.audit.json.")
]
ToleranceOption = Annotated[
    str | None,
    typer.Option(
        "--tolerance",
        metavar="UNIT:NUMBER",
        help="Distance beyond which a point is a gross error: oks:0.5 (the radius of that OKS), head:0.5 or torso:0.2 "
        "(shares of the person's head size or torso diagonal), px:10. Default: the sample's, at first oks:0.5.",
    ),
]


def _calibrated(text: str | None) -> str | None:
    if text is not None:
        from poseunion.annotate.audit.tolerance import check_tolerance

        check_tolerance(text)
    return text


CalibratedToleranceOption = Annotated[
    str | None,
    typer.Option(
        "--tolerance",
        metavar="UNIT:NUMBER",
        callback=_calibrated,
        help="Distance of a gross error; models are calibrated at oks:0.5 alone.",
    ),
]


@app.command("audit")
def audit_command(
    file: FileArgument,
    budget: Annotated[int, typer.Option(help="How many points are to be inspected now.")] = 100,
    seed: Annotated[int | None, typer.Option(help="Seed of the draw; default: 0, or the one of the sample.")] = None,
    tolerance: ToleranceOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Draw anew; decisions that are recorded stay and count.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Draw accepted proposals for inspection, so that annotate certify can bound the errors of all.

    The sample goes into FILE.audit.json. The demo's review tab shows its people first; annotate review has it as the
    view "audit sample", annotate next --audit lists it, annotate cvat-export --audit writes it. A larger budget
    continues the same random order. Accept each of its points that lies within the tolerance, reject it or move it;
    then run annotate certify.

    Examples:

        annotate audit train_21.json --budget 100

        annotate audit train_21.json --budget 60 --json

        annotate audit train_21.json --tolerance head:0.5
    """
    from poseunion.annotate.audit.sample import audit_path, draw, read_audit, to_inspect
    from poseunion.annotate.audit.tolerance import Tolerance
    from poseunion.annotate.review.decisions import read_extended
    from poseunion.models.files import write_json

    annotations, path = read_extended(file), audit_path(file)
    earlier = read_audit(path) if path.is_file() and not overwrite else None
    if seed is None:
        seed = 0 if earlier is None else earlier.seed
    audit = draw(annotations, budget, seed, earlier, _tolerance(tolerance))
    if audit != earlier:
        write_json(path, audit.model_dump(), indent=1)
    waiting = to_inspect(annotations, audit)
    people = len({row for row, _ in waiting})
    if as_json:
        counts = {"points": audit.points, "drawn": len(audit.drawn), "waiting": len(waiting), "people": people}
        print_json({"out": str(path), **counts, "tolerance": audit.tolerance})
        return
    distance = Tolerance.parse(audit.tolerance).distance
    typer.echo(
        f"{path}: {len(audit.drawn)} of {audit.points} added points are drawn; {len(waiting)} of them, of {people} "
        f"people, wait for a decision. Accept what lies within {distance}. Then: annotate certify {file}"
    )


@app.command("certify")
def certify_command(
    file: FileArgument,
    target: Annotated[float, typer.Option(help="Share of gross errors that is to be certified.")] = 0.05,
    confidence: Annotated[float, typer.Option(help="Confidence of each bound.")] = 0.95,
    tolerance: ToleranceOption = None,
    audit: AuditOption = None,
    as_json: JsonOption = False,
) -> None:
    """Certify how many of the added points are gross errors at most, from the inspected sample of annotate audit.

    A gross error was rejected, needs a fix, or was moved beyond the tolerance. The bounds hold after any number of
    inspections, so they may be computed any number of times. The certificate goes into FILE.certificate.json and into
    FILE itself; annotate release prints it on the card.

    Examples:

        annotate certify train_21.json

        annotate certify train_21.json --target 0.03 --json

        annotate certify train_21.json --tolerance px:10

        annotate certify reviewed.json --audit train_21.json.audit.json
    """
    from poseunion.annotate.audit.certificate import certificate_path, certify, save
    from poseunion.annotate.audit.sample import audit_path, read_audit
    from poseunion.annotate.review.decisions import read_extended
    from poseunion.models.errors import BadArgumentError

    path = audit or audit_path(file)
    if audit is None and not path.is_file():
        raise BadArgumentError(f"{file} has no sample: draw one with annotate audit {file}.")
    certificate = certify(read_extended(file), read_audit(path), target, confidence, _tolerance(tolerance))
    save(file, certificate)
    if as_json:
        print_json(certificate.to_json())
        return
    _print(certificate)
    typer.echo(f"{certificate_path(file)}: the certificate, with all that is needed to compute it again")


@app.command("recalibrate")
def recalibrate_command(
    file: FileArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The new extended file.")],
    risk: Annotated[
        float,
        typer.Option(help="Share of gross errors that the points which stay probably have at most."),
    ] = 0.05,
    tolerance: ToleranceOption = None,
    audit: AuditOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Refit the confidences from the answers of an audit, and accept only what probably keeps the risk.

    Few answers leave few points. Points are removed, never added: only accepted ones were inspected. Human points and
    points with a decision stay as they are. The new file has no certificate: audit it anew.

    Examples:

        annotate recalibrate train_21.json --risk 0.05 --out train_21.recalibrated.json
    """
    from poseunion.annotate.audit.recalibration import recalibrate
    from poseunion.annotate.audit.sample import audit_path, read_audit
    from poseunion.annotate.review.decisions import read_extended, write_document
    from poseunion.models.errors import BadArgumentError
    from poseunion.models.files import refuse_existing

    path = audit or audit_path(file)
    if audit is None and not path.is_file():
        raise BadArgumentError(f"{file} has no sample: draw one with annotate audit {file}.")
    if out.resolve() == file.resolve():
        raise BadArgumentError(f"--out {out} is the audited file itself: choose another name.")
    refuse_existing(out, overwrite=overwrite)
    done = recalibrate(read_extended(file), read_audit(path), risk, _tolerance(tolerance))
    write_document(out, done.document)
    if as_json:
        print_json({"out": str(out), **done.to_json()})
        return
    lost = ", ".join(f"{name} {count}" for name, count in sorted(done.removed.items())) or "none"
    typer.echo(
        f"{out}: {done.inspected} answers, {done.errors} gross errors; {done.kept} points stay accepted, "
        f"{sum(done.removed.values())} no longer are ({lost}). Then: annotate audit {out}"
    )


def _tolerance(text: str | None) -> Tolerance | None:
    from poseunion.annotate.audit.tolerance import Tolerance

    return None if text is None else Tolerance.parse(text)


def _print(certificate: Certificate) -> None:
    from poseunion.models.tables import table

    heads = ("keypoint", "added\npoints", "inspected", "gross\nerrors", "at least", "at most", "more to\nthe target")
    *rows, total = (
        (
            *(name, str(b.points), str(b.inspected), str(b.errors)),
            *(f"{b.at_least:.1%}", f"{b.at_most:.1%}", "·" if b.more is None else str(b.more)),
        )
        for name, b in [*certificate.keypoints.items(), ("all", certificate.pooled)]
    )
    typer.echo("\n".join([*certificate.sentences, "", table(heads, rows, total), ""]))


def check_labels(records: AnnotationSet, images: Path, predictor: PosePredictor, options: Options) -> SelfCheck:
    """The self-check of `annotate extend`."""
    from poseunion.annotate.audit.self_check import self_check
    from poseunion.annotate.extend.acceptance import acceptance_rule

    rule = acceptance_rule(predictor, options.threshold, options.risk)
    with progress_bar("people of the self-check") as progress:
        return self_check(records, images, predictor, rule, progress=progress)
