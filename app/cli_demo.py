"""`poseunion demo`: the page that shows what poseunion does, on this machine."""

from __future__ import annotations

import getpass
import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from poseunion.models.errors import BadArgumentError, MissingExtraError

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def demo(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 127.0.0.1: nobody else can see the page.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: the first free one from 7860.")] = 7860,
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME|FILE", help="Shipped model or described .onnx; repeat for more.")
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Person detector: a described .onnx; default: the shipped one."),
    ] = None,
    review: Annotated[
        Path | None, typer.Option(metavar="FILE|DIR", help="Extended file to review, or a folder of them.")
    ] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="With --review: folder of its pictures.")] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Name that decisions are recorded under; default: yours.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads of one network call; default: all cores.")] = None,
    upload_mb: Annotated[int, typer.Option(help="Largest upload.")] = 25,
    rate: Annotated[int, typer.Option(help="Requests a minute that one address may make.")] = 240,
    share: Annotated[
        bool, typer.Option("--share", help="Also show the page to the world, through Gradio's tunnel.")
    ] = False,
    i_know: Annotated[
        bool, typer.Option("--i-know", help="With --share: yes, anybody with the address may use it.")
    ] = False,
) -> None:
    """Show a page to try, compare and review with.

    It runs on this machine alone and fetches nothing from elsewhere.

    Examples:

        poseunion demo

        poseunion demo --review extended.json --images pictures/

        poseunion demo --detector yolox_nano.onnx --model unified --model mine.onnx
    """
    if share and not i_know:
        raise BadArgumentError(
            "--share shows the page to anybody who has its address, through servers of Gradio's makers: "
            "add --i-know if that is meant."
        )
    if not 0 <= port <= 65535:
        raise BadArgumentError(f"--port {port} is no port: give 0 to 65535.")
    if min(upload_mb, rate) < 1:
        raise BadArgumentError("--upload-mb and --rate leave nobody anything to do: give at least 1.")
    if (review is None) != (images is None):
        raise BadArgumentError("--review FILE and --images DIR belong together: give both or neither.")
    with tempfile.TemporaryDirectory(prefix="poseunion-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # uploads are this page's own, and gone with it
        try:
            from poseunion.app.demo.page import Settings, build, serve
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "gradio", "demo") from error
        from poseunion.annotate.datasets import picture_folder
        from poseunion.app.demo.engine import Engine
        from poseunion.app.demo.limits import Limits
        from poseunion.app.demo.reviewing import review_files
        from poseunion.models.detector import load_detector, shipped_detectors
        from poseunion.models.zoo import shipped_models

        found = load_detector(detector, threads=threads) if detector or shipped_detectors() else None
        engine = Engine(model or shipped_models(), found, threads)
        engine.warm_up()
        settings = Settings(
            host,
            port,
            share,
            Limits(upload_mb * 1_000_000, rate),
            tuple(review_files(review)) if review else (),
            picture_folder(images) if images else None,
            reviewer or getpass.getuser(),
        )
        page = build(engine, settings)
        typer.echo(f"{serve(page, settings)} – Ctrl-C ends it.", err=True)
        page.block_thread()
