"""`poseunion models`: lists shipped models, detectors and skeletons, and prints their paths."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poseunion.models.errors import BadArgumentError

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def models(
    path: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Print only the file of this model, detector or skeleton."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Compare every model file with its SHA-256.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the models, person detectors and skeletons that come with this installation.

    Accuracy is the card's: percent on the people of the named file, flip test; of a detector, people found.

    Examples:

        poseunion models

        poseunion models --path coco17

        poseunion models --check
    """
    if path is not None:
        typer.echo(_find(path))
        return
    if check:
        from poseunion.models.zoo import check_shipped, detector_catalogue, shipped_catalogue

        check_shipped([*shipped_catalogue(), *detector_catalogue()])
    listed = _shipped()
    if as_json:
        json.dump(listed, sys.stdout)
        typer.echo()
        return
    from rich.console import Console

    console = Console()
    heads = ("Model", "Skeleton", "Input", "Parameters, M", "Precision", "MB", "Accuracy")
    console.print(_table(heads, [_model_row(m) for m in listed["models"]]))
    console.print()
    detectors = [_detector_row(d) for d in listed["detectors"]]
    console.print(_table(("Detector", "Input", "Parameters, M", "MB", "Accuracy"), detectors))
    networks = [*listed["models"], *listed["detectors"]]
    for licence in sorted({m["licence"] for m in networks}):
        console.print(f"Licence of {', '.join(m['name'] for m in networks if m['licence'] == licence)}: {licence}")
    console.print()
    rows = [(s["name"], str(len(s["keypoints"])), s["title"]) for s in listed["skeletons"]]
    console.print(_table(("Skeleton", "Keypoints", ""), rows))


def _shipped() -> dict[str, list[dict[str, Any]]]:
    from poseunion.models.skeleton import FOLDER, load_skeleton, shipped_skeletons
    from poseunion.models.zoo import detector_catalogue, shipped_catalogue

    models = [{**m.model_dump(mode="json"), "path": str(m.path)} for m in shipped_catalogue()]
    detectors = [{**d.model_dump(mode="json"), "path": str(d.path)} for d in detector_catalogue()]
    skeletons = [(load_skeleton(name), FOLDER / f"{name}.toml") for name in shipped_skeletons()]
    return {
        "models": models,
        "detectors": detectors,
        "skeletons": [
            {"name": s.name, "title": s.title, "keypoints": list(s.keypoints), "path": str(file)}
            for s, file in skeletons
        ],
    }


def _find(name: str) -> str:
    listed = _shipped()
    known = {item["name"]: item["path"] for part in listed.values() for item in part}
    if name not in known:
        raise BadArgumentError(
            f"No model, detector or skeleton {name!r} comes with this installation: it has {', '.join(known)}."
        )
    return str(known[name])


def _model_row(model: dict[str, Any]) -> tuple[str, ...]:
    parameters, megabytes = _amounts(model)
    size, accuracy = "x".join(map(str, model["size_wh"])), _accuracy(model)
    return model["name"], model["skeleton"], size, parameters, model["precision"], megabytes, accuracy


def _detector_row(detector: dict[str, Any]) -> tuple[str, ...]:
    return detector["name"], "x".join(map(str, detector["size_wh"])), *_amounts(detector), _accuracy(detector)


def _amounts(network: dict[str, Any]) -> tuple[str, str]:
    """Parameters in millions and size in megabytes, as text."""
    return f"{network['parameters'] / 1e6:.2f}", f"{network['bytes'] / 1e6:.1f}"


def _accuracy(network: dict[str, Any]) -> str:
    return "; ".join(
        f"{file.removesuffix('.json')} {', '.join(f'{name} {value:g}' for name, value in values.items())}"
        for file, values in network["accuracy"].items()
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    numbers = ("MB", "Keypoints", "Parameters, M")
    for head in heads:
        table.add_column(head, justify="right" if head in numbers else "left")
    for row in rows:
        table.add_row(*row)
    return table
