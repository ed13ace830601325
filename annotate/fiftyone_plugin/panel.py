"""Modal panel of the FiftyOne plugin: where the open sample's keypoints are from, how certain, and what was decided."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from poseunion.annotate.fiftyone_plugin.linked import Linked, decide, is_linked, linked, proposals_in_scope
from poseunion.annotate.fiftyone_plugin.operators import recorded, reviewer_of
from poseunion.annotate.formats.point_states import NO_POINT, states_at
from poseunion.annotate.formats.review_entries import last_entries_at, proposal_of
from poseunion.annotate.formats.types import AnnotationSet
from poseunion.annotate.review.fiftyone.database import PROPOSALS
from poseunion.annotate.review.fiftyone.dataset import TAGS

HEADS = ("keypoint", "state", "confidence", "sd, px", "disagreement", "decision")


def provenance(annotations: AnnotationSet, row: int, keypoints: set[str] | None = None) -> list[tuple[str, ...]]:
    """Rows of `HEADS` for a person's keypoints, in the skeleton's order; None: all that are not empty."""
    record, entries = annotations.records[row], last_entries_at(annotations, row)
    rows = []
    for name, state in states_at(annotations, row):
        if (state == NO_POINT and name not in entries) if keypoints is None else name not in keypoints:
            continue
        proposal, entry = proposal_of(record, name) or {}, entries.get(name)
        numbers = (proposal.get(key) for key in ("confidence", "sd_px", "disagreement"))
        decision = "" if entry is None else f"{entry['decision']}, {entry['reviewer']}, {entry['time'][:16]}"
        rows.append((name, state, *("" if n is None else f"{n:.2f}" for n in numbers), decision))
    return rows


def provenance_markdown(of: Linked, selected: list[str], sample: str | None) -> str:
    """Tables of the people that own the selected labels, else of all people of a sample.

    Args:
        selected: ids of proposals, of which only these keypoints are shown, or of people.
        sample: id of the open one.
    """
    annotations, shown = of.read(), of.shown
    row_of = {record["id"]: row for row, record in enumerate(annotations.records)}
    wanted: dict[Any, set[str] | None] = {}
    for label in selected:
        if label in shown:
            annotation, keypoint = shown[label][:2]
            wanted[annotation] = (wanted.get(annotation, set()) or set()) | {keypoint}
        elif label in row_of:
            wanted[label] = None
    if not wanted and sample:
        ids = of.dataset.select(sample).values(f"{PROPOSALS}.keypoints.id", unwind=True)
        wanted = {shown[label][0]: None for label in ids if label in shown}
    lines = []
    for annotation, keypoints in wanted.items():
        head = ["", f"**annotation {annotation}**", "", f"| {' | '.join(HEADS)} |", "|" + " --- |" * len(HEADS)]
        rows = provenance(annotations, row_of[annotation], keypoints)
        lines += [*head, *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) or "This sample has no proposals."


class Provenance(foo.Panel):
    """The panel."""

    @property
    def config(self) -> Any:
        """FiftyOne's description of it."""
        return foo.PanelConfig(
            name="provenance", label="Provenance", surfaces="modal", icon="fact_check", help_markdown=str(__doc__)
        )

    def on_load(self, ctx: Any) -> None:
        """Show the open sample."""
        self._show(ctx)

    def on_change_current_sample(self, ctx: Any) -> None:
        """Show the next sample."""
        self._show(ctx)

    def on_change_selected_labels(self, ctx: Any) -> None:
        """Show the selected keypoints."""
        self._show(ctx)

    def _show(self, ctx: Any) -> None:
        if not is_linked(ctx.dataset):
            text = "This dataset has no proposals: run the operator `Complete people`."
        else:
            selected = [label["label_id"] for label in ctx.selected_labels]
            text = provenance_markdown(linked(ctx.dataset), selected, ctx.current_sample)
        ctx.panel.set_state("table", text)

    def _decide(self, ctx: Any, tag: str) -> None:
        of = linked(ctx.dataset)
        done = recorded(of, decide(of, proposals_in_scope(ctx), tag, reviewer_of(ctx)))
        self._show(ctx)
        ctx.ops.reload_samples()
        ctx.ops.notify(done["sentence"], variant="success")

    def accept(self, ctx: Any) -> None:
        """Button."""
        self._decide(ctx, TAGS[0])

    def reject(self, ctx: Any) -> None:
        """Button."""
        self._decide(ctx, TAGS[1])

    def needs_fix(self, ctx: Any) -> None:
        """Button."""
        self._decide(ctx, TAGS[2])

    def render(self, ctx: Any) -> Any:
        """Buttons and the table."""
        panel = types.Object()
        buttons = panel.h_stack("buttons", gap=1)
        for method, label in ((self.accept, "Accept"), (self.reject, "Reject"), (self.needs_fix, "Needs a fix")):
            buttons.btn(method.__name__, label=label, on_click=method, variant="outlined")
        panel.md(ctx.panel.get_state("table") or "", name="table_text")
        return types.Property(panel, view=types.GridView(orientation="vertical", padding=2))
