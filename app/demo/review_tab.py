"""Review: step through the people of an extended file, decide on their proposals, move what lies wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from poseunion.app.demo.canvas import CanvasContent, asset, canvas, choices
from poseunion.app.demo.guard.uploads import guarded
from poseunion.app.demo.review_actions import ReviewActions, ReviewOutputs, ReviewState
from poseunion.models.errors import BadArgumentError, PoseUnionError

HOW = "<p>Start it with a file to review: <code>poseunion demo --review extended.json --images DIR</code>.</p>"
# Shown on the buttons; the canvas sends the same keys.
BUTTONS = {
    "a": "Accept",
    "r": "Reject",
    "h": "Hidden",
    "f": "Needs fix",
    "u": "Undo",
    "p": "Back",
    "n": "Next",
    "Enter": "Confirm, next",
}


def review_tab(files: list[Path], images: Path | None, reviewer: str, load: gr.Blocks) -> None:
    """Build the tab; without files, a text on how to start a review.

    Args:
        load: the page, whose loading shows the first person.
    """
    if not files or images is None:
        gr.HTML(HOW, padding=False)
        return
    actions = ReviewActions(files, images)
    state = gr.State(ReviewState(), time_to_live=24 * 3600)
    with gr.Row(elem_classes="studio review"):
        with gr.Column(elem_classes="studio-in"):
            listed = choices("", "keypoints", padding=False)
        with gr.Column(elem_classes="studio-result"):
            shown = canvas(CanvasContent(), "review")
            with gr.Row(elem_classes="review-buttons"):
                buttons = {
                    key: gr.Button(
                        f"{label}  {'↵' if key == 'Enter' else key.upper()}",
                        size="sm",
                        variant="primary" if key == "Enter" else "secondary",
                        elem_id=f"key-{key}",
                    )
                    for key, label in BUTTONS.items()
                }
        with gr.Column(elem_classes="studio-settings"):
            side = gr.HTML(
                {},
                html_template=asset("review_side.html"),
                js_on_load=asset("review_side.js"),
                apply_default_css=False,
                padding=False,
                elem_id="review-side",
            )
            file = gr.Dropdown(
                [(path.name, i) for i, path in enumerate(files)],
                value=0,
                label="File",
                visible=len(files) > 1,
                elem_id="review-file",
            )
            name = gr.Textbox(reviewer, label="Reviewer", max_lines=1, max_length=60, elem_id="reviewer")
            human = gr.Checkbox(False, label="Also change points that people labelled", elem_id="human")
            gr.HTML(asset("review_help.html"), apply_default_css=False, padding=False)

    outputs = [state, shown, listed, side]

    def after(now: ReviewState, act: Callable[[], ReviewState]) -> ReviewOutputs:
        """The page after `act`; where it fails, the page as it was, with the error's sentence."""
        try:
            return actions.show(act())
        except PoseUnionError as error:
            return actions.show(replace(now, note=str(error)))

    @guarded(_failed)
    def open_file(index: int) -> ReviewOutputs:
        return actions.show(ReviewState(file=int(index) % len(files)))

    @guarded(_failed)
    def on_key(event: gr.EventData, now: ReviewState, reviewer: str, human: bool) -> ReviewOutputs:
        return after(now, lambda: actions.key(now, str(event.key), reviewer, human, str(event.seen)))

    @guarded(_failed)
    def on_place(event: gr.EventData, now: ReviewState, reviewer: str, human: bool) -> ReviewOutputs:
        if (region := now.region) is None:
            raise BadArgumentError("No picture is shown.")
        to = region.to_image(float(event.x), float(event.y))
        return after(now, lambda: actions.move(now, str(event.name), to, reviewer, human))

    @guarded(_failed)
    def on_choose(event: gr.EventData, now: ReviewState) -> ReviewOutputs:
        names = actions.file(now.file).names
        return actions.show(replace(now, selected=event.name) if event.name in names else now)

    @guarded(_failed)
    def on_filter(event: gr.EventData, now: ReviewState) -> ReviewOutputs:
        return after(now, lambda: actions.choose(now, str(event.question), str(event.keypoint)))

    @guarded(_failed)
    def on_jump(event: gr.EventData, now: ReviewState) -> ReviewOutputs:
        return after(now, lambda: actions.jump(now, str(event.to)))

    def press(key: str) -> Any:
        @guarded(_failed)
        def pressed(now: ReviewState, reviewer: str, human: bool) -> ReviewOutputs:
            return after(now, lambda: actions.key(now, key, reviewer, human))

        return pressed

    # One reviewer's steps are worked on in their order; they are quick. A key that is pressed meanwhile waits.
    quick: dict[str, Any] = {"concurrency_id": "review", "concurrency_limit": 1, "show_progress": "hidden"}
    quick["trigger_mode"] = "multiple"
    inputs = [state, name, human]
    load.load(open_file, file, outputs, **quick)
    file.input(open_file, file, outputs, **quick)
    shown.shortcut(on_key, inputs, outputs, **quick)
    shown.place(on_place, inputs, outputs, **quick)
    shown.choose(on_choose, state, outputs, **quick)
    listed.choose(on_choose, state, outputs, **quick)
    side.choose(on_filter, state, outputs, **quick)
    side.jump(on_jump, state, outputs, **quick)
    for key, button in buttons.items():
        button.click(press(key), inputs, outputs, **quick)


def _failed(sentence: str) -> ReviewOutputs:
    return ReviewState(), CanvasContent(status=sentence, error=True).to_json(), f"<p>{escape(sentence)}</p>", {}
