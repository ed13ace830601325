"""`poseunion train`, `average`, `evaluate`, `calibrate`, `fit-prior` and `fit-evidence`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from poseunion.models.errors import BadArgumentError, MissingExtraError
from poseunion.training.cli import calibrate as cli_calibrate
from poseunion.training.cli import conditioning as cli_evidence
from poseunion.training.cli import evaluate as cli_evaluate

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Train and evaluate students.")


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
            help="Weights to start from, a shipped model or an earlier run's file; else the recipe's own start.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out.")] = False,
    devices: Annotated[int, typer.Option(min=1, help="Processes or GPUs of each node.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; start the same command on each.")] = 1,
    list_recipes: Annotated[bool, typer.Option("--list", help="Print the recipes.")] = False,
) -> None:
    """Train a student from a recipe."""
    from poseunion.models.zoo import weights_path
    from poseunion.training.config.overrides import changed
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

        from poseunion.training.loop.prepare import prepare
        from poseunion.training.loop.stages import initial_state, origin_of
        from poseunion.training.loop.train import check_nodes, check_out, fit
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    from poseunion.training.data.arrays import cache_folder
    from poseunion.training.data.data_file import read_data_file

    console = Console(stderr=True)
    if devices > 1:
        torch.set_num_threads(1)
    listed = read_data_file(data)
    check_nodes(nodes)
    # A run that was stopped before its first checkpoint begins anew, from its start.
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
        pseudo = int(((labelled.weight > 0) & (labelled.weight < 1)).sum())
        console.print(
            f"{labelled.store.dataset}: {len(labelled.rows)} people, {int((labelled.weight == 1).sum())} labels, "
            f"{pseudo} pseudo-labels, {len(labelled.store.skipped)} skipped"
            + (f", left and right exchanged on {labelled.exchanged} people" if labelled.exchanged else "")
        )
    console.print(dataclasses.asdict(config))
    weights = fit(config, prepared, out, init=start, origin=origin, resume=resume, devices=devices, nodes=nodes)
    console.print(f"Weights: {weights}")


@app.command(
    epilog="Examples:  poseunion average runs/first/weights.safetensors runs/second/weights.safetensors "
    "--out mean.safetensors"
    "  ·  poseunion average first.safetensors second.safetensors --share 1 --share 3 --out mean.safetensors",
)
def average(
    weights: Annotated[list[str], typer.Argument(help="Weights of two runs or more: files, or shipped models.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The mean, a .safetensors file.")],
    share: Annotated[
        list[float] | None, typer.Option(help="How much a file counts, once each; else all the same.")
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option(help="Average this part alone, backbone for example; the rest is the first's.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write the mean of weights that runs from one start ended at: often better than each of them."""
    try:
        from poseunion.training.loop.average import average as write_mean
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    from poseunion.models.zoo import weights_path

    write_mean([weights_path(one) for one in weights], out, share or [], parts=part or [], overwrite=overwrite)
    Console(stderr=True).print(f"Weights: {out}")


app.command(epilog=cli_evaluate.EXAMPLES)(cli_evaluate.evaluate)
app.command(epilog=cli_calibrate.EXAMPLES)(cli_calibrate.calibrate)
app.command("fit-prior", epilog=cli_evidence.PRIOR_EXAMPLES)(cli_evidence.fit_prior)
app.command("fit-evidence", epilog=cli_evidence.EVIDENCE_EXAMPLES)(cli_evidence.fit_evidence)
