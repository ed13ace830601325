"""`poseunion models`: what comes with this installation, and where it lies."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import FOLDER as SKELETONS
from poseunion.models.skeleton import load_skeleton, shipped_skeletons
from poseunion.models.zoo import model_path, shipped_models

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def models(
    path: Annotated[
        str | None, typer.Option(metavar="NAME", help="Print the file of this model or skeleton and nothing else.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the models and skeletons that come with this installation.

    Examples:

        poseunion models

        poseunion models --path coco17
    """
    if path is not None:
        typer.echo(_find(path))
        return
    listed = _shipped()
    if as_json:
        json.dump(listed, sys.stdout)
        typer.echo()
        return
    console = Console()
    console.print(_table("Model", "MB", [(m["name"], f"{m['bytes'] / 1e6:.1f}") for m in listed["models"]]))
    console.print(
        _table(
            "Skeleton", "Keypoints", [(s["name"], str(len(s["keypoints"])), s["title"]) for s in listed["skeletons"]]
        )
    )


def _shipped() -> dict[str, list[dict[str, Any]]]:
    models = [(name, model_path(name)) for name in shipped_models()]
    skeletons = [(load_skeleton(name), SKELETONS / f"{name}.toml") for name in shipped_skeletons()]
    return {
        "models": [{"name": name, "bytes": file.stat().st_size, "path": str(file)} for name, file in models],
        "skeletons": [
            {"name": s.name, "title": s.title, "keypoints": list(s.keypoints), "path": str(file)}
            for s, file in skeletons
        ],
    }


def _find(name: str) -> str:
    listed = _shipped()
    known = {item["name"]: item["path"] for item in [*listed["models"], *listed["skeletons"]]}
    if name not in known:
        raise BadArgumentError(
            f"No model or skeleton {name!r} comes with this installation: it has {', '.join(known)}."
        )
    return str(known[name])


def _table(first: str, second: str, rows: list[tuple[str, ...]]) -> Table:
    table = Table(first, box=None, pad_edge=False)
    table.add_column(second, justify="right")
    if any(len(row) > 2 for row in rows):
        table.add_column("")
    for row in rows:
        table.add_row(*row)
    return table
