"""`poseunion bench`: times whole predictions and bare network calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poseunion.models.errors import BadArgumentError

if TYPE_CHECKING:
    from poseunion.export.timing import Work
    from poseunion.models.inference.predictor import Predictor

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

EXAMPLES = (
    "Examples:  poseunion bench  ·  poseunion bench --model unified --model unified-64 --annotations coco/test.json "
    "--images coco/test --people 10  ·  poseunion bench --model student.onnx --threads 1 --operators --out speed.md"
)


@app.command(epilog=EXAMPLES)
def bench(
    model: Annotated[
        list[str] | None, typer.Option(help="Shipped model's name, .onnx or .engine; repeat. Default: all shipped.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option(help="Labelled people to time on; default: three bundled pictures, any boxes.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of their pictures.")] = None,
    pictures: Annotated[int, typer.Option(min=1, help="How many of them.")] = 10,
    people: Annotated[list[int] | None, typer.Option(min=1, help="Boxes a picture; repeat. Default: 10.")] = None,
    threads: Annotated[
        list[int] | None, typer.Option(min=1, help="CPU threads; repeat. Default: 1, and all cores.")
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Batches of bare network calls. Default: 1, 2, 8, 32.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where the models run: cpu, cuda or tensorrt.")] = "cpu",
    allow_fallback: Annotated[
        bool, typer.Option("--allow-fallback", help="Where --device is absent, run on the next best and report it.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Times that the models take turns.")] = 7,
    decoded: Annotated[bool, typer.Option("--decoded", help="Decode pictures beforehand, outside the time.")] = False,
    operators: Annotated[
        bool, typer.Option("--operators", help="Time of each network by operator and by module.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write the tables here, too.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Time whole predictions of models on this machine: encoded picture and boxes to keypoints.

    Models take turns; times are milliseconds a person, median (least–most).
    """
    from poseunion.export.onnx import operators as profiler
    from poseunion.export.timing import annotated_work, bundled_work, machine
    from poseunion.models.files import refuse_existing, write_bytes
    from poseunion.models.inference.predictor import load_predictor
    from poseunion.models.runtime.base import cores
    from poseunion.models.zoo import shipped_models

    refuse_existing(out, overwrite=overwrite)
    if (annotations is None) != (images is None):
        raise BadArgumentError("--annotations and --images belong together: give the file and its pictures.")
    if operators and (device != "cpu" or any(name.endswith(".engine") for name in model or [])):
        raise BadArgumentError("--operators profiles ONNX files on the CPU: leave out engines and --device.")
    names = {Path(name).stem: name for name in model or shipped_models()}
    if len(names) < len(model or ()):
        raise BadArgumentError(f"Two of {', '.join(model or ())} have the same name: rename a file.")
    works = [
        replace(work, decoded=decoded)
        for work in (
            annotated_work(annotations, images, number, pictures) if annotations and images else bundled_work(number)
            for number in people or [10]
        )
    ]
    opened = {
        (n, name): load_predictor(path, device=device, threads=n, allow_fallback=allow_fallback)
        for n in threads or sorted({1, cores()})
        for name, path in names.items()
    }
    lines = [machine(), "", *_whole(opened, works, rounds), "", *_bare(opened, batch or [1, 2, 8, 32])]
    if operators:
        fewest = min(n for n, _ in opened)
        single = {name: predictor for (n, name), predictor in opened.items() if n == fewest}
        profiles = {name: {b: profiler.profile(p, b) for b in profiler.BATCHES} for name, p in single.items()}
        lines += ["", *profiler.tables(profiles)]
    text = "\n".join([*lines, ""])
    if out is not None:
        write_bytes(out, text.encode())
    typer.echo(text)


def _whole(opened: dict[tuple[int, str], Predictor], works: list[Work], rounds: int) -> Iterator[str]:
    """Table of whole predictions, and of the time of each step."""
    import cv2

    from poseunion.export.timing import measure, ours, spread, stages

    steps: dict[str, dict[str, float]] = {}
    yield "| model | people | threads | ms a person |"
    yield "|---|---|---|---|"
    for work in works:
        for n in dict.fromkeys(n for n, _ in opened):
            cv2.setNumThreads(n)
            arms = {name: ours(predictor, work) for (m, name), predictor in opened.items() if m == n}
            for arm in arms.values():
                arm()  # warm
            for name, taken in measure(arms, range(rounds)).items():
                wall = spread([seconds * 1e3 / work.people for seconds, _ in taken])
                yield f"| {name} | {len(work.boxes[0])} | {n} | {wall} |"
    cv2.setNumThreads(1)
    for (_, name), predictor in opened.items():
        if name not in steps:
            steps[name] = stages(predictor, works[0])
    yield ""
    yield f"| CPU ms a person, one thread | {' | '.join(steps)} |"
    yield "|---" * (len(steps) + 1) + "|"
    for step in next(iter(steps.values())):
        yield f"| {step} | {' | '.join(f'{found[step]:.2f}' for found in steps.values())} |"


def _bare(opened: dict[tuple[int, str], Predictor], sizes: list[int]) -> Iterator[str]:
    """Table of bare network calls."""
    from poseunion.export.timing import batches

    yield f"| network alone, ms a person at batch | threads | {' | '.join(map(str, sizes))} |"
    yield "|---" * (len(sizes) + 2) + "|"
    for (n, name), predictor in opened.items():
        taken = batches(predictor, sizes)
        yield f"| {name} | {n} | {' | '.join(f'{taken[size]:.2f}' for size in sizes)} |"
