"""Routes each person to a model by box size: small boxes to a network of few input pixels.

A route is a model, students of other input sizes, and the box size up to which each of them is used. The size is the
longer side of the box, in pixels of the picture: what crops of any aspect have to hold. Thresholds come from a file
beside the weights, which also has how they were found.

Shapes: N people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poseunion.models.calibration.schema import KeypointLogistic
from poseunion.models.codec.crop import Crop
from poseunion.models.errors import BadArgumentError, BadFileError, ModelError
from poseunion.models.files import first_fault, read_json
from poseunion.models.images import ImageLike
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.inference.one_picture import predict_picture
from poseunion.models.inference.predictor import Predictor, boxes_of_pictures, load_predictor
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.zoo import WEIGHTS, model_path

ROUTES = ("off", "auto")


class Student(BaseModel):
    """Low-resolution model of a route, for people whose longer box side is below `below_px`.

    Attributes:
        sha256: of the file that was measured.
        flip: its outputs are averaged with those of the mirrored crop, whether the base's are or not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    sha256: str
    below_px: float = Field(gt=0, allow_inf_nan=False)
    flip: bool = False


class Route(BaseModel):
    """Size route of a model, stored as `NAME.route.json` beside it.

    Attributes:
        sha256: of the model for all larger people, as measured.
        students: the one for the smallest people first.
        how: the command and the people that the thresholds were found with.
        found: what was measured of the whole route.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    sha256: str
    students: tuple[Student, ...] = Field(min_length=1)
    how: str
    found: dict[str, Any] = {}

    @model_validator(mode="after")
    def _rising(self) -> Route:
        below = [student.below_px for student in self.students]
        if below != sorted(set(below)):
            raise ValueError(f"the students' below_px are {below}: each is above the one before")
        return self


class RoutedPredictor:
    """Predictor that chooses one of several models by box size; the order of people is kept.

    Name, description and padding are those of the base.

    Args:
        base: predicts all people above the last threshold.
        small: models and the longer side in image px below which each is used, rising.

    Raises:
        ModelError: the models do not fit together.
    """

    def __init__(self, base: Predictor, small: Sequence[tuple[Predictor, float]]) -> None:
        self.base = base
        self.below_px = np.array([below for _, below in small], np.float64)
        if (np.diff(self.below_px) <= 0).any() or not (self.below_px > 0).all():
            raise BadArgumentError(f"A route's thresholds are {self.below_px.tolist()}: give rising sizes above 0.")
        self.models: tuple[Predictor, ...] = (*(model for model, _ in small), base)
        for model, _ in small:
            if model.skeleton.keypoints != base.skeleton.keypoints or model.padding != base.padding:
                raise ModelError(f"{model.name} and {base.name} differ in skeleton or padding: no route joins them.")
            if model.uses_labels != base.uses_labels:
                raise ModelError(
                    f"Of {model.name} and {base.name} only one uses labelled keypoints: use both or neither that way."
                )
        self._by_size = {model.size_wh: model for model in self.models}
        if len(self._by_size) < len(self.models):
            raise ModelError("A route's models read crops of different sizes: two of these read the same.")
        self.name, self.sha256, self.provider = base.name, base.sha256, base.provider
        self.skeleton, self.metadata, self.size_wh, self.padding = (
            base.skeleton,
            base.metadata,
            base.size_wh,
            base.padding,
        )
        self.batch_size, self.flip, self.refine, self.antialias = (
            base.batch_size,
            base.flip,
            base.refine,
            base.antialias,
        )

    @property
    def uses_labels(self) -> bool:
        """Whether labelled keypoints condition the prediction of the others."""
        return self.base.uses_labels

    @property
    def calibration_part(self) -> KeypointLogistic | None:
        """Part of the calibration that the base's confidences come from."""
        return self.base.calibration_part

    @property
    def prior_sha256(self) -> str | None:
        """SHA-256 of the pose prior, where one is used."""
        return self.base.prior_sha256

    @property
    def route(self) -> Sequence[dict[str, Any]]:
        """Models and the sizes below which each is used, for files that are made with it."""
        rows = zip(self.models, [*self.below_px.tolist(), None], strict=True)
        return [{"model": m.name, "sha256": m.sha256, "below_px": below, "flip": m.flip} for m, below in rows]

    def model_of(self, boxes_xywh: ArrayLike) -> NDArray[np.intp]:
        """(N,) index into `models` of each box's model; a box that is not finite goes to the base."""
        box = np.asarray(boxes_xywh, np.float64).reshape(-1, 4)
        # NaN is below nothing, and so passes every threshold.
        return (~(box[:, 2:].max(1)[:, None] < self.below_px)).sum(1)

    def __call__(
        self, picture: ImageLike, boxes_xywh: ArrayLike | None = None, labels_NK3: NDArray[np.floating] | None = None
    ) -> PoseBatch:
        """Keypoints of the people in one picture, see `PosePredictor.__call__`."""
        return predict_picture(self, picture, boxes_xywh, labels_NK3)

    def predict(
        self,
        images: Sequence[NDArray[np.uint8]],
        boxes_xywh: Sequence[ArrayLike],
        labels: Sequence[NDArray[np.floating]] | None = None,
        wanted: Sequence[NDArray[np.bool_]] | None = None,
    ) -> list[PoseBatch]:
        """Keypoints of the people in several pictures; `PoseBatch.model` names each person's model."""
        per_image = boxes_of_pictures(images, boxes_xywh)
        taken = [self.model_of(boxes) for boxes in per_image]
        parts: list[list[PoseBatch]] = [[] for _ in images]
        rows: list[list[NDArray[np.intp]]] = [[] for _ in images]
        for number, model in enumerate(self.models):
            mine = [np.flatnonzero(which == number) for which in taken]
            here = [i for i, one in enumerate(mine) if len(one)]
            if not here:
                continue
            given = None if labels is None else [labels[i][mine[i]] for i in here]
            some = None if wanted is None else [wanted[i][mine[i]] for i in here]
            found = model.predict([images[i] for i in here], [per_image[i][mine[i]] for i in here], given, some)
            for i, batch in zip(here, found, strict=True):
                rows[i].append(mine[i])
                parts[i].append(replace(batch, model=(model.name,) * len(batch)))
        return [
            _ordered(ours, places) if ours else PoseBatch.empty(self.skeleton)
            for ours, places in zip(parts, rows, strict=True)
        ]

    def cut(self, image: NDArray[np.uint8], box_xywh: ArrayLike) -> tuple[NDArray[np.uint8], Crop]:
        """Pixels of one person's crop, at the size of the box's model, and its geometry; raises ItemError."""
        return self.models[int(self.model_of(box_xywh)[0])].cut(image, box_xywh)

    def assign(self, crops: Sequence[Crop]) -> Sequence[tuple[PosePredictor, NDArray[np.intp]]]:
        """Assignment of crops to models by their size, see `PosePredictor.assign`."""
        by_model = ((m, [i for i, crop in enumerate(crops) if crop.size_wh == m.size_wh]) for m in self.models)
        return [(model, np.array(rows, np.intp)) for model, rows in by_model if rows]

    def predict_crops(
        self,
        crop_NHW3: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
        crops: Sequence[Crop],
        labels_NK3: NDArray[np.floating] | None = None,
        image_wh_N2: NDArray[np.floating] | None = None,
        wanted_NK: NDArray[np.bool_] | None = None,
    ) -> PoseBatch:
        """Keypoints in image px from crops; crops of different sizes come as a list, one network call a size."""
        parts, rows = [], []
        for model, mine in self.assign(crops):
            rows.append(mine)
            pixels = np.stack([crop_NHW3[i] for i in mine])
            labels = None if labels_NK3 is None else labels_NK3[mine]
            image_wh = None if image_wh_N2 is None else image_wh_N2[mine]
            wanted = None if wanted_NK is None else wanted_NK[mine]
            batch = model.predict_crops(pixels, [crops[i] for i in mine], labels, image_wh, wanted)
            parts.append(replace(batch, model=(model.name,) * len(batch)))
        return _ordered(parts, rows) if parts else PoseBatch.empty(self.skeleton)


def _ordered(parts: list[PoseBatch], rows: list[NDArray[np.intp]]) -> PoseBatch:
    """Concatenation of batches in the order of `rows`, the index of each person."""
    return PoseBatch.concatenate(parts).rows(np.argsort(np.concatenate(rows)))


def route_path(name: str) -> Path:
    """Path of a shipped model's route."""
    return WEIGHTS / f"{name}.route.json"


def read_route(path: Path) -> Route:
    """Read a route file; raises BadFileError."""
    try:
        return Route.model_validate(read_json(path))
    except ValidationError as error:
        raise BadFileError(f"{path} is not a route: {first_fault(error)}.") from error


def find_route(name: str) -> Route:
    """Route of a shipped model; raises BadArgumentError where it has none."""
    path = route_path(name)
    if not path.is_file():
        raise BadArgumentError(
            f"{name} has no route: no shipped student of fewer pixels stays within a point of OKS of it at any size of "
            "people (docs/low-resolution.md); leave out --route auto."
        )
    return read_route(path)


def outdated(route: Route, routed: RoutedPredictor) -> list[str]:
    """Names of models whose weights differ from those that the thresholds were found with."""
    measured = {student.model: student.sha256 for student in route.students} | {route.model: route.sha256}
    return [model.name for model in routed.models if measured.get(model.name) != model.sha256]


def with_route(base: Predictor, route: Route, *, device: str = "cpu", threads: int | None = None) -> RoutedPredictor:
    """Routed predictor of a base and its route's students, with the same options but for their `flip`.

    Where the base uses labelled keypoints, so do they.

    Raises:
        As `load_predictor` and `RoutedPredictor`.
    """
    students: list[tuple[Predictor, float]] = []
    for student in route.students:
        predictor = load_predictor(
            model_path(student.model),
            device=device,
            threads=threads,
            flip=base.flip or student.flip,
            refine=base.refine,
            antialias=base.antialias,
            batch_size=base.batch_size,
        )
        students.append((ConditionedPredictor(predictor) if base.uses_labels else predictor, student.below_px))
    return RoutedPredictor(base, students)


def check_route(option: str) -> None:
    """Check a command's `--route` option; raises BadArgumentError unless it is one of `ROUTES`."""
    if option not in ROUTES:
        raise BadArgumentError(f"No route {option!r}: choose {' or '.join(ROUTES)}.")


def predictor_for_option(
    route_option: str, name: str, base: Predictor, warn: Callable[[str], None], *, device: str, threads: int | None
) -> PosePredictor:
    """Predictor for a command's `--route` option: `base`, or with `auto` the route of the shipped model `name`.

    Args:
        warn: called with a warning where the route's thresholds were found with other weights.

    Raises:
        As `find_route` and `with_route`.
    """
    if route_option == "off":
        return base
    if base.metadata.parts:
        raise BadArgumentError(
            "--route auto starts from one network: give one --model and no --turns, or leave it out."
        )
    route = find_route(name)
    routed = with_route(base, route, device=device, threads=threads)
    if names := outdated(route, routed):
        warn(f"The route's thresholds were found with other weights of {', '.join(names)}.")
    return routed
