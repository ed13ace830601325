"""Canvas of the page: a picture to draw boxes on or move keypoints in; its browser side is canvas.html and canvas.js.

Gradio's own editors paint pixels; what is needed here are rectangles and points as numbers, on mouse, pen and finger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gradio as gr


def asset(name: str) -> str:
    """Text of an HTML or JavaScript file of this package."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def choices(html: str, elem_id: str, **options: Any) -> gr.HTML:
    """List of buttons; its event `choose` has the `index` of the one that is pressed."""
    return gr.HTML(html, js_on_load=asset("choose.js"), apply_default_css=False, elem_id=elem_id, **options)


def tiles(elem_id: str) -> gr.HTML:
    """Place for figures (`pictures.figure`); a click on one enlarges it."""
    return gr.HTML("", js_on_load=asset("enlarge.js"), apply_default_css=False, padding=False, elem_id=elem_id)


@dataclass(frozen=True)
class Point:
    """A keypoint that can be pointed at, in pixels of the picture shown.

    Attributes:
        note: shown beside its name.
        colour: CSS colour; empty: it is not drawn.
        hollow: drawn as a ring: it does not stand.
    """

    name: str
    x: float
    y: float
    note: str = ""
    colour: str = ""
    hollow: bool = False


@dataclass(frozen=True)
class CanvasContent:
    """Content of the canvas.

    Attributes:
        picture: data URL; empty: the one that came with the same `picture_key`, else only the sentence is shown.
        picture_key: name of the picture.
        html: shown in place of the picture.
        size_wh: pixels of the picture; coordinates of boxes and points count in them.
        mode: `boxes` (drag to draw), `points` (click to place the selected one; the picture can be enlarged and moved)
            or `look`.
        links: pairs of points to be joined, and the line's CSS colour.
        views: rectangles (left, top, width, height) that the picture is fitted to: `person`, and `head` where known.
        boxes: x, y, width, height.
        provisional: the first box that is drawn replaces the boxes.
        answers: number of the event `boxes` that this is the answer to; 0: of none. Boxes drawn after it stay.
        again: offer to find people anew, in place of the boxes.
        selected: name of the point that a click places.
        seen: sent back with each key: what it is about.
        keys: keyboard keys that are actions while the mode is `points`.
        status: sentence below the picture; `error` colours it as one.
        downloads: file name -> text that the browser saves, empty for the picture; nothing is stored on the server.
        alt: description of the picture for screen readers.
    """

    picture: str = ""
    picture_key: str = ""
    html: str = ""
    size_wh: tuple[int, int] = (0, 0)
    mode: str = "look"
    boxes: Sequence[Sequence[float]] = ()
    provisional: bool = False
    answers: int = 0
    again: bool = False
    points: Sequence[Point] = ()
    links: Sequence[tuple[str, str, str]] = ()
    views: dict[str, tuple[float, float, float, float]] | None = None
    selected: str = ""
    seen: str = ""
    keys: Sequence[str] = ()
    status: str = ""
    error: bool = False
    downloads: dict[str, str] | None = None
    alt: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values for the browser."""
        return asdict(self)


def canvas(first: CanvasContent, elem_id: str) -> gr.HTML:
    """The component.

    Its events: `boxes` {boxes, number} and `again` {}. In the mode `points` it gives the outbox of the review its
    actions: `place` {name, x, y, picture}, `choose` {name} and `key` {key, seen}.
    """
    return gr.HTML(
        value=first.to_json(),
        html_template=asset("canvas.html"),
        js_on_load=asset("canvas.js"),
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes="canvas-block",
    )
