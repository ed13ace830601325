"""`annotate release` and `next`: out as a dataset, and who is to be reviewed next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poseunion.annotate.cli.console import AlternativeOption, AuditQueueOption, FileArgument, JsonOption, print_json
from poseunion.annotate.cli.labelling_tools import audited, refuse_budget

app = typer.Typer()


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
    from poseunion.annotate.formats.point_states import states_table
    from poseunion.annotate.release import Request, release

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
    typer.echo(f"\n{states_table(done.states)}")


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

    refuse_budget(budget)
    annotations = read_extended(file)
    waiting = queue(annotations, alternatives=read_alternatives(alternative or (), annotations))
    progress = progress_sentence(review_progress(annotations, waiting))
    if audit:
        waiting = audited(annotations, waiting)
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
