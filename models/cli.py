"""`poseunion models`: lists shipped models, detectors and skeletons, and prints their paths."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from poseunion.models.errors import BadArgumentError

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
_KINDS = ("Model", "Detector")
# First folder of a measured file -> what people call the data set.
_DATASETS = {"coco": "COCO", "lspet": "LSP"}


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

    Accuracy is the card's, in percent: of models on the test people of COCO and LSP Extended, with flip test; of a
    detector the share of people found. poseunion bench measures the speed on this machine.

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
    from poseunion.models.tables import table

    heads = ("Model", "Skeleton", "Input", "Params", "Type", "MB", "CPU\nms")
    typer.echo(_networks(heads, listed["models"]) + "\n")
    typer.echo(_networks(("Detector", "Input", "Params", "MB"), listed["detectors"]) + "\n")
    rows = [(s["name"], str(len(s["keypoints"])), s["title"]) for s in listed["skeletons"]]
    typer.echo(table(("Skeleton", "Keypoints", "Title"), rows, texts=("Title",)) + "\n")
    networks = [*listed["models"], *listed["detectors"]]
    for licence in sorted({m["licence"] for m in networks}):
        typer.echo(f"Licence of {', '.join(m['name'] for m in networks if m['licence'] == licence)}: {licence}")
    for machine, note in sorted({(m["speed"]["machine"], m["speed"]["note"]) for m in listed["models"] if m["speed"]}):
        typer.echo(f"CPU ms: a person on one thread, {machine} ({note})")


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


def _networks(heads: Sequence[str], networks: Sequence[dict[str, Any]]) -> str:
    """Table of networks: their facts, and a column a measure of their cards."""
    from poseunion.models.tables import table

    measures = list(
        dict.fromkeys((file, name) for n in networks for file, row in n["accuracy"].items() for name in row)
    )
    rows = []
    for network in networks:
        facts = {
            "Input": "x".join(map(str, network["size_wh"])),
            "Params": f"{network['parameters'] / 1e6:.2f} M",
            "Type": network.get("precision", ""),
            "MB": f"{network['bytes'] / 1e6:.1f}",
            "CPU\nms": f"{network['speed']['cpu_ms']:.1f}" if network.get("speed") else "–",
        }
        row = [facts.get(head) or network["name" if head in _KINDS else head.lower()] for head in heads]
        values = (network["accuracy"].get(file, {}).get(name) for file, name in measures)
        rows.append([*row, *("–" if value is None else f"{value:.1f}" for value in values)])
    columns = [f"{_DATASETS.get(file.split('/')[0], file)}\n{name}" for file, name in measures]
    return table([*heads, *columns], rows, texts=("Skeleton", "Input", "Type"))
