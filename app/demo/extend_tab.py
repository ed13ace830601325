"""Extend: an annotation file and a few of its pictures in, the completed file and overlays out."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from poseunion.app.demo.canvas import CanvasContent, canvas, tiles
from poseunion.app.demo.extend_upload import MOST_PEOPLE, MOST_PICTURES, Extended, extend_uploads
from poseunion.app.demo.guard.limits import KEPT_S
from poseunion.app.demo.guard.uploads import Bounds, checked_upload, guarded
from poseunion.app.demo.inference import PoseEstimator
from poseunion.app.demo.own_review import KeptExtension, OwnReviews
from poseunion.app.demo.pictures import colour_legend, figure
from poseunion.models.errors import BadArgumentError

HOW = (
    f"<p>Give a JSON annotation file (COCO, MPII, Halpe, CrowdPose …) and up to {MOST_PICTURES} of its pictures. What "
    f"people labelled stays to the digit; up to {MOST_PEOPLE} people are completed here. For whole datasets: "
    "<code>annotate extend --annotations FILE --images DIR</code>.</p>"
)
LEGEND = colour_legend({"human": "labelled", "derived": "derived from labels", "proposed": "proposed and accepted"})
NO_ROOM = " For a review here there is no room now: save the file, and start poseunion demo --review FILE --images DIR."
LONGEST_STEM = 100  # of a file name; what lies beside it has a longer one
# Canvas with the file to save, the overlays, what is kept for a review, and the button that starts one.
ExtendOutputs = tuple[dict[str, Any], str, KeptExtension | None, dict[str, Any]]


@dataclass(frozen=True)
class ExtendTab:
    """What the review needs of this tab: the state with a `KeptExtension`, the button, the place of a sentence."""

    kept: gr.State
    review: gr.Button
    shown: gr.HTML


def extend_tab(estimator: PoseEstimator, own: OwnReviews, heavy: dict[str, Any], bounds: Bounds) -> ExtendTab:
    """Build the tab; its work stays within `bounds`, and what may be reviewed is kept in `own`."""
    kept = gr.State(None, time_to_live=KEPT_S)
    gr.HTML(HOW, padding=False)
    with gr.Row(elem_classes="extend-in"):
        annotations = gr.File(label="Annotation file", file_types=[".json"], height=140, elem_id="annotations")
        pictures = gr.File(
            label="Its pictures", file_count="multiple", file_types=["image"], height=140, elem_id="pictures"
        )
    fill_gaps = gr.Checkbox(label="Also propose what its annotators left out", elem_id="fill-gaps")
    start = gr.Button("Extend", variant="primary", elem_id="extend")
    shown = canvas(CanvasContent(), "extended")
    review = gr.Button("Review these", elem_id="review-these", visible=False)
    overlays = tiles("overlays")

    def failed(sentence: str) -> ExtendOutputs:
        return CanvasContent(status=sentence, error=True).to_json(), "", None, gr.update(visible=False)

    @guarded(failed, bounds)
    def run(annotations: str | None, pictures: list[str] | None, fill_gaps: bool) -> ExtendOutputs:
        if not annotations or not pictures:
            raise BadArgumentError("Give an annotation file and at least one of its pictures.")
        predictor = estimator.predictor(estimator.models[0])
        file, *given = (checked_upload(path, bounds.upload_bytes) for path in (annotations, *pictures))
        done = extend_uploads(file, given, predictor, fill_gaps=fill_gaps)
        name = f"{Path(annotations).stem[:LONGEST_STEM]}.extended.json"
        stays = own.keep(name, done)
        content = CanvasContent(
            status=summary(done) + ("" if stays else NO_ROOM), downloads={name: done.content.decode()}
        )
        return content.to_json(), gallery(done), stays, gr.update(visible=stays is not None)

    start.click(run, [annotations, pictures, fill_gaps], [shown, overlays, kept, review], **heavy)
    return ExtendTab(kept, review, shown)


def summary(done: Extended) -> str:
    """Counts of the extended keypoints as text."""
    rows, columns = done.report.keypoints.values(), ("human", "derived", "accepted", "none")
    human, derived, accepted, missing = (sum(row[c] for row in rows) for c in columns)
    left = sum(done.report.gaps.values())
    gaps = f" (of these, {left} its annotators left out, and none was requested)" if left else ""
    return (
        f"{done.report.predicted} of {done.report.persons} people completed. {human} of their keypoints are labelled, "
        f"{derived} derived, {accepted} proposed and accepted, {missing} still missing{gaps}."
    )


def gallery(done: Extended) -> str:
    """HTML of the overlays, and of what could not be used."""
    passed = [f"{count} passed through: {why}" for why, count in sorted(done.report.passed.items())]
    lines = "".join(f"<li>{escape(line)}</li>" for line in [*passed, *(f"{name}: {why}" for name, why in done.bad)])
    figures = "".join(figure(image, f"People of {name}", escape(name)) for name, image in done.overlays)
    return f"<ul class='passed'>{lines}</ul>{LEGEND}<div class='compare overlays'>{figures}</div>"
