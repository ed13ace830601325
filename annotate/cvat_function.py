"""CVAT auto-annotation function: proposes the keypoints of a task's skeleton, given those that are annotated.

    cvat-cli task auto-annotate 7 --function-module poseunion.annotate.cvat_function -p skeleton=str:coco17

`create` takes the parameters (`-p`). It serves `function create-native` and `function run-agent` as well. Proposals
that are not accepted, and keypoints that the model does not have, come back as `outside`.

Shapes: N people of a picture, K keypoints of the completed people, M of the model.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.extend.acceptance import acceptance_rule
from poseunion.annotate.extend.chunks import cut_task, predict_cut, task_of
from poseunion.annotate.extend.complete import complete
from poseunion.annotate.extend.image_reader import Pictures
from poseunion.annotate.extend.predictions import Predictions
from poseunion.annotate.extend.proposer import load_proposer
from poseunion.annotate.extend.requested_keypoints import Asked
from poseunion.annotate.formats import AnnotationSet, ImageRef, read_annotations
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.extension import ORIGIN_NAMES, XY_DIGITS, Completion, Origin
from poseunion.annotate.formats.extension_view import human_view, subset
from poseunion.annotate.formats.review_entries import NO_POINT, REJECT, last_entries
from poseunion.annotate.formats.skeleton_match import output_skeleton
from poseunion.annotate.formats.tools.gathered import PERSON, skeleton_of_labels
from poseunion.annotate.formats.types import NO_HUMAN_KEYPOINT, Source, empty_rows
from poseunion.annotate.review.apply import with_decisions
from poseunion.models.errors import BadArgumentError, BadFileError, MissingExtraError
from poseunion.models.files import read_json
from poseunion.models.images import rgb_image
from poseunion.models.inference.detector import OnnxDetector, load_detector
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton, project

if TYPE_CHECKING:
    import cvat_sdk.auto_annotation as cvataa
    from PIL.Image import Image

log = logging.getLogger(__name__)
# Text attributes of each point; the labels of `annotate cvat-export` have them.
CONFIDENCE, SOURCE = "confidence", "keypoint_source"


def create(
    skeleton: str = "union21",
    annotations: str = "",
    label: str = PERSON,
    model: str = "unified",
    device: str = "cpu",
) -> CvatFunction:
    """The function that CVAT's command line and agents call for each picture.

    Args:
        skeleton: of the task: a shipped one (coco17, union21, halpe26 …), a skeleton .toml, or the task's own labels
            as a .json, copied from the tab "Raw" of its project.
        annotations: file of any of `formats.FORMATS`, whose people are completed: annotated keypoints
            stay and condition the others. Its pictures are found by their names. Without it, or for a picture that it
            does not have, people are detected.
        label: name of the task's skeleton label.
        model: shipped model or described .onnx file.
        device: as of `annotate extend`.

    Raises:
        MissingExtraError: cvat-sdk is not installed. BadFileError, SkeletonError, ModelError: a file cannot be used.
    """
    try:
        import cvat_sdk.attributes
        import cvat_sdk.auto_annotation
    except ModuleNotFoundError as error:
        raise MissingExtraError("cvat-sdk", "cvat") from error
    task = read_labels(Path(skeleton), label) if skeleton.endswith(".json") else labels_of(skeleton, label)
    frames = AnnotatedFrames(Path(annotations)) if annotations else None
    return CvatFunction(task, load_proposer([model], _notice, device=device), frames, cvat_sdk)


def _notice(text: str) -> None:
    print(text, file=sys.stderr)


@dataclass(frozen=True)
class TaskLabels:
    """Skeleton label of a CVAT task.

    Attributes:
        label: its name.
        keypoints: the task's name of each point -> canonical name; None: no keypoint of a known skeleton.
        attributes: those of `confidence` and `keypoint_source` that the points have.
    """

    label: str
    keypoints: dict[str, str | None]
    attributes: tuple[str, ...] = (CONFIDENCE, SOURCE)


def labels_of(skeleton: str, label: str = PERSON) -> TaskLabels:
    """Labels with the names of a skeleton."""
    return TaskLabels(label, {name: name for name in load_skeleton(skeleton).keypoints})


def read_labels(path: Path, label: str = PERSON) -> TaskLabels:
    """Labels of a CVAT project as its tab "Raw" shows them; points may be spelled in any known way.

    Raises:
        BadFileError: there is no such skeleton label, or its points are of no known skeleton.
    """
    document = read_json(path)
    labels = [x for x in document if isinstance(x, dict)] if isinstance(document, list) else []
    skeletons = {str(x.get("name")): x for x in labels if x.get("type") == "skeleton"}
    if label not in skeletons:
        named = f"those are {', '.join(skeletons)}: give label=str:NAME" if skeletons else "it has no skeleton label"
        raise BadFileError(f"{path} has no skeleton label {label!r}; {named}.")
    points = [x for x in skeletons[label].get("sublabels") or [] if isinstance(x, dict) and x.get("name")]
    names = [str(point["name"]) for point in points]
    known, index = skeleton_of_labels(names, None, path)
    attributes = [
        {a.get("name") for a in point.get("attributes") or [] if a.get("input_type") == "text"} for point in points
    ]
    return TaskLabels(
        label,
        {name: known.keypoints[index[name]] if name in index else None for name in names},
        tuple(a for a in (CONFIDENCE, SOURCE) if all(a in of_point for of_point in attributes)),
    )


class AnnotatedFrames:
    """People of an annotation file by the names of its pictures."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.annotations = annotated_keypoints(read_annotations(path))
        self._images: dict[str, list[int]] = {}
        for position, image in enumerate(self.annotations.images):
            self._images.setdefault(_parts(image.file_name)[-1], []).append(position)
        self._rows: dict[int, list[int]] = {}
        for row, position in enumerate(self.annotations.image_index.tolist()):
            if self.annotations.skip.get(row) in (None, NO_HUMAN_KEYPOINT):
                self._rows.setdefault(position, []).append(row)

    def people(self, frame: str, size_wh: tuple[int, int]) -> AnnotationSet | None:
        """The people of a picture; None for a picture that the file does not have.

        Raises:
            BadArgumentError: several pictures of the file fit, or the one has another size.
        """
        parts = _parts(frame)
        found = [i for i in self._images.get(parts[-1], ()) if _same_end(_parts(self._image(i).file_name), parts)]
        if not found:
            return None
        if len(found) > 1:
            names = ", ".join(self._image(i).file_name for i in found[:3])
            raise BadArgumentError(f"{frame} may be each of {names} in {self.path}: keep their folders in the task.")
        image = self._image(found[0])
        if image.width is not None and image.height is not None and (image.width, image.height) != size_wh:
            stated = f"{image.width} x {image.height} px in {self.path}"
            raise BadArgumentError(f"{frame} has {size_wh[0]} x {size_wh[1]} px, and {stated}: its points do not fit.")
        return subset(self.annotations, self._rows.get(found[0], []))

    def _image(self, position: int) -> ImageRef:
        return self.annotations.images[position]


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts or ("",)


def _same_end(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two paths agree as far as the shorter one goes."""
    return all(a == b for a, b in zip(reversed(one), reversed(other), strict=False))


def annotated_keypoints(annotations: AnnotationSet) -> AnnotationSet:
    """Keypoints that humans labelled or, in an extended file, decided on; what a model proposed is left out."""
    if not any(has_added_fields(record) for record in annotations.records):
        return annotations
    decided = with_decisions(annotations)
    visibility = human_view(decided).visibility.copy()
    for row, record in enumerate(decided.records):
        if has_added_fields(record):
            for keypoint, entry in last_entries(record).items():
                if entry["decision"] not in NO_POINT:
                    k = decided.skeleton.index(keypoint)
                    visibility[row, k] = decided.visibility[row, k]
    return replace(decided, visibility=visibility)


class _OnePicture(Pictures):
    """A picture that is decoded already."""

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        super().__init__(Path())
        self._picture = picture

    def read(self, image: ImageRef) -> NDArray[np.uint8]:
        return self._picture


class CvatFunction:
    """Detection function as cvat-sdk defines it: `spec` and `detect`."""

    def __init__(self, task: TaskLabels, predictor: PosePredictor, frames: AnnotatedFrames | None, sdk: Any) -> None:
        self.task, self.predictor, self.frames = task, predictor, frames
        self._cvat, self._values = sdk.auto_annotation, sdk.attributes.attribute_vals_from_dict
        attributes = [self._cvat.text_attribute_spec(name, i) for i, name in enumerate(task.attributes)]
        points = [self._cvat.keypoint_spec(name, k, attributes=attributes) for k, name in enumerate(task.keypoints)]
        self.spec: cvataa.DetectionFunctionSpec = self._cvat.DetectionFunctionSpec(
            labels=[self._cvat.skeleton_label_spec(task.label, 0, points)]
        )

    @functools.cached_property
    def _detector(self) -> OnnxDetector:
        return load_detector()

    def detect(self, context: cvataa.DetectionFunctionContext, image: Image) -> list[Any]:
        """Skeletons of a picture's people, all points of the task's skeleton each."""
        picture = rgb_image(image)
        size_wh = (picture.shape[1], picture.shape[0])
        try:
            people = None if self.frames is None else self.frames.people(context.frame_name, size_wh)
        except BadArgumentError as error:
            log.warning("skipped %s: %s", context.frame_name, error)
            return []
        if people is None:
            if self.frames is not None:
                log.warning("%s is not in %s: its people are detected", context.frame_name, self.frames.path)
            people = self._detected(context.frame_name, picture)
        completion, output = self._completed(people, picture, context.conf_threshold)
        xy_NK2, visibility_NK = project(people.xy, people.visibility, people.skeleton, output)
        human_NK = completion.origin == Origin.HUMAN
        points = replace(
            completion,
            xy=np.where(human_NK[..., None], xy_NK2, completion.xy),
            visibility=np.where(human_NK, visibility_NK, completion.visibility).astype(np.int8),
        )
        boxes = np.where(np.isnan(people.box_xywh), 0.0, people.box_xywh)
        found = (self._skeleton(points, row, output, boxes[row], size_wh) for row in range(len(people)))
        return [skeleton for skeleton in found if not all(point.outside for point in skeleton.elements)]

    def _detected(self, frame: str, picture: NDArray[np.uint8]) -> AnnotationSet:
        """People without any label, in the boxes of the shipped detector."""
        boxes = np.asarray(self._detector(picture)[0], np.float64).reshape(-1, 4)
        xy, visibility, _, image = empty_rows(len(boxes), len(self.predictor.skeleton))
        return AnnotationSet(
            "detected",
            self.predictor.skeleton,
            Source(Path(frame)),
            [{} for _ in boxes],
            [ImageRef(0, frame, picture.shape[1], picture.shape[0])],
            np.zeros_like(image),
            xy,
            visibility,
            boxes,
        )

    def _completed(
        self, people: AnnotationSet, picture: NDArray[np.uint8], threshold: float | None
    ) -> tuple[Completion, Skeleton]:
        """People of a picture, completed as `annotate extend --fill-gaps` does it, without what reviewers rejected."""
        model = self.predictor.skeleton
        rule = acceptance_rule(self.predictor, threshold)
        conditioned = model if self.predictor.uses_labels else None
        cut = cut_task(task_of(people, 0, np.arange(len(people)), conditioned), _OnePicture(picture), self.predictor)
        for row, reason in cut.bad:
            log.warning("skipped person %d of %s: %s", row, people.images[0].file_name, reason)
        predictions = Predictions.empty(len(people), len(model))
        if cut.record:
            predictions.put(np.array(cut.record), predict_cut(0, cut, self.predictor).predictions)
        output = output_skeleton(people.skeleton, model)
        completion = complete(
            0,
            people.xy,
            people.visibility,
            predictions,
            np.tile([float(picture.shape[1]), float(picture.shape[0])], (len(people), 1)),
            rule.threshold_K,
            people.skeleton,
            model,
            output,
            asked=Asked(fill_gaps=True),
            labelling=rule.labelling,
        )
        for row, record in enumerate(people.records):
            rejected = [name for name, e in _last_entries(record).items() if e["decision"] == REJECT]
            completion.origin[row, [output.index(name) for name in rejected]] = Origin.NONE
        return completion, output

    def _skeleton(
        self,
        points: Completion,
        row: int,
        output: Skeleton,
        box_xywh: NDArray[np.float64],
        size_wh: tuple[int, int],
    ) -> Any:
        """One person; a point without a place is outside, in the middle of the box."""
        middle = box_xywh[:2] + box_xywh[2:] / 2
        elements = []
        for number, name in enumerate(self.task.keypoints.values()):
            k = output.keypoints.index(name) if name in output.keypoints else None
            origin = Origin.NONE if k is None else Origin(points.origin[row, k])
            xy, values = middle, {}
            if k is not None and not np.isnan(points.xy[row, k]).any():
                xy = points.xy[row, k]
            if k is not None and origin != Origin.HUMAN and not np.isnan(points.confidence[row, k]):
                values[CONFIDENCE] = f"{points.confidence[row, k]:.4f}"
            if origin != Origin.NONE:
                values[SOURCE] = ORIGIN_NAMES[origin]
            inside = np.clip(xy, 0, size_wh) if origin == Origin.NONE else xy
            elements.append(
                self._cvat.keypoint(
                    number,
                    [round(float(v), XY_DIGITS) for v in inside],
                    outside=origin == Origin.NONE,
                    occluded=k is not None and bool(points.visibility[row, k] == Visibility.OCCLUDED),
                    attributes=self._values({i: values[a] for i, a in enumerate(self.task.attributes) if a in values}),
                )
            )
        return self._cvat.skeleton(0, elements)


def _last_entries(record: dict[str, Any]) -> dict[str, Any]:
    return last_entries(record) if has_added_fields(record) else {}
