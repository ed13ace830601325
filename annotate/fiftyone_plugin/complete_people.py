"""Completion of the people of a FiftyOne dataset: its labels as a COCO file, `annotate extend`, proposals as labels.

The user's labels are read and never changed. Points are written as FiftyOne's own COCO importer reads them, which
takes x / width and y / height.

Shapes: K keypoints of the dataset's skeleton.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from poseunion.annotate.extend.proposer import load_proposer
from poseunion.annotate.extend.run import Options, extend, run_path
from poseunion.annotate.fiftyone_plugin.linked import REVIEW_IS_COMPLETE, is_linked, is_review, linked
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.review_entries import last_entries
from poseunion.annotate.review.decisions import decisions_of, read_extended, save
from poseunion.annotate.review.fiftyone.database import PROPOSALS
from poseunion.annotate.review.fiftyone.dataset import LINK, PULLED, SHOWN, TAGS, proposal_label
from poseunion.annotate.review.fiftyone.pull import unpulled
from poseunion.annotate.review.priority import queue
from poseunion.models.errors import BadArgumentError
from poseunion.models.files import write_json

# The ids of all proposals lie in the dataset's document, which the database limits to 16 MB: about 150 bytes each.
MOST_PROPOSALS = 80_000
PEOPLE_FILE, EXTENDED_FILE = "people.json", "extended.json"


@dataclass(frozen=True)
class Completed:
    """Outcome of `complete_people`: the extended file, people and proposals in it, and (person, why) of those left."""

    file: Path
    people: int
    proposals: int
    accepted: int
    bad: tuple[tuple[str, str], ...]

    @property
    def sentence(self) -> str:
        """The counts."""
        skipped = f"; {len(self.bad)} people skipped ({self.bad[0][1]})" if self.bad else ""
        return (
            f"{self.people} people with {self.proposals} proposals, {self.accepted} accepted by threshold{skipped}. "
            f"File: {self.file}"
        )


def people_fields(dataset: Any) -> list[str]:
    """Fields of people whose keypoints have names: `Keypoints` with a skeleton."""
    import fiftyone as fo

    fields = dataset.get_field_schema(embedded_doc_type=fo.Keypoints)
    return [field for field in fields if field != PROPOSALS and _names(dataset, field)]


def complete_people(
    dataset: Any,
    view: Any,
    field: str,
    folder: Path,
    *,
    model: str = "unified",
    fill_gaps: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Completed:
    """Propose the keypoints that people lack, into the field `proposals` and an extended file.

    People who were completed before stay: they are completed again, and decisions about them are kept.

    Args:
        view: whose labels of `field` are completed.
        field: `Keypoints` with a skeleton of named keypoints; a label is a person.
        folder: where the extended file is, for `annotate apply` and `release`.
        model, fill_gaps: as of `annotate extend`.

    Raises:
        BadArgumentError: the dataset cannot be completed. As `extend`.
    """
    _refuse(dataset, field)
    earlier = linked(dataset) if is_linked(dataset) else None
    people = set(view.values(f"{field}.keypoints.id", unwind=True))
    people |= {shown[0] for shown in earlier.shown.values()} if earlier else set()
    document, images = people_as_coco(dataset, field, people)
    if not document["annotations"]:
        raise BadArgumentError(f"The view has no person in the field {field!r}.")
    source, out = folder / PEOPLE_FILE, folder / EXTENDED_FILE
    write_json(source, document)
    kept = decisions_of(read_extended(earlier.file)) if earlier else []
    # Beside the earlier file until it has that one's decisions.
    new = folder / f"new.{EXTENDED_FILE}"
    proposer = load_proposer([model], lambda _: None)
    options = Options(format="coco", fill_gaps=fill_gaps, overwrite=True)
    report = extend(read_annotations(source), images, proposer, new, options, progress=progress)
    save(new, kept)
    run_path(new).replace(run_path(out))
    new.replace(out)
    proposals = _show(dataset, field, out)
    counts = report.keypoints.values()
    bad = tuple((str(b["id"]), str(b["reason"])) for b in report.bad)
    return Completed(out, report.predicted, proposals, sum(c["accepted"] for c in counts), bad)


def _refuse(dataset: Any, field: str) -> None:
    if is_review(dataset):
        raise BadArgumentError(REVIEW_IS_COMPLETE)
    if not _names(dataset, field):
        raise BadArgumentError(
            f"The field {field!r} has no skeleton: set dataset.skeletons[{field!r}] (or default_skeleton) to a "
            "fo.KeypointSkeleton with the labels of its keypoints."
        )
    if not is_linked(dataset):
        if dataset.has_field(PROPOSALS):
            raise BadArgumentError(f"The dataset has a field {PROPOSALS!r} of its own: rename it.")
        return
    if dataset.info[LINK]["people"] != field:
        raise BadArgumentError(f"The people of {dataset.info[LINK]['people']!r} were completed: choose that field.")
    if waiting := unpulled(dataset):
        raise BadArgumentError(f"{waiting} tags are not recorded yet: run the operator `Record tags` first.")


def _names(dataset: Any, field: str) -> list[str]:
    skeleton = dataset.skeletons.get(field) or dataset.default_skeleton
    return [] if skeleton is None else list(skeleton.labels or ())


def people_as_coco(dataset: Any, field: str, people: set[str]) -> tuple[dict[str, Any], Path]:
    """COCO document of the labels with these ids, and the folder that its picture names are relative to."""
    names = _names(dataset, field)
    view = dataset.exists(field)
    view.exists("metadata.width", False).compute_metadata(num_workers=1, progress=False)
    columns = ("id", "filepath", "metadata.width", "metadata.height", f"{field}.keypoints.id")
    rows = [
        row
        for row in zip(*view.values([*columns, f"{field}.keypoints.points"]), strict=True)
        if not people.isdisjoint(row[4] or ())
    ]
    folders = {str(Path(row[1]).parent) for row in rows}
    root = Path(os.path.commonpath(folders)) if folders else Path()
    images, records = [], []
    for sample, path, width, height, ids, points in rows:
        images.append(
            {"id": sample, "file_name": Path(path).relative_to(root).as_posix(), "width": width, "height": height}
        )
        for person, points_K in zip(ids, points, strict=True):
            if person in people and len(points_K) == len(names):
                xyv = [_xyv(x * width, y * height) for x, y in points_K]
                records.append(_record(person, sample, xyv))
    category = {"id": 1, "name": "person", "keypoints": names}
    return {"images": images, "categories": [category], "annotations": records}, root


def _xyv(x: float, y: float) -> tuple[float, float, int]:
    return (x, y, 2) if math.isfinite(x) and math.isfinite(y) else (0, 0, 0)


def _record(person: str, sample: str, xyv: list[tuple[float, float, int]]) -> dict[str, Any]:
    return {
        "id": person,
        "image_id": sample,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [value for point in xyv for value in point],
        "num_keypoints": sum(v > 0 for _, _, v in xyv),
    }


def _show(dataset: Any, field: str, file: Path) -> int:
    """Replace the field `proposals` by those of a file, with the tags of its decisions; returns their number."""
    import fiftyone as fo

    annotations = read_extended(file)
    labels: dict[str, list[Any]] = {}
    shown: dict[str, list[Any]] = {}
    pulled: dict[str, str] = {}
    for person in queue(annotations, decided=True):
        record = annotations.records[person.row]
        image = annotations.images[int(annotations.image_index[person.row])]
        decided = last_entries(record)
        for candidate in person.candidates:
            label = proposal_label(
                fo, candidate, np.array(candidate.xy) / [image.width, image.height], person=record["id"]
            )
            tag = decided[candidate.keypoint]["decision"] if candidate.keypoint in decided else None
            if tag in TAGS:
                label.tags, pulled[label.id] = [tag], tag
            labels.setdefault(str(image.id), []).append(label)
            shown[label.id] = [record["id"], candidate.keypoint, *candidate.xy]
    if len(shown) > MOST_PROPOSALS:
        raise BadArgumentError(
            f"{len(shown)} proposals are more than {MOST_PROPOSALS}, the most of one dataset: complete a smaller view, "
            f"or use annotate review {file}."
        )
    if dataset.has_field(PROPOSALS):
        dataset.clear_sample_field(PROPOSALS)
    else:
        dataset.add_sample_field(PROPOSALS, fo.EmbeddedDocumentField, embedded_doc_type=fo.Keypoints)
    values = {sample: fo.Keypoints(keypoints=keypoints) for sample, keypoints in labels.items()}
    dataset.set_values(PROPOSALS, values, key_field="id")
    dataset.add_dynamic_sample_fields(fields=PROPOSALS)
    place = {"file": str(file.resolve()), "people": field}
    dataset.info = {**dataset.info, SHOWN: shown, PULLED: pulled, LINK: place}
    dataset.save()
    return len(shown)
