"""`annotate cvat-export`, `cvat-import`, `label-studio-export`, `label-studio-import`: out to reviewers and back."""

from __future__ import annotations

import getpass
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poseunion.annotate.cli.console import AuditQueueOption, FileArgument, JsonOption, OverwriteOption, print_json
from poseunion.models.errors import BadArgumentError

if TYPE_CHECKING:
    from poseunion.annotate.formats import AnnotationSet
    from poseunion.annotate.review.priority import Person
    from poseunion.annotate.review.returned import Returned

app = typer.Typer()
TopOption = Annotated[int | None, typer.Option("--top", help="Only so many people, those first that need a look most.")]
AcceptUnmovedOption = Annotated[
    bool, typer.Option("--accept-unmoved", help="Accept the proposals that came back as they were.")
]


@app.command("cvat-export")
def cvat_export_command(
    file: FileArgument,
    out: Annotated[Path, typer.Option(metavar="FILE.zip", help="Zip for CVAT; its labels go beside it.")],
    top: TopOption = None,
    audit: AuditQueueOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Write people whose proposals wait for a look as skeletons for CVAT, where points can be moved.

    Make a CVAT project with the labels (tab "Raw"), a task with the pictures, and upload the zip as Datumaro 1.0.
    Export the task as Datumaro 1.0 (or CVAT for images 1.1, COCO Keypoints 1.0) and give that to annotate cvat-import.

    Examples:

        annotate cvat-export train_21.json --out slice.zip --top 100

        annotate cvat-export train_21.json --out sample.zip --audit
    """
    from poseunion.annotate.review.cvat import export_slice, labels_path

    if out.suffix.lower() != ".zip":
        raise BadArgumentError(f"--out {out} is no zip: CVAT takes Datumaro 1.0 as one.")
    annotations, rows = _people(file, out, top, audit=audit, overwrite=overwrite)
    people = export_slice(annotations, rows, out)
    typer.echo(f"{out}: {people} people; {labels_path(out)}: the project's labels. Keep the zip for cvat-import.")


@app.command("cvat-import")
def cvat_import_command(
    file: FileArgument,
    returned: Annotated[Path, typer.Argument(metavar="RETURNED", help="CVAT's export, zip or unpacked.")],
    exported: Annotated[Path, typer.Option(metavar="FILE.zip", help="What annotate cvat-export wrote.")],
    reviewer: Annotated[str | None, typer.Option(help="Name of the reviewer; default: your user name.")] = None,
    accept_unmoved: AcceptUnmovedOption = False,
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
    from poseunion.annotate.review.decisions import now, read_extended

    came = read_back(
        read_extended(file),
        exported,
        returned,
        reviewer or getpass.getuser(),
        now(),
        human=human,
        accept_unmoved=accept_unmoved,
    )
    _record(file, came, ": --human takes the change over", as_json=as_json)


@app.command("label-studio-export")
def label_studio_export_command(
    file: FileArgument,
    out: Annotated[
        Path, typer.Option(metavar="FILE.json", help="Tasks for Label Studio; the interface goes beside it.")
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of its pictures, as Label Studio's local storage: the tasks name them below DIR's parent.",
        ),
    ] = None,
    top: TopOption = None,
    audit: AuditQueueOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Write people whose proposals wait for a look as tasks with predictions for Label Studio.

    Start Label Studio with DIR's parent as LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT: it serves folders below its root,
    never the root. Make a project with the interface (Settings, Labeling Interface, Code), connect DIR as local
    storage, and import the json. Export the project as JSON and give that to annotate label-studio-import.

    Examples:

        annotate label-studio-export train_21.json --images train/ --out tasks.json --top 100
    """
    from poseunion.annotate.datasets import picture_folder
    from poseunion.annotate.review.label_studio import export_tasks, interface_path

    if out.suffix.lower() != ".json":
        raise BadArgumentError(f"--out {out} is no json: Label Studio takes tasks with predictions as one.")
    folder = "" if images is None else picture_folder(images).resolve().name
    annotations, rows = _people(file, out, top, audit=audit, overwrite=overwrite)
    people = export_tasks(annotations, rows, out, folder=folder)
    typer.echo(f"{out}: {people} people; {interface_path(out)}: the interface. Keep the json for label-studio-import.")


@app.command("label-studio-import")
def label_studio_import_command(
    file: FileArgument,
    returned: Annotated[Path, typer.Argument(metavar="RETURNED", help="Label Studio's export as JSON.")],
    exported: Annotated[Path, typer.Option(metavar="FILE.json", help="What annotate label-studio-export wrote.")],
    reviewer: Annotated[
        str | None, typer.Option(help="Name of the reviewer; default: what each annotation states.")
    ] = None,
    accept_unmoved: AcceptUnmovedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Record as decisions what was changed in Label Studio: moved is fix, deleted is reject, occluded is hide.

    A point's choice states accept, reject, needs-fix, or withdraw: the reviewer's last decision on it is cancelled. An
    unchanged proposal without a choice is no decision, unless --accept-unmoved. Then run annotate apply.

    Examples:

        annotate label-studio-import train_21.json project-3.json --exported tasks.json --reviewer ann
    """
    from poseunion.annotate.review.decisions import read_extended
    from poseunion.annotate.review.label_studio import read_back

    came = read_back(read_extended(file), exported, returned, reviewer, accept_unmoved=accept_unmoved)
    _record(file, came, as_json=as_json)


def _people(file: Path, out: Path, top: int | None, *, audit: bool, overwrite: bool) -> tuple[AnnotationSet, list[int]]:
    """The file and the rows of the people that are written to `out`."""
    from poseunion.annotate.review.decisions import read_extended
    from poseunion.annotate.review.priority import queue
    from poseunion.models.files import refuse_existing

    if top is not None:
        refuse_budget(top, "--top")
    refuse_existing(out, overwrite=overwrite)
    annotations = read_extended(file)
    waiting = queue(annotations)
    if audit:
        waiting = audited(annotations, waiting)
    rows = [person.row for person in waiting[:top]]
    if not rows:
        raise BadArgumentError(f"No proposal in {file} waits for a look.")
    return annotations, rows


def _record(file: Path, came: Returned, hint: str = "", *, as_json: bool) -> None:
    """Record decisions that came back, and print them; `hint` is added where a human point was changed."""
    from poseunion.annotate.review.decisions import save

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
        typer.echo(f"  annotation {name}: {keypoint} is a human's and was changed; it stays{hint}")
    for name, reason in came.lost:
        typer.echo(f"  annotation {name}: {reason}")
    for decision, reason in recorded.refused:
        typer.echo(f"  annotation {decision.annotation_id}: {reason}")


def refuse_budget(budget: int, option: str = "--budget") -> None:
    """Raise BadArgumentError for a budget without people."""
    if budget < 1:
        raise BadArgumentError(f"{option} {budget} leaves no person to review: give at least 1.")


def audited(annotations: AnnotationSet, people: list[Person]) -> list[Person]:
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
