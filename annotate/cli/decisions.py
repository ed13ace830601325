"""`annotate apply`: decisions become keypoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poseunion.annotate.cli.console import JsonOption, OverwriteOption, print_json

app = typer.Typer()
SHOWN = 10  # lines of a list before the rest is only counted


@app.command("apply")
def apply_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Extended file with decisions (COCO style).")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write here instead of into FILE, which keeps all decisions.")
    ] = None,
    earlier: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="OLD", help="First take over the decisions of this file: the same people extended before."
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Turn reviewers' decisions into keypoints.

    Accepted and corrected points stand, hidden ones with v=1, rejected ones become 0, 0, 0. Of several decisions on a
    point the last one counts, and all stay in `review`; where reviewers differ, the output has a list. Applying twice
    changes nothing more. A point that a human labelled is changed only by a decision that was made to do so.

    Examples:

        annotate apply train_21.json

        annotate apply train_21.json --out train_21.reviewed.json

        annotate apply extended_again.json --from train_21.json
    """
    from poseunion.annotate.formats.point_states import count_states, states_table
    from poseunion.annotate.review.apply import apply_file
    from poseunion.annotate.review.progress import progress_sentence, review_progress
    from poseunion.models.files import refuse_existing

    refuse_existing(out, overwrite=overwrite)
    if earlier is not None:
        _take_over(earlier, file)
    report, annotations = apply_file(file, out, overwrite=overwrite)
    if as_json:
        print_json(report.to_json())
        return
    typer.echo(
        f"{out or file}: {sum(report.decisions.values())} decisions on {report.people} people; "
        f"{len(report.changes)} points changed" + (f", {len(report.human)} of them a human's" if report.human else "")
    )
    _list("changed, a human's", [f"{c.annotation_id} {c.keypoint}: {c.before} -> {c.after}" for c in report.human])
    _list(
        "reviewers differ, the last one counts",
        [
            f"{c.annotation_id} {c.keypoint}: {', '.join(f'{who} {what}' for who, what in c.said.items())}"
            + ("" if c.distance_px is None else f" ({c.distance_px:g} px apart)")
            for c in report.conflicts
        ],
    )
    _list("cannot be used", [f"{name}: {reason}" for name, reason in report.bad])
    if not report.bad:
        typer.echo(f"\n{states_table(count_states(annotations))}\n\n{progress_sentence(review_progress(annotations))}")


def _take_over(earlier: Path, file: Path) -> None:
    from poseunion.annotate.review.decisions import decisions_of, read_extended, save

    recorded = save(file, decisions_of(read_extended(earlier)))
    typer.echo(f"{file}: {recorded.added} decisions taken over from {earlier}", err=True)
    _list("cannot be taken over", [f"{d.annotation_id}: {why}" for d, why in recorded.refused], err=True)


def _list(heading: str, lines: list[str], *, err: bool = False) -> None:
    if not lines:
        return
    typer.echo(f"  {heading}: {len(lines)}", err=err)
    for line in lines[:SHOWN]:
        typer.echo(f"    annotation {line}", err=err)
    if len(lines) > SHOWN:
        typer.echo(f"    … and {len(lines) - SHOWN} more" + ("" if err else ", all with --json"), err=err)
