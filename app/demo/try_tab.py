"""Try it: a picture in, people with their keypoints out."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import gradio as gr

from poseunion.app.demo.canvas import CanvasContent, Point, canvas, choices
from poseunion.app.demo.examples import Example
from poseunion.app.demo.guard.uploads import Bounds, guarded, picture_input
from poseunion.app.demo.inference import (
    KNOWN,
    RESOLUTIONS,
    SKELETONS,
    PicturePeople,
    PoseEstimator,
    as_coco,
    displayed_as,
)
from poseunion.app.demo.pictures import Picture, colour_legend, data_url, to_jpeg
from poseunion.app.pose_records import DisplayedPoses, confidence_text, draw
from poseunion.models.errors import ItemError

WELCOME = "Drop a picture with people in it, or take one of the examples."
# Larger than in overlays on disk: the page is narrower than most pictures, a phone much so.
POINT_SCALE = 1.35
# The people, and the canvas that shows them.
TryOutputs = tuple[PicturePeople | None, dict[str, Any]]


def failed(sentence: str) -> TryOutputs:
    """An error message; the people found before stay."""
    return gr.skip(), CanvasContent(status=sentence, error=True).to_json()


def try_tab(estimator: PoseEstimator, offered: list[Example], heavy: dict[str, Any], bounds: Bounds) -> gr.State:
    """Build the tab.

    Args:
        heavy: event options that let work wait its turn.
        bounds: what one piece of work may take.

    Returns:
        The state that holds the visitor's people, for other tabs.
    """
    least = estimator.threshold(estimator.models[0])
    # The first example is predicted once, for all visitors: the page opens with a result.
    people, opened = None, CanvasContent(status=WELCOME)
    if offered:
        people = of_example(estimator, offered[0], estimator.models[0], "Full")
        opened = content_of(estimator, people, next(iter(SKELETONS)), "COCO", least)
    found = gr.State(people, time_to_live=3600)
    with gr.Row(elem_classes=["studio", "try"]):
        with gr.Column(elem_classes="studio-in"):
            upload = picture_input(
                bounds,
                label="Picture",
                sources=["upload", "clipboard", "webcam"],
                height=190,
                buttons=[],
                elem_id="upload",
            )
            offer = choices(thumbnails(offered), "examples", visible=bool(offered))
        with gr.Column(elem_classes="studio-result"):
            shown = canvas(opened, "result")
            key = gr.HTML(legend("COCO"), apply_default_css=False, padding=False)
        with gr.Column(elem_classes="studio-settings"):
            view = gr.Dropdown(list(SKELETONS), value=next(iter(SKELETONS)), label="Skeleton", elem_id="view")
            known = gr.Radio(list(KNOWN), value="COCO", label="Show as new what this dataset lacks", elem_id="known")
            threshold = gr.Slider(0, 1, least, step=0.01, label="Least confidence of a keypoint", elem_id="threshold")
            model = gr.Dropdown(list(estimator.models), value=estimator.models[0], label="Model", elem_id="model")
            resolution = gr.Radio(list(RESOLUTIONS), value="Full", label="Resolution of a person", elem_id="resolution")

    look = [view, known, threshold]

    @guarded(lambda sentence: (None, failed(sentence)[1], None), bounds)
    def take(
        picture: Any, model: str, resolution: str, view: str, known: str, threshold: float
    ) -> tuple[PicturePeople | None, dict[str, Any], None]:
        if isinstance(picture, ItemError):
            raise picture
        if not isinstance(picture, Picture):
            raise ItemError("No picture arrived: choose one.")
        return (*outputs_of(estimator, estimator.find(picture, model, resolution, None), view, known, threshold), None)

    # `look`: skeleton, known dataset and threshold, as `outputs_of` takes them.
    @guarded(failed, bounds)
    def example(event: gr.EventData, model: str, resolution: str, *look: Any) -> TryOutputs:
        chosen = offered[int(event.index) % len(offered)]
        return outputs_of(estimator, of_example(estimator, chosen, model, resolution), *look)

    @guarded(failed, bounds)
    def drawn(event: gr.EventData, before: PicturePeople | None, model: str, resolution: str, *look: Any) -> TryOutputs:
        if before is None:
            raise ItemError(WELCOME)
        after, content = outputs_of(estimator, estimator.find(before.picture, model, resolution, event.boxes), *look)
        return after, {**content, "answers": event.number}

    @guarded(failed, bounds)
    def find_again(before: PicturePeople | None, model: str, resolution: str, *look: Any) -> TryOutputs:
        if before is None:
            raise ItemError(WELCOME)
        return outputs_of(estimator, estimator.find(before.picture, model, resolution, None), *look)

    @guarded(failed, bounds)
    def redo(before: PicturePeople | None, model: str, resolution: str, *look: Any) -> TryOutputs:
        if before is None:
            return None, CanvasContent(status=WELCOME).to_json()
        after = estimator.find(before.picture, model, resolution, before.poses.box_xywh.tolist())
        return outputs_of(estimator, dataclasses.replace(after, boxes_by=before.boxes_by), *look)

    @guarded(lambda sentence: failed(sentence)[1])
    def show_again(before: PicturePeople | None, *look: Any) -> dict[str, Any]:
        return CanvasContent(status=WELCOME).to_json() if before is None else outputs_of(estimator, before, *look)[1]

    network = [model, resolution]
    upload.input(take, [upload, *network, *look], [found, shown, upload], api_name="pose", **heavy)
    offer.choose(example, [*network, *look], [found, shown], **heavy)
    shown.again(find_again, [found, *network, *look], [found, shown], **heavy)
    # What is drawn or chosen while one is under way is done after it. Of drawings all, in turn: an event that waits as
    # the last one loses its data in Gradio, so the boxes.
    shown.boxes(drawn, [found, *network, *look], [found, shown], trigger_mode="multiple", **heavy)
    last = {"trigger_mode": "always_last"}
    gr.on([model.input, resolution.input], redo, [found, *network, *look], [found, shown], **last, **heavy)
    often = {**last, "show_progress": "hidden"}
    gr.on([view.input, known.input, threshold.input], show_again, [found, *look], shown, **often)
    known.input(legend, known, key, show_progress="hidden")
    return found


def of_example(estimator: PoseEstimator, chosen: Example, model: str, resolution: str) -> PicturePeople:
    """People of an example, in its own boxes."""
    people = estimator.find(chosen.picture, model, resolution, chosen.boxes)
    return dataclasses.replace(people, boxes_by="example")


def outputs_of(estimator: PoseEstimator, found: PicturePeople, view: str, known: str, threshold: float) -> TryOutputs:
    """People, and the content that shows them with these settings."""
    return found, content_of(estimator, found, view, known, threshold).to_json()


def content_of(
    estimator: PoseEstimator, found: PicturePeople, view: str, known: str, threshold: float
) -> CanvasContent:
    """The content that shows `found` with these settings."""
    seen = displayed_as(found.poses, view, known)
    drawn = draw(found.picture.pixels(), seen, threshold, POINT_SCALE)
    document = as_coco(found, seen, threshold)
    stem = found.picture.name.rsplit(".", 1)[0]
    n = len(found.poses)
    return CanvasContent(
        picture=data_url(to_jpeg(drawn)),
        size_wh=found.picture.size_wh,
        mode="boxes",
        boxes=found.poses.box_xywh.round(1).tolist(),
        provisional=found.boxes_by == "whole",
        again=found.boxes_by == "hand" and estimator.detector is not None,
        points=points(seen, threshold),
        status=status(found, seen, threshold),
        downloads={f"{stem}.pose.jpg": "", f"{stem}.pose.json": json.dumps(document)},
        alt=f"{found.picture.name} with the keypoints of {n} {'person' if n == 1 else 'people'}",
    )


def thumbnails(offered: list[Example]) -> str:
    """The examples as buttons."""
    buttons = "".join(
        f'<button type="button" data-index="{index}"><img src="{data_url(to_jpeg(one.thumbnail()))}"'
        f' alt="Example: {one.picture.name}"></button>'
        for index, one in enumerate(offered)
    )
    return f'<div class="examples">{buttons}</div>'


def points(view: DisplayedPoses, threshold: float) -> list[Point]:
    """Keypoints that can be pointed at."""
    shown = view.shown(threshold)
    return [
        Point(name, round(float(x), 1), round(float(y), 1), confidence_text(float(score)))
        for n in range(len(view.xy))
        for name, (x, y), score, drawn in zip(view.skeleton.keypoints, view.xy[n], view.score[n], shown[n], strict=True)
        if drawn
    ]


def status(found: PicturePeople, view: DisplayedPoses, threshold: float) -> str:
    """Status line: people and keypoints, model, time, source of the boxes."""
    shown = view.shown(threshold)
    n, drawn, new = len(found.poses), int(shown.sum()), int((shown & view.new).sum())
    if n == 0:
        return "No person was found: drag a box round each person."
    people = "1 person" if n == 1 else f"{n} people"
    pixels = "" if found.resolution == "Full" else f" at {found.resolution}"
    status = f"{people}, {drawn} keypoints, {new} of them new. {found.model}{pixels}, {found.ms:.0f} ms."
    if found.boxes_by == "whole":
        status += " No person detector is installed, so the whole picture counts as one person: drag a box round each."
    return status


def legend(known: str) -> str:
    """Legend of the colours of points and limbs."""
    dataset = known if known in KNOWN else "COCO"
    return colour_legend({"human": f"labelled in {dataset}", "proposed": f"new beside {dataset}"})
