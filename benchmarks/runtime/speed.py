"""Speed of whole predictions beside rtmlib with the same file, mmpose and other programs, as a note.

    python benchmarks/runtime/speed.py --model unified --people 10

`python benchmarks/runtime/speed.py --help` has all options.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poseunion.models import command_line
from poseunion.models.errors import BadArgumentError

if TYPE_CHECKING:
    from poseunion.models.inference.predictor import Predictor

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

EXAMPLES = (
    "Examples:  python benchmarks/runtime/speed.py  ·  python benchmarks/runtime/speed.py --model unified "
    "--model unified-64 --annotations coco/test.json --images coco/test --people 10 --plot speed.png --out speed.md  "
    "·  python benchmarks/runtime/speed.py --beside "
    '"mmpose\'s RTMPose-t=~/mmpose-1.3.2/bin/python benchmarks/peers/mmpose_speed.py"'
)


@app.command(epilog=EXAMPLES)
def speed(
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
        list[int] | None, typer.Option(min=1, help="CPU threads of every arm; repeat. Default: 1, and all cores.")
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Batches of bare network calls. Default: 1, 2, 8, 32.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where ours runs: cpu, cuda or tensorrt.")] = "cpu",
    allow_fallback: Annotated[
        bool, typer.Option("--allow-fallback", help="Where --device is absent, run on the next best, with a notice.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Times that the arms take turns.")] = 7,
    beside: Annotated[
        list[str] | None, typer.Option(metavar="NAME=COMMAND", help="One more arm, in another program.")
    ] = None,
    decoded: Annotated[bool, typer.Option("--decoded", help="Decode pictures beforehand, outside every arm.")] = False,
    operators: Annotated[
        bool, typer.Option("--operators", help="Where each network's time goes, by operator and by module.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Latency against AP on all of --annotations: .png, .svg or .pdf. Measures AP, minutes."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The note; default: benchmarks/notes/DATE-speed.md.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing note.")] = False,
) -> None:
    """Time whole predictions, picture and boxes to keypoints, beside rtmlib with the same file and other programs.

    Arms take turns; ratios are formed within a round and given as median (least–most).
    """
    from speed_report import Measured, check_plot, note, plot_latency

    from poseunion.export.onnx.operators import BATCHES, profile
    from poseunion.export.timing import annotated_work, bundled_work, machine
    from poseunion.models.files import write_bytes
    from poseunion.models.runtime.base import cores
    from poseunion.models.zoo import shipped_models

    out = out or Path("benchmarks") / f"{datetime.date.today().isoformat()}-speed.md"
    if out.exists() and not overwrite:
        raise BadArgumentError(f"{out} exists: give another --out, or --overwrite.")
    if (annotations is None) != (images is None) or (plot is not None and annotations is None):
        raise BadArgumentError("--annotations, --images and --plot belong together: give the file and its pictures.")
    if operators and (device != "cpu" or any(name.endswith(".engine") for name in model or [])):
        raise BadArgumentError("--operators profiles ONNX files on the CPU: leave out engines and --device.")
    if decoded and beside:
        raise BadArgumentError("--beside programs decode the pictures themselves: leave out --decoded.")
    if plot is not None:
        check_plot(plot)
    said, names = machine(), model or shipped_models()
    works = [
        replace(work, decoded=decoded)
        for work in (
            annotated_work(annotations, images, number, pictures) if annotations and images else bundled_work(number)
            for number in people or [10]
        )
    ]
    with _progress() as advance:
        measured = Measured.of(
            names, works, threads or sorted({1, cores()}), batch or [1, 2, 8, 32], device, allow_fallback, rounds,
            _commands(beside or []), advance,
        )  # fmt: skip
        profiles = (
            {name: {b: profile(p, b) for b in BATCHES} for name, p in measured.predictors.items()} if operators else {}
        )
        accuracy = _accuracy(measured.predictors, annotations, images) if plot and annotations and images else {}
    if plot is not None:
        plot_latency(measured, accuracy, plot)
    command = " ".join(["python benchmarks/runtime/speed.py", *sys.argv[1:]])
    text = note(measured, accuracy, said, command, plot, profiles)
    write_bytes(out, text.encode())
    typer.echo(text)
    typer.echo(f"written to {out}", err=True)


def _commands(given: list[str]) -> dict[str, str]:
    commands = {}
    for text in given:
        name, equals, command = text.partition("=")
        if not (name and equals and command):
            raise BadArgumentError(f"--beside {text} is not NAME=COMMAND.")
        commands[name] = command
    return commands


def _accuracy(predictors: dict[str, Predictor], annotations: Path, images: Path) -> dict[str, float]:
    from poseunion.training.evaluation.evaluate import measure, read_task

    task = read_task(annotations, images)
    scores = {name: measure(predictor, task).scores.get("coco", {}) for name, predictor in predictors.items()}
    return {name: score["AP"] for name, score in scores.items() if "AP" in score}


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rounds", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


if __name__ == "__main__":
    command_line.run(app, "speed.py")
