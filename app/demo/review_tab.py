"""Review: step through the people of an extended file, decide on their proposals, move what lies wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from poseunion.app.demo.canvas import CanvasContent, asset, canvas, choices
from poseunion.app.demo.extend_tab import ExtendTab
from poseunion.app.demo.guard.uploads import guarded
from poseunion.app.demo.own_review import KeptExtension, OwnReviews
from poseunion.app.demo.review_actions import ReviewActions, ReviewOutputs, ReviewState
from poseunion.models.errors import BadArgumentError, PoseUnionError

HOW = (
    "<p>Complete a file in the tab Extend and press <i>Review these</i>, or start with one: "
    "<code>poseunion demo --review extended.json --images DIR</code>.</p>"
)
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


def review_tab(
    files: list[Path],
    images: Path | None,
    reviewer: str,
    load: gr.Blocks,
    tabs: gr.Tabs,
    extended: ExtendTab,
    own: OwnReviews,
) -> None:
    """Build the tab; without files, a text on how to start a review.

    Args:
        load: the page, whose loading shows the first person.
        tabs: of the page.
        extended: where a visitor completes a file that is reviewed here.
        own: these files.
    """
    served = None if not files or images is None else ReviewActions(files, images)
    state = gr.State(ReviewState(), time_to_live=24 * 3600)
    how = gr.HTML(HOW, padding=False, visible=served is None)
    with gr.Row(elem_classes="studio review", visible=served is not None) as studio:
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
                value=0 if files else None,
                label="File",
                visible=len(files) > 1,
                elem_id="review-file",
            )
            name = gr.Textbox(reviewer, label="Reviewer", max_lines=1, max_length=60, elem_id="reviewer")
            human = gr.Checkbox(False, label="Also change points that people labelled", elem_id="human")
            save = gr.Button("Save the reviewed file", size="sm", visible=False, elem_id="save-review")
            gr.HTML(asset("review_help.html"), apply_default_css=False, padding=False)
    saved = gr.HTML({}, html_template="<i></i>", js_on_load=asset("save.js"), padding=False, elem_id="saved-review")

    outputs = [state, shown, listed, side]

    def actions_of(now: ReviewState) -> ReviewActions:
        """Those on the file of this session."""
        if (found := now.own or served) is None:
            raise BadArgumentError("No file is under review: complete one in the tab Extend.")
        return found

    def after(now: ReviewState, act: Callable[[], ReviewState]) -> ReviewOutputs:
        """The page after `act`; where it fails, the page as it was, with the error's sentence."""
        try:
            return actions_of(now).show(act())
        except PoseUnionError as error:
            return actions_of(now).show(replace(now, note=str(error)))

    @guarded(_failed)
    def open_file(index: int) -> ReviewOutputs:
        return actions_of(ReviewState()).show(ReviewState(file=int(index) % len(files)))

    @guarded(_failed)
    def on_key(event: gr.EventData, now: ReviewState, reviewer: str, human: bool) -> ReviewOutputs:
        return after(now, lambda: actions_of(now).key(now, str(event.key), reviewer, human, str(event.seen)))

    @guarded(_failed)
    def on_place(event: gr.EventData, now: ReviewState, reviewer: str, human: bool) -> ReviewOutputs:
        if (region := now.region) is None:
            raise BadArgumentError("No picture is shown.")
        to = region.to_image(float(event.x), float(event.y))
        return after(now, lambda: actions_of(now).move(now, str(event.name), to, reviewer, human))

    @guarded(_failed)
    def on_choose(event: gr.EventData, now: ReviewState) -> ReviewOutputs:
        names = actions_of(now).file(now.file).names
        return actions_of(now).show(replace(now, selected=event.name) if event.name in names else now)

    @guarded(_failed)
    def on_filter(event: gr.EventData, now: ReviewState) -> ReviewOutputs:
        return after(now, lambda: actions_of(now).choose(now, str(event.question), str(event.keypoint)))

    @guarded(_failed)
    def on_jump(event: gr.EventData, now: ReviewState) -> ReviewOutputs:
        return after(now, lambda: actions_of(now).jump(now, str(event.to)))

    def press(key: str) -> Any:
        @guarded(_failed)
        def pressed(now: ReviewState, reviewer: str, human: bool) -> ReviewOutputs:
            return after(now, lambda: actions_of(now).key(now, key, reviewer, human))

        return pressed

    def open_own(kept: KeptExtension | None) -> dict[Any, Any]:
        try:
            begun = own.open(kept)
            found = actions_of(begun).show(begun)
        except PoseUnionError as error:
            return {extended.shown: CanvasContent(status=str(error), error=True).to_json()}
        visible = {how: gr.update(visible=False), studio: gr.update(visible=True), save: gr.update(visible=True)}
        elsewhere = {tabs: gr.update(selected="review"), file: gr.update(visible=False), saved: {"open": True}}
        return {**visible, **elsewhere, **dict(zip(outputs, found, strict=True))}

    @guarded(lambda sentence: {})
    def save_own(now: ReviewState) -> dict[str, Any]:
        if now.own is None:  # the server's files stay on the server
            return {}
        review = now.own.file(0)
        review.saver.finish()
        return {"name": review.path.name, "content": review.path.read_text(encoding="utf-8")}

    # One reviewer's steps are worked on in their order; they are quick. A key that is pressed meanwhile waits.
    quick: dict[str, Any] = {"concurrency_id": "review", "concurrency_limit": 1, "show_progress": "hidden"}
    quick["trigger_mode"] = "multiple"
    inputs = [state, name, human]
    if served is not None:
        load.load(open_file, file, outputs, **quick)
    extended.review.click(
        open_own, extended.kept, [tabs, how, studio, file, save, saved, extended.shown, *outputs], **quick
    )
    save.click(save_own, state, saved, **quick)
    file.input(open_file, file, outputs, **quick)
    shown.shortcut(on_key, inputs, outputs, **quick)
    shown.place(on_place, inputs, outputs, **quick)
    shown.choose(on_choose, state, outputs, **quick)
    listed.choose(on_choose, state, outputs, **quick)
    side.choose(on_filter, state, outputs, **quick)
    side.jump(on_jump, state, outputs, **quick)
    for key, button in buttons.items():
        button.click(press(key), inputs, outputs, **quick)


def _failed(sentence: str) -> tuple[Any, ...]:
    # The state stays: it holds a visitor's own file.
    return gr.skip(), CanvasContent(status=sentence, error=True).to_json(), f"<p>{escape(sentence)}</p>", {}
