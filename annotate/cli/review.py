"""`annotate review` and `annotate pull`: look at proposals in FiftyOne, and take the decisions back."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from poseunion.annotate.cli.console import AlternativeOption, JsonOption, print_json
from poseunion.models.errors import BadArgumentError
from poseunion.models.progress import progress_bar

app = typer.Typer()
ReviewedFile = Annotated[Path, typer.Argument(metavar="FILE", help="Extended file, as annotate extend writes it.")]


def _install_plugin(wanted: bool) -> None:
    if wanted:
        from poseunion.annotate.fiftyone_plugin.install import install

        for name, place in install().items():
            typer.echo(f"{name}: {place}")
        raise typer.Exit


@app.command("review")
def review_command(
    file: ReviewedFile,
    images: Annotated[Path, typer.Option(metavar="DIR", help="Folder of its pictures.")],
    top: Annotated[int, typer.Option(help="So many people, those first where a look changes most.")] = 200,
    audit: Annotated[
        int,
        typer.Option(
            help="Also so many accepted proposals drawn by lot, or all that annotate audit drew: view `audit sample`."
        ),
    ] = 50,
    alternative: AlternativeOption = None,
    again: Annotated[bool, typer.Option("--again", help="Also proposals that are already decided.")] = False,
    port: Annotated[
        int | None, typer.Option(help="Port of the App on 127.0.0.1; default: the first free from 5151 on.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the App in this machine's browser.")] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew although tags of the last review are not pulled yet.")
    ] = False,
    install_plugin: Annotated[
        bool,
        typer.Option(
            "--install-plugin",
            is_eager=True,
            callback=_install_plugin,
            help="Only put the plugin @poseunion/complete and the zoo model into your own FiftyOne, and end.",
        ),
    ] = False,
) -> None:
    """Show the people most in need of a look in FiftyOne's App, worst first; Ctrl-C ends it.

    Tag a proposal accept, reject or needs-fix; saved views ask one question each. Then run annotate pull. The App
    listens on 127.0.0.1 only; its database and the people's cut-outs lie in FILE.review. Tags that were not pulled
    are kept: the review then goes on where it was. Needs the extra `review`.

    Examples:

        annotate review train_21.json --images train/

        annotate review train_21.json --images train/ --top 50 --no-browser --port 5200

        annotate review train_21.json --images train/ --alternative teacher_21.json

        annotate review --install-plugin

    On a server: --no-browser there, and ssh -L 5151:127.0.0.1:5151 SERVER here.
    """
    import webbrowser

    from poseunion.annotate.audit.sample import audit_queue
    from poseunion.annotate.datasets import picture_folder
    from poseunion.annotate.review.decisions import read_extended
    from poseunion.annotate.review.fiftyone import database, server
    from poseunion.annotate.review.fiftyone.dataset import build, existing
    from poseunion.annotate.review.fiftyone.pull import unpulled
    from poseunion.annotate.review.fiftyone.slice import choose
    from poseunion.annotate.review.priority import read_alternatives
    from poseunion.annotate.review.progress import progress_sentence, review_progress

    annotations = read_extended(file)
    alternatives = read_alternatives(alternative or (), annotations)
    picture_folder(images)
    folder = database.folder_of(file)
    with database.alone(folder), server.listen(port) as bound:
        fo = database.load(folder)
        last = existing(fo)
        held = 0 if last is None else unpulled(last)
        if held and not overwrite:
            typer.echo(f"Going on with the last review: {held} tags of it are not pulled yet.", err=True)
        else:
            drawn = audit_queue(annotations)
            chosen = choose(annotations, top=top, audit=audit, decided=again, alternatives=alternatives, drawn=drawn)
            with progress_bar("people") as progress:
                built = build(fo, annotations, chosen, images, folder / "pictures", progress)
            for place, reason in built.bad:
                typer.echo(f"skipped {place}: {reason}", err=True)
            if not built.people:
                raise BadArgumentError(f"None of the pictures can be used: is {images} the right folder?")
            typer.echo(f"{built.people} people with {built.proposals} proposals; {chosen.left} people wait after them.")
            typer.echo(progress_sentence(review_progress(annotations, chosen.queue)))
        url = f"http://{server.ADDRESS}:{bound.getsockname()[1]}/datasets/{database.DATASET}"
        typer.echo(f"{url}  (Ctrl-C ends; then: annotate pull {file})")
        if browser:
            webbrowser.open(url)
        server.serve(bound)


@app.command("pull")
def pull_command(
    file: ReviewedFile,
    reviewer: Annotated[str | None, typer.Option(help="Name of the reviewer; default: this system's user.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Record the tags of annotate review in FILE as decisions, with reviewer and time; earlier ones stay.

    The review may still be open. Points that need a fix wait to be moved.

    Examples:

        annotate pull train_21.json

        annotate pull train_21.json --reviewer ann
    """
    from poseunion.annotate.formats.point_states import UNDECIDED
    from poseunion.annotate.review.decisions import read_extended
    from poseunion.annotate.review.fiftyone import database
    from poseunion.annotate.review.fiftyone.dataset import existing
    from poseunion.annotate.review.fiftyone.pull import pull
    from poseunion.annotate.review.priority import waiting
    from poseunion.annotate.review.progress import progress_sentence, review_progress

    read_extended(file)
    folder = database.folder_of(file)
    dataset = existing(database.load(folder)) if folder.is_dir() else None
    if dataset is None:
        raise BadArgumentError(f"{file} has no review: start one with annotate review {file} --images DIR.")
    pulled = pull(dataset, file, reviewer or getpass.getuser())
    annotations = read_extended(file)
    to_fix = len(waiting(annotations))
    if as_json:
        refused = [{"annotation": a, "keypoint": k, "reason": why} for a, k, why in pulled.refused]
        taken_back = [{"annotation": a, "keypoint": k} for a, k in pulled.taken_back]
        print_json(
            {
                "file": str(file),
                "recorded": pulled.decisions,
                "known": pulled.known,
                "open": pulled.open,
                "refused": refused,
                "taken_back": taken_back,
                "people_tagged": pulled.people_tagged,
                "to_fix": to_fix,
            }
        )
        return
    for annotation, keypoint, why in pulled.refused:
        typer.echo(f"not recorded: {keypoint} of annotation {annotation}: {why}", err=True)
    for annotation, keypoint in pulled.taken_back:
        typer.echo(
            f"{keypoint} of annotation {annotation} lost its tag; its decision stays: tag anew to change it", err=True
        )
    if pulled.people_tagged:
        typer.echo(f"{pulled.people_tagged} people are tagged themselves, which is no decision: tag labels.", err=True)
    new = sum(pulled.decisions.values())
    typer.echo(
        f"{new + pulled.known + pulled.open + len(pulled.refused)} proposals in the review: {new} decided now, "
        f"{pulled.known} before, {len(pulled.refused)} not recorded, {pulled.open} {UNDECIDED}"
    )
    typer.echo(f"{file}: {progress_sentence(review_progress(annotations))}")
