"""`poseunion demo`: the page that shows what poseunion does, on this machine."""

from __future__ import annotations

import getpass
import ipaddress
import os
from pathlib import Path
from typing import Annotated

import typer

from poseunion.models.errors import BadArgumentError, MissingExtraError

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def demo(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 127.0.0.1: the page is seen on this machine only.")
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
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            envvar="POSEUNION_ALLOWED_HOSTS",
            help="Name that the page is also served under, beside localhost; *.NAME: what lies below; repeat for more.",
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Reverse proxy whose X-Forwarded-For counts; repeat for more."),
    ] = None,
    embed_in: Annotated[
        str, typer.Option(metavar="ORIGIN", help="Site that may show the page in a frame, https://NAME; default: none.")
    ] = "",
    client_mb: Annotated[int, typer.Option(help="Uploads of one client that are kept at a time.")] = 250,
    total_mb: Annotated[int, typer.Option(help="Uploads of all clients that are kept at a time.")] = 2000,
    time_limit: Annotated[float, typer.Option(help="Seconds that one request for work may take.")] = 120.0,
    share: Annotated[
        bool, typer.Option("--share", help="Also show the page to the world, through Gradio's tunnel.")
    ] = False,
    i_know: Annotated[
        bool, typer.Option("--i-know", help="With --share: required: anyone with the address may use it.")
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
            "--share shows the page to anyone who has its address, through servers of Gradio's makers: "
            "add --i-know if that is meant."
        )
    if not 0 <= port <= 65535:
        raise BadArgumentError(f"--port {port} is no port: give 0 to 65535.")
    if min(upload_mb, rate, client_mb, total_mb, time_limit) < 1:
        raise BadArgumentError(
            "--upload-mb, --rate, --client-mb, --total-mb and --time-limit leave nothing to do: give at least 1."
        )
    for proxy in trusted_proxy or ():
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError as error:
            raise BadArgumentError(f"--trusted-proxy {proxy} is neither an address nor a network: {error}.") from error
    for name in allowed_host or ():
        if not name.removeprefix("*.") or set(name.removeprefix("*.")) & set("*/@ ") or "://" in name:
            raise BadArgumentError(f"--allowed-host {name} is no name: give pose.example or *.pose.example.")
    if embed_in and not (embed_in.startswith(("https://", "http://")) and not set(embed_in) & set(" ;,'\"\r\n")):
        raise BadArgumentError(f"--embed-in {embed_in} is no site: give one such as https://pose.example.")
    if (review is None) != (images is None):
        raise BadArgumentError("--review FILE and --images DIR belong together: give both or neither.")
    from poseunion.app.demo.guard.upload_folder import upload_folder
    from poseunion.app.demo.review_session import review_files

    # Before anything that takes seconds: networks, and the server.
    files = () if review is None or images is None else tuple(review_files(review, images))

    with upload_folder() as folder:
        # Uploads are this page's own, and gone with it. What is reviewed lies beside them: no request leads there.
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
        (folder / "reviews").mkdir()
        try:
            from poseunion.app.demo.page import PageSettings, build, serve
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "gradio", "demo") from error
        from poseunion.app.demo.guard.limits import Limits
        from poseunion.app.demo.inference import PoseEstimator
        from poseunion.models.inference.detector import load_detector, shipped_detectors
        from poseunion.models.zoo import shipped_models

        found = load_detector(detector, threads=threads) if detector or shipped_detectors() else None
        estimator = PoseEstimator(model or shipped_models(), found, threads)
        estimator.warm_up()
        settings = PageSettings(
            host,
            port,
            share,
            Limits(
                upload_mb * 1_000_000,
                rate,
                client_bytes=client_mb * 1_000_000,
                total_bytes=total_mb * 1_000_000,
                seconds=time_limit,
            ),
            files,
            images,
            reviewer or (getpass.getuser() if files else "reviewer"),
            tuple(allowed_host or ()),
            tuple(trusted_proxy or ()),
            embed_in,
            folder / "reviews",
        )
        page = build(estimator, settings)
        typer.echo(f"{serve(page, settings)} – Ctrl-C ends it.", err=True)
        page.block_thread()
