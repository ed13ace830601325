"""A review slice as a FiftyOne dataset: one sample per person, worst first.

Field `human` is the skeleton that people labelled, `derived` the midpoints, `proposals` one `Keypoint` of one point for
each proposal, because the App tags labels, not points. A label's id refers to its record and keypoint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from poseunion.annotate.extend.image_reader import Pictures
from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.point_states import BY_THRESHOLD, NOT_ACCEPTED
from poseunion.annotate.formats.types import name_of
from poseunion.annotate.review.doubts import DOUBTFUL
from poseunion.annotate.review.fiftyone.crops import Window, window_of, write_cutout
from poseunion.annotate.review.fiftyone.database import DATASET, PROPOSALS
from poseunion.annotate.review.fiftyone.slice import Slice
from poseunion.annotate.review.priority import Candidate, Person
from poseunion.models.drawing import ROLE_COLOURS
from poseunion.models.errors import ItemError
from poseunion.models.skeleton import Skeleton

TAGS = ("accept", "reject", "needs-fix")

# Keys of the dataset's info: label id -> annotation id, keypoint, x, y; label id -> the tag that is in the file; the
# extended file and, where the dataset is the user's, the field of the people that were completed.
SHOWN, PULLED, LINK = "shown", "pulled", "poseunion"

_VIOLET = (190, 70, 255)  # of those not accepted: as far from the others' red as from the derived points' amber
_TAG_COLOURS = {"accept": "#2fb344", "reject": "#d63939", "needs-fix": "#f59f00"}


@dataclass(frozen=True)
class Built:
    """Outcome of `build`: people and proposals in the dataset, the saved views, and (picture, why) of those skipped."""

    people: int
    proposals: int
    views: tuple[str, ...]
    bad: list[tuple[str, str]]


def build(
    fo: Any,
    annotations: AnnotationSet,
    chosen: Slice,
    images: Path,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Built:
    """Make the dataset anew in the database that `fo` (the package fiftyone) has open.

    Args:
        images: folder of the pictures.
        folder: where the cut-outs go.
    """
    pictures = Pictures(images)
    samples, bad = [], []
    shown: dict[str, list[Any]] = {}
    for rank, person in enumerate(chosen.people, 1):
        try:
            sample = _sample(fo, annotations, person, rank, chosen, pictures, folder)
            samples.append(sample)
            for candidate, label in zip(person.candidates, sample.proposals.keypoints, strict=True):
                shown[label.id] = [
                    name_of(annotations.records[person.row], person.row),
                    candidate.keypoint,
                    *candidate.xy,
                ]
        except ItemError as error:
            record = annotations.records[person.row]
            bad.append((f"annotation {name_of(record, person.row)}", str(error)))
        if progress is not None:
            progress(rank, len(chosen.people))
    if fo.dataset_exists(DATASET):
        fo.delete_dataset(DATASET)
    dataset = fo.Dataset(DATASET, persistent=True)
    dataset.add_samples(samples)
    dataset.add_dynamic_sample_fields()
    _show(fo, dataset, annotations.skeleton)
    names = [c.keypoint for c in chosen.candidates]
    views = save_views(fo, dataset, [k for k in annotations.skeleton.keypoints if k in names])
    # Last, as the sign that it is whole; and not in the labels, whose every field the App lists beside the pointer.
    place = {"file": str(annotations.source.path.resolve()), "people": None}
    dataset.info = {SHOWN: shown, PULLED: {}, LINK: place}
    dataset.save()
    return Built(len(samples), sum(len(s.proposals.keypoints) for s in samples), views, bad)


def existing(fo: Any) -> Any | None:
    """The dataset that was built last; None where there is none or its making was interrupted."""
    dataset = fo.load_dataset(DATASET) if fo.dataset_exists(DATASET) else None
    return dataset if dataset is not None and SHOWN in dataset.info else None


def _sample(
    fo: Any, annotations: AnnotationSet, person: Person, rank: int, chosen: Slice, pictures: Pictures, folder: Path
) -> Any:
    """One person; raises ItemError when the picture cannot be used."""
    row, record = person.row, annotations.records[person.row]
    if annotations.image_index[row] < 0:
        raise ItemError("the record names no picture of the file")
    image_ref = annotations.images[int(annotations.image_index[row])]
    image = pictures.read(image_ref)
    labelled = annotations.visibility[row] > 0
    proposed = np.array([c.xy for c in person.candidates])
    size = (image.shape[1], image.shape[0])
    window = window_of(np.concatenate([annotations.xy[row, labelled], proposed]), annotations.box_xywh[row], size)
    path = (folder / f"{rank:05d}.jpg").resolve()
    width, height = write_cutout(path, image, window)
    source = np.array(record["keypoint_source"])
    return fo.Sample(
        filepath=str(path),
        metadata=fo.ImageMetadata(width=width, height=height, num_channels=3, mime_type="image/jpeg"),
        rank=rank,
        gain=round(person.gain, 4),
        annotation=str(name_of(record, row)),
        picture=image_ref.file_name,
        human=_human(fo, annotations, row, window, labelled & (source == "human")),
        derived=fo.Keypoints(
            keypoints=[
                _point(fo, annotations.skeleton.keypoints[k], window, annotations.xy[row, k])
                for k in np.flatnonzero(labelled & (source == "derived"))
            ]
        ),
        proposals=fo.Keypoints(
            keypoints=[
                proposal_label(fo, c, window.relative(np.array(c.xy)), audit=(c.row, c.keypoint) in chosen.audited)
                for c in person.candidates
            ]
        ),
    )


def proposal_label(fo: Any, candidate: Candidate, relative_xy: Any, **attributes: Any) -> Any:
    """`Keypoint` of one proposal, at FiftyOne's coordinates (2,)."""
    return fo.Keypoint(
        label=candidate.keypoint,
        points=[np.asarray(relative_xy).tolist()],
        confidence=[candidate.confidence],
        state=BY_THRESHOLD if candidate.accepted else NOT_ACCEPTED,
        gain=round(candidate.gain, 4),
        uncertainty=round(candidate.uncertainty, 4),
        disagreement=None if candidate.disagreement is None else round(candidate.disagreement, 3),
        swap=candidate.swap,
        **attributes,
    )


def _human(fo: Any, annotations: AnnotationSet, row: int, window: Window, human_K: Any) -> Any:
    points = np.where(human_K[:, None], window.relative(annotations.xy[row]), np.nan)
    return fo.Keypoints(keypoints=[fo.Keypoint(label="human", points=points.tolist())])


def _point(fo: Any, name: str, window: Window, xy: Any) -> Any:
    return fo.Keypoint(label=name, points=[window.relative(xy).tolist()])


def save_views(fo: Any, dataset: Any, keypoints: list[str]) -> tuple[str, ...]:
    """Save one view per question, each of only the proposals it is about; returns their names."""
    from fiftyone import ViewField as F

    def view(condition: Any) -> Any:
        return dataset.filter_labels(PROPOSALS, condition, only_matches=True)

    questions = {
        "doubtful": (view(F("uncertainty") >= DOUBTFUL), f"what stands is wrong with probability {DOUBTFUL} or more"),
        "swap suspects": (view(F("swap") == True), "left and right exchanged, or one joint found twice?"),  # noqa: E712
        "audit sample": (view(F("audit") == True), "accepted ones drawn by lot: their errors are those of all"),  # noqa: E712
        NOT_ACCEPTED: (view(F("state") == NOT_ACCEPTED), "what was left out: right all the same?"),
        "without a tag": (view(F("tags").length() == 0), "still to be decided"),
        **{name: (view(F("label") == name), f"every proposed {name}") for name in keypoints},
    }
    for name, (selected, description) in questions.items():
        dataset.save_view(name, selected, description=description)
    return tuple(questions)


def _show(fo: Any, dataset: Any, skeleton: Skeleton) -> None:
    """What the App draws, in which colours."""
    dataset.skeletons = {
        "human": fo.KeypointSkeleton(
            labels=list(skeleton.keypoints),
            edges=[[skeleton.index(a), skeleton.index(b)] for a, b in skeleton.links],
        )
    }
    human, derived, proposed = (_hex(ROLE_COLOURS[role]) for role in ("human", "derived", "proposed"))
    config = dataset.app_config
    config.color_scheme = fo.ColorScheme(
        color_by="value",
        opacity=0.9,
        show_skeletons=True,
        fields=[
            {
                "path": "human",
                "fieldColor": human,
                "colorByAttribute": "label",
                "valueColors": [{"value": "human", "color": human}],
            },
            {
                "path": "derived",
                "fieldColor": derived,
                "colorByAttribute": "label",
                "valueColors": [{"value": name, "color": derived} for name in skeleton.keypoints],
            },
            {
                "path": PROPOSALS,
                "fieldColor": proposed,
                "colorByAttribute": "state",
                "valueColors": [
                    {"value": BY_THRESHOLD, "color": proposed},
                    {"value": NOT_ACCEPTED, "color": _hex(_VIOLET)},
                ],
            },
        ],
        label_tags={"valueColors": [{"value": tag, "color": colour} for tag, colour in _TAG_COLOURS.items()]},
    )
    config.active_fields = fo.ActiveFields(paths=["human", "derived", PROPOSALS, "_label_tags"])
    config.sidebar_groups = [
        fo.SidebarGroupDocument(name="tags", paths=["tags", "_label_tags"], expanded=True),
        fo.SidebarGroupDocument(name="points", paths=[PROPOSALS, "human", "derived"], expanded=True),
        fo.SidebarGroupDocument(name="person", paths=["rank", "gain", "annotation", "picture"], expanded=True),
        fo.SidebarGroupDocument(
            name="file", paths=["id", "filepath", "created_at", "last_modified_at"], expanded=False
        ),
        fo.SidebarGroupDocument(
            name="metadata",
            paths=[f"metadata.{m}" for m in ("size_bytes", "mime_type", "width", "height", "num_channels")],
            expanded=False,
        ),
    ]
    dataset.save()


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)
