"""`poseunion pack`: a training set that travels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from poseunion.models.errors import MissingExtraError

# Of people who could not be cut out; all are in the index.
MOST_LISTED = 10

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def pack(
    recipe: Annotated[str, typer.Argument(help="Recipe to train: its skeleton and data sets.")],
    data: Annotated[Path, typer.Option(help="Data file (YAML): datasets and teachers.")],
    out: Annotated[Path, typer.Option(help="Folder of the packed set.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the recipe.")] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of the WebP crops; 100 is lossless.")] = 65,
    height_px: Annotated[int, typer.Option(min=16, help="Height of a person's box in the crops, at most.")] = 192,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a packed set in --out.")] = False,
) -> None:
    """Pack a training set as shards of person crops, labels and teachers' peaks.

    The folder is all that another machine needs to train: no pictures, no annotation files, no teachers. Name it in a
    data file as `datasets: [{packed: FOLDER}]`. A run that was stopped goes on when it is started again.

    Examples:

        poseunion pack unified --data data.yaml --out packed

        poseunion pack unified --data data.yaml --out lossless --quality 100 --height-px 256
    """
    try:
        from poseunion.training.pack import pack as write_packed
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    from poseunion.training.config.recipes import find_recipe
    from poseunion.training.data.arrays import cache_folder
    from poseunion.training.data.data_file import read_data_file

    console = Console(stderr=True)
    index = write_packed(
        read_data_file(data),
        find_recipe(recipe, overrides or []),
        out,
        cache_folder(),
        quality=quality,
        height_px=height_px,
        overwrite=overwrite,
    )
    for dataset in index.datasets:
        people = sum(shard.people for shard in dataset.shards)
        size = sum(shard.size_bytes for shard in dataset.shards)
        everyone = people + len(dataset.skipped) + sum(dataset.left_out.values())
        console.print(
            f"{dataset.name}: {people} of {everyone} people, {size / 1e6:.1f} MB, {size / people / 1e3:.1f} kB a person"
        )
        for reason, count in dataset.left_out.items():
            console.print(f"  {count} not packed: {reason}", markup=False)
        for picture, reason in dataset.skipped[:MOST_LISTED]:
            console.print(f"  not packed: {picture}: {reason}", markup=False)
        if len(dataset.skipped) > MOST_LISTED:
            console.print(f"  and {len(dataset.skipped) - MOST_LISTED} more, all listed in {out / 'index.json'}")
    console.print(f"Packed set: {out}")
