"""`annotate apply`: decisions become keypoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from poseunion.annotate.console import print_json

app = typer.Typer()
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output instead of text.")]
SHOWN = 10  # lines of a list before the rest is only counted


@app.command("apply")
def apply_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Extended file with decisions (COCO style).")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write here instead of into FILE, which keeps all decisions.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Turn reviewers' decisions into keypoints.

    Accepted and corrected points stand, hidden ones with v=1, rejected ones become 0, 0, 0. Of several decisions on a
    point the last one counts, and all stay in `review`; where reviewers differ, it says so. Applying twice changes
    nothing more. A point that a human labelled is changed only by a decision that was made to do so.

    Examples:

        annotate apply train_21.json

        annotate apply train_21.json --out train_21.reviewed.json
    """
    from poseunion.annotate.apply import apply

    report = apply(file, out, overwrite=overwrite)
    if as_json:
        print_json(report.to_json())
        return
    decisions = ", ".join(f"{count} {name}" for name, count in sorted(report.decisions.items())) or "none"
    typer.echo(
        f"{out or file}: decisions on {report.people} people ({decisions}); {len(report.changes)} points changed"
        + (f", {len(report.human)} of them a human's" if report.human else "")
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


def _list(heading: str, lines: list[str]) -> None:
    if not lines:
        return
    typer.echo(f"  {heading}: {len(lines)}")
    for line in lines[:SHOWN]:
        typer.echo(f"    annotation {line}")
    if len(lines) > SHOWN:
        typer.echo(f"    … and {len(lines) - SHOWN} more, all with --json")
