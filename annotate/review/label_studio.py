"""Review in Label Studio: people go out as predictions of tasks, annotations made of them come back as decisions.

Out: a json of tasks, one a picture, whose prediction has the people's rectangles with their points (`parentID`), and a
`score` of each proposal; human points are `readonly`. Beside it the labelling interface, an XML, with a choice
`decision` on each point. Back: Label Studio's export "JSON". A point that was moved is a fix, one that was deleted a
reject, one that became occluded a hide; a choice states any other decision. No server of ours takes part.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.extension_view import human_view
from poseunion.annotate.formats.review_entries import ACCEPT, HUMAN, NEEDS_FIX, NONE, REJECT, WITHDRAW, moment
from poseunion.annotate.formats.tools import label_studio, label_studio_write
from poseunion.annotate.formats.types import Source
from poseunion.annotate.review.decisions import now
from poseunion.annotate.review.returned import Returned, Review, compare, shown_people
from poseunion.models.errors import BadFileError
from poseunion.models.files import atomic_writer, read_json
from poseunion.models.skeleton import Skeleton

CHOICES = (ACCEPT, REJECT, NEEDS_FIX, WITHDRAW)
ID = "annotation_id"


def export_tasks(annotations: AnnotationSet, rows: list[int], out: Path, *, folder: str = "") -> int:
    """Write the people `rows` as tasks with predictions, see `shown_people`, and the interface beside them.

    Args:
        folder: of the pictures, below the root of Label Studio's local files.

    Returns:
        The number of people.
    """
    chosen, extension = shown_people(annotations, rows)
    written = io.BytesIO()
    label_studio_write.write(written, human_view(chosen), extension, folder=folder)
    block = annotations.source.document["poseunion"]
    model = (block.get("model") or {}).get("name") or "poseunion"
    people = 0
    tasks = json.loads(written.getvalue())
    for task in tasks:
        for annotation in task.pop("annotations"):
            people += _name_people(annotation["result"], chosen)
            scores = [item["score"] for item in annotation["result"] if "score" in item]
            score = {"score": float(np.mean(scores))} if scores else {}
            task["predictions"] = [{"model_version": model, **score, "result": annotation["result"]}]
    with atomic_writer(out) as file:
        file.write(json.dumps(tasks, ensure_ascii=False, indent=1).encode())
    classes = tuple(dict.fromkeys(chosen.people.values())) or ("person",)
    with atomic_writer(interface_path(out)) as file:
        file.write(label_studio_write.labelling_config(chosen.skeleton, classes, CHOICES).encode())
    return people


def interface_path(out: Path) -> Path:
    """The labelling interface beside an export."""
    return out.with_name(out.stem + ".interface.xml")


def _name_people(items: list[dict[str, Any]], chosen: AnnotationSet) -> int:
    """Give each rectangle its record's id, proposals a score, human points protection; returns the people."""
    people = 0
    for item in items:
        row = int(item.get("parentID", item["id"])[1:]) - 1  # `p1` is the first record
        record = chosen.records[row]
        if item["type"] == "rectanglelabels":
            people += 1
            item["meta"] = {ID: record["id"]}
            continue
        name = item["id"].partition("-")[2]
        k = chosen.skeleton.index(name)
        source = record["keypoint_source"][k]
        if source == HUMAN:
            item["readonly"] = True
        else:
            item["meta"] = {**item.get("meta", {}), "accepted": source != NONE}
            if (confidence := record["keypoint_confidence"][k]) is not None:
                item["score"] = confidence
    return people


def read_back(
    annotations: AnnotationSet,
    exported: Path,
    returned: Path,
    reviewer: str | None = None,
    *,
    accept_unmoved: bool = False,
) -> Returned:
    """Compare what came back with what went out; each annotator's work is a review of its own.

    Args:
        annotations: the extended file the export was made from; it may have got other decisions since.
        reviewer: name of all reviewers; None: what the annotations state.
        accept_unmoved: proposals that came back as they were are accepted: the reviewer has looked at every point.

    Raises:
        BadFileError: a file is no export of Label Studio, or of another skeleton.
    """
    sent = _tasks(exported)
    before = _read(exported, [{**t, "annotations": t.get("predictions") or []} for t in sent], annotations.skeleton)
    if not len(before) or not all(ID in record.get("meta", {}) for record in before.records):
        raise BadFileError(f"{exported} was not written by annotate label-studio-export: give the json that went out.")
    ids = [record["meta"][ID] for record in before.records]
    tasks = _tasks(returned)
    found = Returned(0, [], [], [], 0)
    for annotator in range(max((len(_annotations(task)) for task in tasks), default=0)):
        one = [{**task, "annotations": _annotations(task)[annotator : annotator + 1]} for task in tasks]
        after = _read(returned, one, annotations.skeleton)
        reviewed = {label_studio.picture_name(t["data"]) for t in one if t["annotations"]}
        reviews = [_review(task["annotations"][0], reviewer) if task["annotations"] else None for task in one]

        def review(row: int, after: AnnotationSet = after, reviews: list[Review | None] = reviews) -> Review:
            record = after.records[row]
            by = reviews[record["task"]]
            assert by is not None  # a record is of an annotation
            return Review(by.reviewer, by.time, _choices(record, returned))

        part = compare(
            annotations,
            before,
            after,
            ids,
            ([_region(record) or "" for record in before.records], [_region(record) for record in after.records]),
            review,
            rows=[i for i in range(len(before)) if _picture(before, i) in reviewed],
            accept_unmoved=accept_unmoved,
        )
        found = Returned(
            found.people + part.people,
            found.decisions + part.decisions,
            found.human + part.human,
            found.lost + part.lost,
            found.unmoved + part.unmoved,
        )
    return found


def _tasks(path: Path) -> list[dict[str, Any]]:
    tasks = read_json(path)
    if not isinstance(tasks, list) or not all(isinstance(t, dict) and isinstance(t.get("data"), dict) for t in tasks):
        raise BadFileError(f"{path} is not Label Studio's json: a list of tasks is expected.")
    return tasks


def _annotations(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The annotations of a task that were not cancelled."""
    results = label_studio.results_of(task)
    return (
        [a for a in results if isinstance(a, dict) and not a.get("was_cancelled")] if isinstance(results, list) else []
    )


def _read(path: Path, tasks: list[dict[str, Any]], skeleton: Skeleton) -> AnnotationSet:
    source = Source(path)
    source.__dict__["document"] = tasks  # parsed once
    return label_studio.read(source, skeleton)


def _region(record: dict[str, Any]) -> str | None:
    """Id of a person's rectangle; Label Studio adds the annotation's after a #."""
    return str(record["region"]).partition("#")[0] if "region" in record else None


def _picture(annotations: AnnotationSet, row: int) -> str:
    return annotations.images[int(annotations.image_index[row])].file_name


def _choices(record: dict[str, Any], path: Path) -> dict[str, str]:
    choices: dict[str, str] = record.get(label_studio.DECISION, {})
    for keypoint, choice in choices.items():
        if choice not in CHOICES:
            raise BadFileError(f"{path}: {choice!r}, chosen for {keypoint}, is none of {', '.join(CHOICES)}.")
    return choices


def _review(annotation: dict[str, Any], reviewer: str | None) -> Review:
    """Who made an annotation, and when it was changed last."""
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    stated = str(by) if isinstance(by, str) and by else f"user {by}"
    time = now()
    for key in ("created_at", "updated_at"):
        with contextlib.suppress(KeyError, ValueError, AttributeError):
            time = moment(annotation[key]).astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds")
    return Review(reviewer or stated, time)
