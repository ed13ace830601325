"""`poseunion train` and `poseunion evaluate`."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from poseunion.models.errors import BadArgumentError, MissingExtraError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Train and evaluate students.")


@app.command(
    epilog="Examples:  poseunion train --list  ·  "
    "poseunion train unified --data data.yaml --out runs/unified minutes=60  ·  "
    "poseunion train unified --data data.yaml --out runs/unified --resume",
)
def train(
    recipe: Annotated[str | None, typer.Argument(help="Name of a recipe.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value changes of the recipe.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data file (YAML): datasets and teachers.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out.")] = False,
    devices: Annotated[int, typer.Option(help="Processes or GPUs.")] = 1,
    list_recipes: Annotated[bool, typer.Option("--list", help="Print the recipes.")] = False,
) -> None:
    """Train a student from a recipe."""
    # Read when torch first allocates. Without it a training step at 192x256 on a CPU spends a third of its time in the
    # kernel, which hands out and takes back the activations in pages of 4 KiB: 8 people/s became 20 with large pages.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        import torch

        from poseunion.training.loop import fit
        from poseunion.training.prepare import cache_folder, prepare
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    from poseunion.training.data import read_data_file
    from poseunion.training.recipes import RECIPES, find_recipe

    console = Console(stderr=True)
    if list_recipes:
        for name, make in sorted(RECIPES.items()):
            print(f"{name}: {(make.__doc__ or '').strip()}")
        return
    if recipe is None or data is None or out is None:
        raise BadArgumentError("train needs a RECIPE, --data FILE and --out DIR (or --list to see the recipes).")
    config = find_recipe(recipe, overrides or [])
    out.mkdir(parents=True, exist_ok=True)
    if devices > 1:
        torch.set_num_threads(1)
    prepared = prepare(read_data_file(data), config, cache_folder())
    stores = prepared.train
    if config.epochs:
        people = sum(len(labelled.rows) for labelled in stores)
        steps = round(config.epochs * people / config.stages[-1].batch_size)
        config = dataclasses.replace(config, steps=max(1, steps))
    for labelled in stores:
        pseudo = int(((labelled.weight > 0) & (labelled.weight < 1)).sum())
        console.print(
            f"{labelled.store.dataset}: {len(labelled.rows)} people, {int((labelled.weight == 1).sum())} labels, "
            f"{pseudo} pseudo-labels, {len(labelled.store.skipped)} skipped"
        )
    console.print(dataclasses.asdict(config))
    weights = fit(config, prepared, out, resume=resume, devices=devices)
    console.print(f"Weights: {weights}")


@app.command(
    epilog="Examples:  poseunion evaluate --model unified --annotations coco/test.json --images coco/test --flip  ·  "
    "poseunion evaluate --model unified --model other.onnx --annotations a.json --images a --annotations b.json "
    "--images b",
)
def evaluate(
    model: Annotated[list[str], typer.Option(help="Shipped model's name, or an .onnx file; repeat to compare.")],
    annotations: Annotated[list[Path], typer.Option(help="Annotation file with ground-truth boxes; may be repeated.")],
    images: Annotated[list[Path], typer.Option(help="Folder of its pictures, in the same order.")],
    skeleton: Annotated[str | None, typer.Option(help="Skeleton of the file, when it does not say.")] = None,
    head_boxes: Annotated[
        Path | None, typer.Option(help="mpii_gt_val.mat, for PCKh on MPII's json (its .mat has the head boxes itself).")
    ] = None,
    flip: Annotated[bool, typer.Option(help="Average with the mirrored crop.")] = False,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print json instead of a table.")] = False,
) -> None:
    """Measure models on labelled people, in the data set's own keypoint definitions.

    A model that does not describe itself needs a .toml of the same name beside it, or one in poseunion's descriptions.
    """
    from poseunion.models.predictor import load_predictor
    from poseunion.training.evaluate import evaluate as measure

    if len(annotations) != len(images):
        raise BadArgumentError(f"{len(annotations)} --annotations and {len(images)} --images: give one folder a file.")
    predictors = [load_predictor(m, flip=flip, threads=threads) for m in model]
    results = {
        str(file): [measure(predictor, file, folder, skeleton, head_boxes) for predictor in predictors]
        for file, folder in zip(annotations, images, strict=True)
    }
    if as_json:
        print(json.dumps(results, indent=1))
        return
    for file, columns in results.items():
        print(f"{file}{', flip test' if flip else ''}\n\n{markdown_table(columns)}\n")


def markdown_table(results: list[dict[str, Any]]) -> str:
    """One row a measure, one column a model."""
    rows: dict[str, list[str]] = {}
    for column, result in enumerate(results):
        measures = {**result.get("coco", {}), **{f"PCK@.2 {k}": v for k, v in result["pck"].items()}}
        measures |= {k if k.startswith("PCKh") else f"PCKh@.5 {k}": v for k, v in result.get("pckh", {}).items()}
        for name, value in {"people": result["people"], **measures}.items():
            cells = rows.setdefault(name, ["–"] * len(results))
            cells[column] = str(value) if isinstance(value, int) else f"{value:.1f}"
    lines = ["| | " + " | ".join(r["model"] for r in results) + " |", "|---|" + "---|" * len(results)]
    return "\n".join(lines + [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()])
