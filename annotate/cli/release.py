"""`annotate release`, `next`, `cvat-export`, `cvat-import`: out to reviewers, back, and out as a dataset."""

from __future__ import annotations

import getpass
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poseunion.annotate.cli.console import AlternativeOption, JsonOption, print_json
from poseunion.models.errors import BadArgumentError, BadFileError

if TYPE_CHECKING:
    from poseunion.annotate.formats import AnnotationSet
    from poseunion.annotate.review.priority import Person

app = typer.Typer()
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Extended file (COCO style).")]
AuditQueueOption = Annotated[
    bool, typer.Option("--audit", help="Only the sample of annotate audit, in the order it was drawn.")
]


@app.command("release")
def release_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Extended file, decisions applied.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="Folder of its pictures; they are not copied.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to be made; its name is the dataset's.")],
    original: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File it was made from; default: the one in FILE.run.json.")
    ] = None,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="coco (always written), mpii, yolo; may be repeated.")
    ] = None,
    corrections: Annotated[
        bool, typer.Option("--corrections", help="Release human points that reviewers corrected on purpose.")
    ] = False,
    quality: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Output of poseunion evaluate --json, for the card.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the annotations, for the card.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a dataset of a reviewed file: annotations, card, plots, and the proof that nothing human changed.

    Every human number and every other value of the original is compared with what is written; if one differs, nothing
    is written and the exit code is 2. The folder appears whole or not at all.

    Examples:

        annotate release train_21.json --images train/ --out releases/train-21

        annotate release mpii_21.json --images images/ --out mpii-21 --format mpii --format yolo --original mpii.json
    """
    from poseunion.annotate.formats.point_states import count_states, states_table
    from poseunion.annotate.release import Request, release
    from poseunion.annotate.review.decisions import read_extended

    request = Request(
        file, images, out, original, tuple(formats or ("coco",)), corrections, quality, licence, overwrite
    )
    done = release(request)
    if as_json:
        print_json({"out": str(out), **done.to_json()})
        return
    proof = done.proof
    typer.echo(f"{out}: {', '.join(done.files)}")
    typer.echo(
        f"  {proof.identical} of {proof.human_points} human points the same to the digit"
        + (f", {len(proof.corrected)} corrected by reviewers" if proof.corrected else "")
        + f"; {proof.fields} other values the same"
    )
    if done.missing:
        typer.echo(f"  pictures missing: {len(done.missing)} (first: {done.missing[0]})")
    if done.left_out:
        typer.echo(f"  left out of mpii.json, because they have no box: {done.left_out}")
    typer.echo(f"\n{states_table(count_states(read_extended(out / 'annotations.json')))}")


@app.command("next")
def next_command(
    file: FileArgument,
    budget: Annotated[int, typer.Option(help="How many people can be looked at.")] = 20,
    alternative: AlternativeOption = None,
    audit: AuditQueueOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the people to review next, by expected correction gain.

    Examples:

        annotate next train_21.json --budget 50

        annotate next train_21.json --audit
    """
    from poseunion.annotate.review.decisions import read_extended
    from poseunion.annotate.review.priority import queue, read_alternatives
    from poseunion.annotate.review.progress import progress_sentence, review_progress

    _refuse_budget(budget)
    annotations = read_extended(file)
    waiting = queue(annotations, alternatives=read_alternatives(alternative or (), annotations))
    progress = progress_sentence(review_progress(annotations, waiting))
    if audit:
        waiting = _audited(annotations, waiting)
    rows = []
    for person in waiting[:budget]:
        order = sorted(person.candidates, key=lambda c: -c.gain)
        image = annotations.images[int(annotations.image_index[person.row])]
        rows.append(
            {
                "annotation": annotations.records[person.row]["id"],
                "image": image.file_name,
                "gain": round(person.gain, 4),
                "keypoints": [c.keypoint for c in order],
            }
        )
    total, share = sum(p.gain for p in waiting), sum(p.gain for p in waiting[:budget])
    if as_json:
        print_json({"waiting": len(waiting), "expected_changes": share, "of": total, "people": rows})
        return
    for row in rows:
        typer.echo(
            f"annotation {row['annotation']}  {row['image']}  {row['gain']:.2f}  {', '.join(row['keypoints'][:4])}"
        )
    percent = 100 * share / total if total else 0.0
    typer.echo(f"{len(rows)} of {len(waiting)} people that wait for a look: {percent:.0f} % of the expected changes.")
    typer.echo(progress)


@app.command("cvat-export")
def cvat_export_command(
    file: FileArgument,
    out: Annotated[Path, typer.Option(metavar="FILE.zip", help="Zip for CVAT; its labels go beside it.")],
    top: Annotated[int | None, typer.Option(help="Only so many people, those first that need a look most.")] = None,
    audit: AuditQueueOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it is there.")] = False,
) -> None:
    """Write people whose proposals wait for a look as skeletons for CVAT, where points can be moved.

    Make a CVAT project with the labels (tab "Raw"), a task with the pictures, and upload the zip as Datumaro 1.0.
    Export the task as Datumaro 1.0 and give that to annotate cvat-import.

    Examples:

        annotate cvat-export train_21.json --out slice.zip --top 100

        annotate cvat-export train_21.json --out sample.zip --audit
    """
    from poseunion.annotate.review.cvat import export_slice, labels_path
    from poseunion.annotate.review.decisions import read_extended
    from poseunion.annotate.review.priority import queue

    if top is not None:
        _refuse_budget(top, "--top")
    if out.suffix.lower() != ".zip":
        raise BadArgumentError(f"--out {out} is no zip: CVAT takes Datumaro 1.0 as one.")
    if out.exists() and not overwrite:
        raise BadFileError(f"{out} exists: choose another --out, or replace it with --overwrite.")
    annotations = read_extended(file)
    people_waiting = queue(annotations)
    if audit:
        people_waiting = _audited(annotations, people_waiting)
    rows = [person.row for person in people_waiting[:top]]
    if not rows:
        raise BadArgumentError(f"No proposal in {file} waits for a look.")
    people = export_slice(annotations, rows, out)
    typer.echo(f"{out}: {people} people; {labels_path(out)}: the project's labels. Keep the zip for cvat-import.")


@app.command("cvat-import")
def cvat_import_command(
    file: FileArgument,
    returned: Annotated[Path, typer.Argument(metavar="RETURNED", help="CVAT's export as Datumaro 1.0 (zip or json).")],
    exported: Annotated[Path, typer.Option(metavar="FILE.zip", help="What annotate cvat-export wrote.")],
    reviewer: Annotated[str | None, typer.Option(help="Name of the reviewer; default: your user name.")] = None,
    accept_unmoved: Annotated[
        bool, typer.Option("--accept-unmoved", help="Accept the proposals that came back as they were.")
    ] = False,
    human: Annotated[
        bool, typer.Option("--human", help="Take over changes of points that a human had labelled, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Record as decisions what was changed in CVAT: moved is fix, deleted or outside is reject, occluded is hide.

    An unchanged proposal is no decision, unless --accept-unmoved. Then run annotate apply.

    Examples:

        annotate cvat-import train_21.json task_7.zip --exported slice.zip --reviewer ann
    """
    from poseunion.annotate.review.cvat import read_back
    from poseunion.annotate.review.decisions import now, read_extended, save

    came = read_back(
        read_extended(file),
        exported,
        returned,
        reviewer or getpass.getuser(),
        now(),
        human=human,
        accept_unmoved=accept_unmoved,
    )
    recorded = save(file, came.decisions)
    if as_json:
        print_json(
            {
                "people": came.people,
                "decisions": recorded.added,
                "unmoved": came.unmoved,
                "human": came.human,
                "lost": came.lost,
                "refused": [(d.annotation_id, d.keypoint, why) for d, why in recorded.refused],
            }
        )
        return
    typer.echo(
        f"{file}: {came.people} people, {recorded.added} decisions, {came.unmoved} proposals came back as they were"
    )
    for name, keypoint in came.human:
        typer.echo(f"  annotation {name}: {keypoint} is a human's and was changed; --human takes that over")
    for name, reason in came.lost:
        typer.echo(f"  annotation {name}: {reason}")
    for decision, reason in recorded.refused:
        typer.echo(f"  annotation {decision.annotation_id}: {reason}")


def _refuse_budget(budget: int, option: str = "--budget") -> None:
    if budget < 1:
        raise BadArgumentError(f"{option} {budget} leaves no person to review: give at least 1.")


def _audited(annotations: AnnotationSet, people: list[Person]) -> list[Person]:
    """The people of the audit's sample, each with only the drawn points that wait for a decision."""
    from poseunion.annotate.audit.sample import audit_queue

    places = audit_queue(annotations)
    if not places:
        raise BadArgumentError(f"No drawn point of {annotations.source.path} waits: draw some with annotate audit.")
    person_of = {person.row: person for person in people}
    drawn = set(places)
    return [
        replace(person_of[row], candidates=tuple(c for c in person_of[row].candidates if (row, c.keypoint) in drawn))
        for row in dict.fromkeys(row for row, _ in places)
        if row in person_of
    ]
