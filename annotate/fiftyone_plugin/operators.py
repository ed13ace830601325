"""Operators of the FiftyOne plugin `@poseunion/complete`: complete people, review proposals, certify the result.

Each is a form, a call of the package's own functions and a sentence; `plugins/complete/` is what FiftyOne finds.
"""

from __future__ import annotations

import getpass
import queue as thread_queue
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
from fiftyone.operators import types

from poseunion.annotate.audit import certificate as certificates
from poseunion.annotate.audit.sample import audit_path, audit_queue, checked_order, draw, population, read_audit
from poseunion.annotate.fiftyone_plugin.complete_people import complete_people, people_fields
from poseunion.annotate.fiftyone_plugin.linked import (
    REVIEW_IS_COMPLETE,
    Linked,
    decide,
    is_linked,
    is_review,
    linked,
    proposals_in_scope,
)
from poseunion.annotate.review.fiftyone.database import PROPOSALS
from poseunion.annotate.review.fiftyone.dataset import TAGS
from poseunion.annotate.review.fiftyone.pull import Pulled, pull
from poseunion.annotate.review.priority import queue
from poseunion.annotate.review.progress import progress_sentence, review_progress
from poseunion.models.errors import BadFileError
from poseunion.models.files import write_json

REVIEWER = "reviewer"
BUDGET = 100  # points of a first sample, as `annotate audit`


class ReviewOperator(foo.Operator):
    """Operator with a form, which may be scheduled (delegated) on a user's own dataset."""

    name, label, description, icon = "", "", "", "accessibility_new"
    generator = False

    @property
    def config(self) -> Any:
        """FiftyOne's description of it."""
        return foo.OperatorConfig(
            name=self.name,
            label=f"poseunion: {self.label}",
            description=self.description,
            icon=self.icon,
            dynamic=True,
            execute_as_generator=self.generator,
        )

    def resolve_execution_options(self, ctx: Any) -> Any:
        """Nothing is delegated in the private database of an `annotate review`, where no worker would find it."""
        return foo.ExecutionOptions(
            allow_immediate_execution=True, allow_delegated_execution=not is_review(ctx.dataset)
        )

    def resolve_output(self, ctx: Any) -> Any:
        """The sentence."""
        outputs = types.Object()
        outputs.str("sentence", label=self.label, view=types.MarkdownView(read_only=True))
        return types.Property(outputs, view=types.View(label=self.label))


def _form(label: str) -> tuple[Any, Callable[[], Any]]:
    inputs = types.Object()
    return inputs, lambda: types.Property(inputs, view=types.View(label=label))


def _ask_reviewer(inputs: Any) -> None:
    inputs.str(REVIEWER, label="Reviewer", default=getpass.getuser())


def reviewer_of(ctx: Any) -> str:
    """Who decides: the form's field, else the user of the App, else of this system."""
    return str(ctx.params.get(REVIEWER) or ctx.user_id or getpass.getuser())


class CompletePeople(ReviewOperator):
    """Proposes the keypoints that the people of the view or selection lack."""

    name, label = "complete", "Complete people"
    description = "Propose the keypoints that the people of the view or selection lack, with a confidence each"
    generator = True

    def resolve_input(self, ctx: Any) -> Any:
        """Form: field, model, gaps, folder."""
        inputs, form = _form(self.label)
        fields = people_fields(ctx.dataset)
        if is_review(ctx.dataset) or not fields:
            inputs.view("refused", types.Warning(label=_why_not(ctx.dataset)))
            return form()
        people = ctx.target_view().values(f"{ctx.params.get('field') or fields[0]}.keypoints.id", unwind=True)
        inputs.enum("field", fields, label="People", default=fields[0])
        inputs.str("model", label="Model", default="unified")
        inputs.bool("fill_gaps", label="Also what annotators could have labelled and left out", default=False)
        inputs.str("folder", label="Folder of the extended file", default=str(_folder(ctx.dataset)))
        inputs.view("people", types.Notice(label=f"{len(people)} people"))
        return form()

    def execute(self, ctx: Any) -> Iterator[Any]:
        """Complete, with progress; ends with a notification."""
        params = ctx.params
        field = params.get("field") or next(iter(people_fields(ctx.dataset)), "")
        folder = Path(params.get("folder") or _folder(ctx.dataset))

        def work(progress: Callable[[int, int], None]) -> Any:
            return complete_people(
                ctx.dataset,
                ctx.target_view(),
                field,
                folder,
                model=params.get("model") or "unified",
                fill_gaps=bool(params.get("fill_gaps")),
                progress=progress,
            )

        done = yield from _with_progress(ctx, work)
        yield ctx.ops.reload_dataset()
        yield ctx.ops.notify(done.sentence, variant="success")


def _folder(dataset: Any) -> Path:
    return linked(dataset).file.parent if is_linked(dataset) else Path(fo.config.default_dataset_dir) / dataset.name


def _why_not(dataset: Any) -> str:
    if is_review(dataset):
        return REVIEW_IS_COMPLETE
    return "No field of Keypoints has a skeleton with labels: set dataset.skeletons or dataset.default_skeleton."


def _with_progress(ctx: Any, work: Callable[[Callable[[int, int], None]], Any]) -> Generator[Any, None, Any]:
    """Run `work` in a thread and pass its progress on; returns its result, raises its error."""
    events: thread_queue.Queue[tuple[int, int] | None] = thread_queue.Queue()
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = work(lambda done, of: events.put((done, of)))
        except BaseException as error:
            outcome["error"] = error
        finally:
            events.put(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while (event := events.get()) is not None:
        done, of = event
        share, label = done / max(of, 1), f"{done} of {of} people"
        if ctx.delegated:
            ctx.set_progress(progress=share, label=label)
        else:
            yield ctx.ops.set_progress(label=label, progress=share)
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


class _Decide(ReviewOperator):
    """Decision about the selected proposals, else those of the open sample, else of the view."""

    tag = ""

    def resolve_input(self, ctx: Any) -> Any:
        """Form: how many proposals it is about, and the reviewer."""
        inputs, form = _form(self.label)
        if not is_linked(ctx.dataset):
            inputs.view("refused", types.Warning(label="This dataset has no proposals: complete its people first."))
            return form()
        inputs.view("count", types.Notice(label=f"{len(proposals_in_scope(ctx))} proposals"))
        _ask_reviewer(inputs)
        return form()

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Tag and record."""
        of = linked(ctx.dataset)
        pulled = decide(of, proposals_in_scope(ctx), self.tag, reviewer_of(ctx))
        ctx.ops.clear_selected_labels()
        ctx.ops.reload_samples()
        return recorded(of, pulled)


def recorded(of: Linked, pulled: Pulled) -> dict[str, Any]:
    """Result of an operator that recorded decisions."""
    refused = "".join(f" Not recorded: {keypoint}: {why}." for _, keypoint, why in pulled.refused)
    new = ", ".join(f"{count} {tag}" for tag, count in pulled.decisions.items()) or "nothing new"
    sentence = f"Recorded: {new}.{refused} {progress_sentence(review_progress(of.read()))}."
    return {"sentence": sentence, "recorded": pulled.decisions, "file": str(of.file)}


class Accept(_Decide):
    """Accepts proposals."""

    name, label, tag, icon = "accept", "Accept proposals", TAGS[0], "check"
    description = "The point is right"


class Reject(_Decide):
    """Rejects proposals."""

    name, label, tag, icon = "reject", "Reject proposals", TAGS[1], "close"
    description = "There is no such point here"


class MoveToReview(_Decide):
    """Marks proposals that have to be moved."""

    name, label, tag, icon = "needs_fix", "Move to review (needs a fix)", TAGS[2], "build"
    description = "The joint is there, the point is not on it: place it in the demo's review tab or in CVAT"


class RecordTags(ReviewOperator):
    """Records tags that were set in the App's own tag menu, as `annotate pull`."""

    name, label, icon = "record", "Record tags", "save"
    description = "Write the tags accept, reject and needs-fix into the file, as annotate pull does"

    def resolve_input(self, ctx: Any) -> Any:
        """Form: the reviewer."""
        inputs, form = _form(self.label)
        _ask_reviewer(inputs)
        return form()

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Pull."""
        of = linked(ctx.dataset)
        return recorded(of, pull(of.dataset, of.file, reviewer_of(ctx)))


class NextToReview(ReviewOperator):
    """Opens the person whose review is expected to change most, with the open proposals selected."""

    name, label, icon = "next", "Next to review", "navigate_next"
    description = "Open the person of the view most in need of a look, with the open proposals selected"

    def resolve_execution_options(self, ctx: Any) -> Any:
        """Only in the App."""
        return foo.ExecutionOptions(allow_immediate_execution=True, allow_delegated_execution=False)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Open the sample and select the labels."""
        found = next_person(linked(ctx.dataset), ctx.view)
        if found is None:
            ctx.ops.notify("No proposal of the view is left to decide.", variant="success")
            return {"sentence": "No proposal of the view is left to decide."}
        sample, annotation, labels = found
        ctx.ops.open_sample(id=sample)
        ctx.ops.set_selected_labels([{"labelId": x, "sampleId": sample, "field": PROPOSALS} for x in labels])
        return {"sample": sample, "annotation": annotation, "labels": labels}

    def resolve_output(self, ctx: Any) -> Any:
        """Nothing: the sample opens."""
        return None


def next_person(of: Linked, view: Any) -> tuple[str, Any, list[str]] | None:
    """Sample, annotation and open proposals of the person of a view to be looked at first; None: nothing is open.

    People of the audit's sample come first, then those with the greatest gain.
    """
    shown, annotations = of.shown, of.read()
    open_labels: dict[Any, tuple[str, list[str]]] = {}
    columns = view.values(["id", f"{PROPOSALS}.keypoints.id", f"{PROPOSALS}.keypoints.tags"])
    for sample, ids, tags in zip(*columns, strict=True):
        for label, given in zip(ids or (), tags or (), strict=True):
            if label in shown and not set(TAGS) & set(given or ()):
                open_labels.setdefault(shown[label][0], (sample, []))[1].append(label)
    drawn = dict.fromkeys(row for row, _ in audit_queue(annotations))
    for row in [*drawn, *(person.row for person in queue(annotations))]:
        if (annotation := annotations.records[row]["id"]) in open_labels:
            sample, labels = open_labels[annotation]
            return sample, annotation, labels
    return None


class Certify(ReviewOperator):
    """Draws a random sample for inspection; once it is inspected, bounds the gross errors among all added points."""

    name, label, icon = "certify", "Certify", "verified"
    description = "Draw accepted proposals for inspection, or bound the errors of all from those inspected"

    def resolve_input(self, ctx: Any) -> Any:
        """Form: budget of a first sample, target, reviewer of tags that are not recorded yet."""
        inputs, form = _form(self.label)
        inputs.int("budget", label="Points to inspect, where no sample is drawn yet", default=BUDGET, min=1)
        inputs.float("target", label="Share of gross errors to certify", default=0.05, min=0.0, max=1.0)
        _ask_reviewer(inputs)
        return form()

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Record the tags, then draw or certify."""
        of = linked(ctx.dataset)
        pull(of.dataset, of.file, reviewer_of(ctx))
        annotations, path = of.read(), audit_path(of.file)
        if not _has_sample(of):
            audit = draw(annotations, int(ctx.params.get("budget") or BUDGET))
            write_json(path, audit.model_dump(), indent=1)
            return {
                "sentence": f"{len(audit.drawn)} of {audit.points} added points are drawn. Run `Next to review` and "
                "decide on them, then certify again.",
                "drawn": len(audit.drawn),
            }
        target = float(ctx.params.get("target") or 0.05)
        made = certificates.certify(annotations, read_audit(path), target, certificates.CONFIDENCE, None)
        certificates.save(of.file, made)
        return {"sentence": "\n\n".join(made.sentences), "at_most": made.pooled.at_most}


def _has_sample(of: Linked) -> bool:
    """Whether a sample of the file's present points is drawn: completing again gives other points."""
    path = audit_path(of.file)
    if not path.is_file():
        return False
    try:
        checked_order(read_audit(path), population(of.read()), of.file)
    except BadFileError:
        return False
    return True


OPERATORS = (CompletePeople, NextToReview, Accept, Reject, MoveToReview, RecordTags, Certify)
