"""Page of the demo: tabs, theme, and the server, by default for this machine only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Before gradio is imported: it contacts its makers otherwise, and keeps uploads in a folder that others share.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# Gradio sums up its own timings after every event, over all events so far; they are not used here.
os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "10"
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000000"

import gradio as gr

from poseunion.app.demo.compare_tab import compare_tab
from poseunion.app.demo.examples import examples
from poseunion.app.demo.extend_tab import extend_tab
from poseunion.app.demo.guard.hosts import LOOPBACK, HostCheck
from poseunion.app.demo.guard.limits import KEPT_S, SWEEP_S, LimitCheck, Limits
from poseunion.app.demo.guard.uploads import Bounds
from poseunion.app.demo.inference import PoseEstimator
from poseunion.app.demo.own_review import OwnReviews
from poseunion.app.demo.review_tab import review_tab
from poseunion.app.demo.try_tab import try_tab
from poseunion.models.errors import BadArgumentError

HERE = Path(__file__).parent
# Names of fonts that are on the visitor's machine: nothing is fetched.
FONTS = ("system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
MONO = ("ui-monospace", "Cascadia Mono", "Menlo", "monospace")
# Visitors whose picture is kept at a time, about 1 MB each; above the number that may wait.
MOST_SESSIONS = 120


@dataclass(frozen=True)
class PageSettings:
    """How the page is served.

    Attributes:
        host, port: where it listens; port 0: the first free one from 7860.
        share: also through Gradio's public tunnel.
        allowed_hosts: names that the page is served under, beside this machine's own.
        proxies: addresses of reverse proxies in front of it, whose X-Forwarded-* headers count.
        embed_in: the one other site that may show the page in a frame.
        scratch: folder for files that visitors review; None: the system's.
        review: extended files to be reviewed, whose pictures are in `images`, under the name `reviewer` by default.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    share: bool = False
    limits: Limits = field(default_factory=Limits)
    review: tuple[Path, ...] = ()
    images: Path | None = None
    reviewer: str = "reviewer"
    allowed_hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    embed_in: str = ""
    scratch: Path | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        """All names that the page is served under."""
        # Gradio requests its own page once, under the address that it listens on.
        own = () if self.host in ("0.0.0.0", "::", "") else (self.host,)
        return (*LOOPBACK, *own, *(("*.gradio.live",) if self.share else ()), *self.allowed_hosts)


def build(estimator: PoseEstimator, settings: PageSettings) -> gr.Blocks:
    """The page."""
    # One heavy piece of work at a time: it uses all cores, and memory stays what one picture needs.
    heavy = {"concurrency_id": "heavy", "concurrency_limit": 1}
    bounds = Bounds(settings.limits.seconds, settings.limits.upload_bytes)
    offered = examples()
    with gr.Blocks(title="poseunion", analytics_enabled=False, delete_cache=(SWEEP_S, KEPT_S)) as page:
        gr.HTML(
            "<h1>poseunion</h1><p>The keypoints of COCO and MPII in one skeleton.</p>", elem_id="head", padding=False
        )
        own = OwnReviews(settings.scratch, settings.limits.total_bytes)
        with gr.Tabs(selected="review" if settings.review else "try") as tabs:
            with gr.Tab("Try it", id="try"):
                found = try_tab(estimator, offered, heavy, bounds)
            with gr.Tab("Compare", id="compare") as tab:
                compare_tab(estimator, found, tab, heavy, bounds)
            with gr.Tab("Extend", id="extend"):
                extended = extend_tab(estimator, own, heavy, bounds)
            with gr.Tab("Review", id="review", elem_id="review-tab"):
                review_tab(list(settings.review), settings.images, settings.reviewer, page, tabs, extended, own)
        gr.HTML(f"<p>{where_it_runs(estimator, settings)}</p>", elem_id="foot", padding=False)
    page.queue(max_size=settings.limits.waiting, default_concurrency_limit=4)
    return page


def where_it_runs(estimator: PoseEstimator, settings: PageSettings) -> str:
    """Text on what runs where."""
    place = "on this computer" if settings.host in LOOPBACK and not settings.share else "on the server"
    provider = estimator.predictor(estimator.models[0]).provider.removesuffix("ExecutionProvider")
    detector = "No person detector is installed: boxes are drawn by hand."
    if estimator.detector is not None:
        detector = f"People are found by the detector {estimator.detector.name}."
    return (
        f"Everything runs {place} ({provider}); the page fetches nothing from elsewhere. {detector} "
        f"Uploads are decoded, encoded anew and forgotten within {KEPT_S // 60} minutes; a file under review within an "
        "hour after its page was closed."
    )


def theme() -> gr.themes.Base:
    """Gradio's plain theme with one accent and the visitor's own fonts."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=[gr.themes.Font(name) for name in FONTS],
        font_mono=[gr.themes.Font(name) for name in MONO],
    ).set(
        color_accent="*primary_700",
        body_text_color_subdued="*neutral_600",  # the theme's own grey is too faint to read
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        slider_color="*primary_700",
        checkbox_background_color_selected="*primary_700",
        checkbox_border_color_selected="*primary_700",
        block_label_text_weight="500",
        block_title_text_weight="500",
    )


def serve(page: gr.Blocks, settings: PageSettings) -> str:
    """Start the server, and return the page's address at once; `page.block_thread()` waits until it is interrupted.

    Raises:
        BadArgumentError: the port is taken, or the address is not this machine's.
    """
    from starlette.middleware import Middleware

    @contextlib.asynccontextmanager
    async def check_hosts_first(app: Any) -> AsyncIterator[None]:
        # Outside of Gradio's own CORS middleware, which comes after all that `middleware` names; before any request.
        app.middleware_stack = HostCheck(app.middleware_stack, settings.hosts, settings.proxies, settings.embed_in)
        yield

    # Else uvicorn takes the client's address from a header whenever the connection comes from this machine.
    os.environ["FORWARDED_ALLOW_IPS"] = ""
    app_kwargs = {
        "middleware": [Middleware(LimitCheck, limits=settings.limits)],
        "lifespan": check_hosts_first,
        "docs_url": None,
        "redoc_url": None,
        "openapi_url": None,
    }
    try:
        page.launch(
            server_name=settings.host,
            server_port=settings.port or None,
            share=settings.share,
            prevent_thread_lock=True,
            quiet=True,
            show_error=False,
            max_file_size=settings.limits.upload_bytes,
            app_kwargs=app_kwargs,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            state_session_capacity=MOST_SESSIONS,
            theme=theme(),
            css_paths=[HERE / "page.css"],
        )
    except OSError as error:
        raise BadArgumentError(
            f"Cannot listen on {settings.host}, port {settings.port}: give another --port or --host."
        ) from error
    return str(page.share_url or page.local_url)
