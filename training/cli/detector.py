"""`poseunion train-detector`: a person detector of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from poseunion.models.errors import MissingExtraError

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def train_detector(
    data: Annotated[Path, typer.Option(help="Data file (YAML): pictures with boxes, and detectors that fill in.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the recipe.")] = None,
    init: Annotated[
        str,
        typer.Option(
            metavar="imagenet|none|FILE", help="Start: ImageNet's efficientnet_lite0, or weights of unified_imagenet."
        ),
    ] = "imagenet",
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out.")] = False,
) -> None:
    """Train a person detector on pictures with boxes.

    The data file is that of `poseunion train`. Its teachers are detectors here: they add boxes of people that have
    none. Pictures without people, and data sets of kind boxes, are welcome.

    Examples:

        poseunion train-detector --data people.yaml --out runs/person minutes=60

        poseunion train-detector --data people.yaml --out runs/person --resume minutes=60

        poseunion train-detector --data people.yaml --out runs/fine side=416 steps=20000 --init none
    """
    try:
        from poseunion.training.detector.loop import fit_detector
        from poseunion.training.detector.prepare import prepare_pictures, starting_network
        from poseunion.training.loop.train import check_out
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    from poseunion.training.config.overrides import with_overrides
    from poseunion.training.data.arrays import cache_folder
    from poseunion.training.data.data_file import read_data_file
    from poseunion.training.detector.recipe import DetectorRecipe

    console = Console(stderr=True)
    recipe = with_overrides(DetectorRecipe(), overrides or [])
    listed = read_data_file(data)
    check_out(out, resume=resume)
    start = starting_network(init, recipe.seed)
    train, held_out = prepare_pictures(listed, cache_folder())
    for part in train:
        people = int((~part.store.ignored).sum())
        console.print(
            f"{part.store.dataset}: {len(part.rows)} pictures to train on; of all {len(part.store)}: {people} people, "
            f"{people - int(part.store.labelled.sum())} filled in, {int(part.store.ignored.sum())} in doubt, "
            f"{len(part.store.skipped)} skipped"
        )
    console.print(recipe)
    weights = fit_detector(recipe, train, held_out, start, out, resume=resume)
    console.print(f"Weights: {weights}")
