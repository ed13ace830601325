"""`poseunion train`, `train-detector`, `pack`, `average`, `pair`; `evaluate` and the fits have modules of their own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from poseunion.models.errors import BadArgumentError, MissingExtraError
from poseunion.training.cli import evaluate as cli_evaluate
from poseunion.training.cli import fit as cli_fit

# Of people whose crop failed when packing; all are in the index.
MOST_LISTED = 10
RECIPE_FILE = "recipe.json"  # of a run's folder

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, help="Train and evaluate models."
)


@app.command(
    epilog="Examples:  poseunion train --list  ·  "
    "poseunion train unified --data data.yaml --out runs/unified minutes=60  ·  "
    "poseunion train unified --data data.yaml --out runs/unified --resume  ·  "
    "poseunion train unified --data data.yaml --out runs/longer --init unified",
)
def train(
    recipe: Annotated[str | None, typer.Argument(help="Name of a recipe.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the recipe.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data file (YAML): datasets and teachers.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Start weights: a shipped model or an earlier run's file; else the recipe's own.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out.")] = False,
    devices: Annotated[int, typer.Option(min=1, help="Processes or GPUs of each node.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; start the same command on each.")] = 1,
    list_recipes: Annotated[bool, typer.Option("--list", help="List the recipes.")] = False,
) -> None:
    """Train a student from a recipe."""
    from poseunion.models.files import write_json
    from poseunion.models.zoo import weights_path
    from poseunion.training.config.overrides import changed, differences
    from poseunion.training.config.recipes import RECIPES, find_recipe

    if list_recipes:
        for name, make in sorted(RECIPES.items()):
            print(f"{name}: {(make.__doc__ or '').strip().splitlines()[0]}")
        return
    if recipe is None or data is None or out is None:
        raise BadArgumentError("train needs a RECIPE, --data FILE and --out DIR (or --list to see the recipes).")
    config = find_recipe(recipe, overrides or [])
    try:
        import torch

        from poseunion.training.loop.prepare import has_teachers, prepare
        from poseunion.training.loop.stages import initial_state, origin_of
        from poseunion.training.loop.train import check_nodes, check_out, fit
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    from rich.console import Console

    from poseunion.training.data.arrays import cache_folder
    from poseunion.training.data.data_file import read_data_file

    console = Console(stderr=True)
    if devices > 1:
        torch.set_num_threads(1)
    listed = read_data_file(data)
    if config.distillation.alpha < 1 and not has_teachers(listed):
        config = changed(config, alpha=1.0)
        console.print(f"{data} names no teachers: {recipe} is trained on labels alone (alpha=1).", soft_wrap=True)
    check_nodes(nodes)
    # A run that was stopped before its first checkpoint starts again from its start weights.
    begin = "" if check_out(out, resume=resume).exists() else init or config.student.start
    start = initial_state(config, weights_path(begin)) if begin else None
    origin = origin_of(weights_path(begin)) if begin else None
    prepared = prepare(listed, config, cache_folder())
    stores = prepared.train
    if config.schedule.epochs:
        people = sum(len(labelled.rows) for labelled in stores)
        steps = round(config.schedule.epochs * people / config.stages[-1].batch_size)
        config = changed(config, steps=max(1, steps))
    for labelled in stores:
        console.print(labelled.summary(), soft_wrap=True)
    write_json(out / RECIPE_FILE, dataclasses.asdict(config), indent=1)
    changes = differences(config, find_recipe(recipe, []))
    console.print(f"{recipe}: {', '.join(changes) or 'as it is'}; whole: {out / RECIPE_FILE}", soft_wrap=True)
    schedule, sizes = config.schedule, ", ".join("x".join(map(str, stage.size_wh)) for stage in config.stages)
    budget = f"{schedule.minutes:g} minutes" if schedule.minutes else f"{schedule.steps} steps"
    console.print(f"{budget} of {config.stages[-1].batch_size} people, {sizes} px; output: {out}", soft_wrap=True)
    weights = fit(config, prepared, out, init=start, origin=origin, resume=resume, devices=devices, nodes=nodes)
    console.print(f"Weights: {weights}")


@app.command(
    epilog="Examples:  poseunion train-detector --data people.yaml --out runs/person minutes=60  ·  "
    "poseunion train-detector --data people.yaml --out runs/person --resume minutes=60  ·  "
    "poseunion train-detector --data people.yaml --out runs/small side=320 --init start.safetensors",
)
def train_detector(
    data: Annotated[Path, typer.Option(help="Data file (YAML): pictures with boxes, and detectors as teachers.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the recipe.")] = None,
    init: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE", help="Start: a shipped detector, or weights (those of `poseunion convert` too)."
        ),
    ] = "person",
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out.")] = False,
) -> None:
    """Train a person detector on pictures with boxes.

    The data file is that of `poseunion train`. Its teachers are detectors here: they add boxes of people that have
    none. Pictures without people, and data sets of kind boxes, can be used.
    """
    try:
        from poseunion.training.detector.loop import fit_detector
        from poseunion.training.detector.prepare import prepare_pictures, starting_network
        from poseunion.training.loop.train import check_out
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    from rich.console import Console

    from poseunion.training.config.overrides import with_overrides
    from poseunion.training.data.arrays import cache_folder
    from poseunion.training.data.data_file import read_data_file
    from poseunion.training.detector.recipe import DetectorRecipe

    console = Console(stderr=True)
    recipe = with_overrides(DetectorRecipe(), overrides or [])
    listed = read_data_file(data)
    check_out(out, resume=resume)
    start, origin = starting_network(init)
    train, held_out = prepare_pictures(listed, cache_folder())
    for part in train:
        people = int((~part.store.ignored).sum())
        console.print(
            f"{part.store.dataset}: {len(part.rows)} pictures to train on; of all {len(part.store)}: {people} people, "
            f"{people - int(part.store.labelled.sum())} detected, {int(part.store.ignored.sum())} boxes in doubt, "
            f"{len(part.store.skipped)} skipped"
        )
    console.print(recipe)
    weights = fit_detector(recipe, train, held_out, start, out, origin=origin, resume=resume)
    console.print(f"Weights: {weights}")


@app.command(
    epilog="Examples:  poseunion pack unified --data data.yaml --out packed  ·  "
    "poseunion pack unified --data data.yaml --out lossless --quality 100 --height-px 256",
)
def pack(
    recipe: Annotated[str, typer.Argument(help="Recipe to train: its skeleton and data sets are packed.")],
    data: Annotated[Path, typer.Option(help="Data file (YAML): datasets and teachers.")],
    out: Annotated[Path, typer.Option(help="Folder of the packed set.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the recipe.")] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of the WebP crops; 100 is lossless.")] = 65,
    height_px: Annotated[int, typer.Option(min=16, help="Height of a person's box in the crops, at most.")] = 192,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a packed set in --out.")] = False,
) -> None:
    """Pack a training set as shards of person crops, labels and teachers' peaks.

    Another machine needs only this folder to train: no pictures, no annotation files, no teachers. Name it in a data
    file as `datasets: [{packed: FOLDER}]`. A stopped run goes on when it is started again.
    """
    try:
        from poseunion.training.pack import pack as write_packed
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    from rich.console import Console

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


@app.command(
    epilog="Examples:  poseunion average runs/first/weights.safetensors runs/second/weights.safetensors "
    "--out mean.safetensors"
    "  ·  poseunion average first.safetensors second.safetensors --share 1 --share 3 --out mean.safetensors",
)
def average(
    weights: Annotated[list[str], typer.Argument(help="Weights of two runs or more: files, or shipped models.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The mean, a .safetensors file.")],
    share: Annotated[
        list[float] | None, typer.Option(help="Weight of each file in the mean, in the same order; else equal.")
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(help="Average only this part, backbone for example; the rest is the first file's."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Average the weights of several runs from one start: often better than each of them."""
    try:
        from poseunion.training.loop.average import average as write_mean
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    from poseunion.models.zoo import weights_path

    write_mean([weights_path(one) for one in weights], out, share or [], parts=part or [], overwrite=overwrite)
    typer.echo(f"Weights: {out}", err=True)


@app.command(
    epilog="Example:  poseunion pair runs/one/weights.safetensors runs/two/weights.safetensors --out pair.safetensors"
)
def pair(
    weights: Annotated[tuple[str, str], typer.Argument(help="Weights of two lite-hrnet students: files, or shipped.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The pair, a .safetensors file.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Put two students side by side in one network: the mean of their predictions, for twice the time.

    They should differ by more than the seed: by the public network that they began as, for example. Training can go on
    from the pair (network=lite-hrnet-pair), `poseunion export` writes it as one ONNX file.
    """
    try:
        from poseunion.training.loop.pair import pair as write_pair
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    from poseunion.models.zoo import weights_path

    write_pair(weights_path(weights[0]), weights_path(weights[1]), out, overwrite=overwrite)
    typer.echo(f"Weights: {out}", err=True)


app.command(epilog=cli_evaluate.EXAMPLES)(cli_evaluate.evaluate)
app.command(epilog=cli_fit.CALIBRATE_EXAMPLES)(cli_fit.calibrate)
app.command("fit-prior", epilog=cli_fit.PRIOR_EXAMPLES)(cli_fit.fit_prior)
app.command("fit-evidence", epilog=cli_fit.EVIDENCE_EXAMPLES)(cli_fit.fit_evidence)
