"""`poseunion predict`: people in pictures and videos, as overlays and one COCO-style file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from poseunion.annotate.cli.console import JsonOption, print_json
from poseunion.models.command_line import ROUTE_HELP
from poseunion.models.errors import BadArgumentError
from poseunion.models.progress import progress_bar

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def predict(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="IMAGE|DIR|VIDEO", help="Pictures, videos, and folders of them.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for what is found; made if it is not there.")],
    model: Annotated[str, typer.Option(metavar="NAME|FILE", help="Shipped model or described .onnx file.")] = "unified",
    detector: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Person detector: a described .onnx; default: the shipped one."),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead of a detector: a .json of boxes by their pictures' names."),
    ] = None,
    skeleton: Annotated[
        str | None,
        typer.Option(help="Show and write this one: union, coco17, mpii16, halpe26, openpose18 …, or a .toml."),
    ] = None,
    format: Annotated[
        str,
        typer.Option(metavar="coco|openpose", help="A COCO-style file, or OpenPose's json of each picture or frame."),
    ] = "coco",
    threshold: Annotated[
        float | None, typer.Option(help="Confidence from which a keypoint is shown; default: the model's own.")
    ] = None,
    overlays: Annotated[bool, typer.Option(help="Draw the pictures and videos, too.")] = True,
    smooth: Annotated[bool, typer.Option(help="Of videos: smooth keypoints over time.")] = True,
    every: Annotated[int, typer.Option(metavar="N", help="Of videos: use each N-th frame.")] = 1,
    route: Annotated[str, typer.Option(metavar="off|auto", help=ROUTE_HELP)] = "off",
    flip: Annotated[
        bool, typer.Option("--flip", help="Average with the mirrored crop: better, twice the time.")
    ] = False,
    device: Annotated[str, typer.Option(help="Where the network runs: cpu, cuda or tensorrt.")] = "cpu",
    allow_fallback: Annotated[
        bool, typer.Option("--allow-fallback", help="Where --device is absent, run on the next best, with a notice.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Pictures worked on at once; default: what fills the cores.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run has written.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find people in pictures and videos, and their keypoints.

    Pictures give poses.json and a folder of overlays. Each video gives NAME.poses.json, in which people keep their
    numbers, and NAME.mp4, without sound. With --format openpose the files are folders: poses_json and NAME_json, with
    BODY_25's keypoints unless --skeleton names others.

    Examples:

        poseunion predict holiday.jpg --out found

        poseunion predict pictures/ more/*.jpg --out found --skeleton coco17 --no-overlays

        poseunion predict dance.mp4 --out found --every 2

        poseunion predict pictures/ --out found --boxes boxes.json

        poseunion predict camera1.mp4 camera2.mp4 --out pose --format openpose --skeleton halpe26
    """
    if detector is not None and boxes is not None:
        raise BadArgumentError("--detector finds boxes and --boxes gives them: choose one.")
    if every < 1:
        raise BadArgumentError(f"--every {every} leaves no frame: give at least 1.")
    if out.exists() and not out.is_dir():
        raise BadArgumentError(f"--out {out} is a file: give a folder.")
    from poseunion.annotate.extend.executor import share_cores
    from poseunion.app.predict.boxes import read_boxes
    from poseunion.app.predict.inputs import collect
    from poseunion.app.predict.people import BoxFinder
    from poseunion.app.predict.run import run
    from poseunion.app.predict.settings import PredictSettings, skeleton_of, threshold_of
    from poseunion.models.inference.predictor import load_predictor
    from poseunion.models.inference.size_routing import check_route, predictor_for_option
    from poseunion.models.runtime.onnx import check_device

    check_device(device)
    check_route(route)
    workers, threads = share_cores(workers, None, on_cpu=device == "cpu")
    given = collect(inputs, out)
    known = None if boxes is None else read_boxes(boxes)
    finder = BoxFinder(detector) if known is None else None
    loaded = load_predictor(model, flip=flip, device=device, threads=threads, allow_fallback=allow_fallback)
    notice = partial(typer.echo, err=True)
    predictor = predictor_for_option(route, model, loaded, notice, device=device, threads=threads)
    settings = PredictSettings(
        predictor=predictor,
        finder=finder,
        skeleton=skeleton_of(skeleton, predictor.skeleton, format),
        threshold=threshold_of(threshold, predictor),
        workers=workers,
        boxes=known,
        overlays=overlays,
        every=every,
        smooth=smooth,
        format=format,
    )
    try:
        report = run(given, out, settings, progress_bar, overwrite=overwrite)
    except KeyboardInterrupt:
        typer.echo("Interrupted: overlays that are there are whole; the rest was not written.", err=True)
        raise typer.Exit(130) from None
    if as_json:
        print_json(report.to_json())
        return
    for name, reason in report.bad:
        typer.echo(f"skipped {name}: {reason}", err=True)
    for line in report.lines():
        typer.echo(line)
