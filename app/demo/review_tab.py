"""Review: step through the people of an extended file, decide on their proposals, move what lies wrong."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from poseunion.app.demo.canvas import CanvasContent, asset, canvas
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
# What the browser does by itself: it presses a button's key, and gives the outbox (review_outbox.js) its events.
PRESS = "() => { document.dispatchEvent(new KeyboardEvent('keydown', { key: '%s' })); }"
OPEN = "(index) => { document.dispatchEvent(new CustomEvent('review-act', { detail: { what: 'file', index } })); }"
ANSWERED = "() => { document.dispatchEvent(new CustomEvent('review-answered')); }"


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
            listed = gr.HTML(
                "", js_on_load=asset("review_list.js"), apply_default_css=False, padding=False, elem_id="keypoints"
            )
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
    outbox = gr.HTML("", js_on_load=asset("review_outbox.js"), padding=False, elem_id="review-outbox")

    outputs = [state, shown, listed, side]

    def actions_of(now: ReviewState) -> ReviewActions:
        """Those on the file of this session."""
        if (found := now.own or served) is None:
            raise BadArgumentError("No file is under review: complete one in the tab Extend.")
        return found

    @guarded(_failed)
    def open_file(index: int) -> ReviewOutputs:
        return actions_of(ReviewState()).show(ReviewState(file=int(index) % len(files)))

    @guarded(_failed)
    def act(event: gr.EventData, now: ReviewState, reviewer: str, human: bool) -> ReviewOutputs:
        actions = actions_of(now)
        return actions.show(actions.act(now, event.actions, reviewer, human))

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

    quick: dict[str, Any] = {"concurrency_id": "review", "concurrency_limit": 1, "show_progress": "hidden"}
    if served is not None:
        load.load(open_file, file, outputs, **quick)
    extended.review.click(
        open_own, extended.kept, [tabs, how, studio, file, save, saved, extended.shown, *outputs], **quick
    )
    save.click(save_own, state, saved, **quick)
    # The outbox has one request under way at a time. Not trigger_mode `always_last`: Gradio 6.31 then sends the data of
    # an earlier event again; not `once`: the next request begins before Gradio has closed the one that was answered.
    answer = outbox.act(act, [state, name, human], outputs, trigger_mode="multiple", **quick)
    answer.then(None, js=ANSWERED)
    answer.failure(None, js=ANSWERED)
    file.input(None, file, None, js=OPEN)
    for key, button in buttons.items():
        button.click(None, js=PRESS % key)


def _failed(sentence: str) -> tuple[Any, ...]:
    # The state stays: it holds a visitor's own file.
    return gr.skip(), CanvasContent(status=sentence, error=True).to_json(), f"<p>{escape(sentence)}</p>", {}
