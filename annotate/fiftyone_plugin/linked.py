"""Link between a FiftyOne dataset and the extended file of its proposals, and the labels that an operator is about.

A dataset is linked by `annotate review` (one sample a person) or by the operator `complete` (samples are the user's
pictures). In both, decisions are tags on the labels of the field `proposals`, recorded by `pull`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.review.decisions import read_extended
from poseunion.annotate.review.fiftyone.database import PROPOSALS
from poseunion.annotate.review.fiftyone.dataset import LINK, SHOWN, TAGS
from poseunion.annotate.review.fiftyone.pull import Pulled, pull
from poseunion.models.errors import BadArgumentError

# Why `complete` refuses the dataset of an `annotate review`.
REVIEW_IS_COMPLETE = "The people of an `annotate review` are complete: open your own dataset."


@dataclass(frozen=True)
class Linked:
    """A dataset and its file.

    Attributes:
        file: the extended file.
        people: field of the labels that were completed, whose ids are the file's; None in an `annotate review`.
    """

    dataset: Any
    file: Path
    people: str | None

    @property
    def shown(self) -> dict[str, list[Any]]:
        """Label id of each proposal -> annotation id, keypoint, x, y."""
        return dict(self.dataset.info[SHOWN])

    def read(self) -> AnnotationSet:
        """The file; raises BadFileError."""
        status = self.file.stat() if self.file.is_file() else None
        return _read(self.file, None if status is None else (status.st_mtime_ns, status.st_size))


@functools.lru_cache(maxsize=1)
def _read(file: Path, state: Any) -> AnnotationSet:
    return read_extended(file)


def is_linked(dataset: Any) -> bool:
    """Whether it has proposals."""
    return dataset is not None and LINK in dataset.info and SHOWN in dataset.info


def linked(dataset: Any) -> Linked:
    """A dataset's file; raises BadArgumentError where there is none."""
    if not is_linked(dataset):
        raise BadArgumentError("This dataset has no proposals: run the operator `Complete people` first.")
    place = dataset.info[LINK]
    return Linked(dataset, Path(place["file"]), place["people"])


def is_review(dataset: Any) -> bool:
    """Whether `annotate review` made it: its people are complete, and its database is the review's own."""
    return is_linked(dataset) and dataset.info[LINK]["people"] is None


def proposals_in_scope(ctx: Any) -> list[str]:
    """Ids of the proposals that an operator is about: those selected, else the open sample's, else the view's.

    Args:
        ctx: FiftyOne's `ExecutionContext`.
    """
    shown = linked(ctx.dataset).shown
    if ctx.selected_labels:
        return [label["label_id"] for label in ctx.selected_labels if label["label_id"] in shown]
    view = ctx.view
    if ctx.current_sample:
        view = view.select(ctx.current_sample)
    elif ctx.selected:
        view = view.select(ctx.selected)
    return list(view.values(f"{PROPOSALS}.keypoints.id", unwind=True))


def decide(of: Linked, labels: list[str], tag: str, reviewer: str) -> Pulled:
    """Tag proposals, in place of their earlier tag, and record all new tags of the dataset in the file.

    Raises:
        BadArgumentError: there is nothing to decide on. BadFileError: the file is damaged or cannot be written.
    """
    if not labels:
        raise BadArgumentError("No proposal is selected or in the view.")
    chosen = of.dataset.select_labels(ids=labels, fields=PROPOSALS)
    chosen.untag_labels([other for other in TAGS if other != tag], label_fields=PROPOSALS)
    chosen.tag_labels(tag, label_fields=PROPOSALS)
    return pull(of.dataset, of.file, reviewer)
