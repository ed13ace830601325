"""Which model takes whom: a person on few pixels goes to a network that reads few.

A route is a model, students of other input sizes, and up to which size of a person each of them is asked. A person's
size is the longer side of the box, in pixels of the picture: what crops of any aspect have to hold. Thresholds come
from a file beside the weights that says how they were found.

Shapes: N people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poseunion.models.errors import BadArgumentError, BadFileError, ModelError
from poseunion.models.files import first_fault, read_json
from poseunion.models.geometry import Crop
from poseunion.models.informed import InformedPredictor, is_informable
from poseunion.models.predictor import BATCH_SIZE, Predictor, load_predictor
from poseunion.models.types import PoseBatch
from poseunion.models.zoo import WEIGHTS, model_path

ROUTES = ("off", "auto")
ROUTE_HELP = "auto: small people go to the model's low-resolution students, where a route comes with it (today: none)."


class Student(BaseModel):
    """A model for people whose longer side is below `below_px`.

    Attributes:
        sha256: of the file that was measured.
        flip: its answers are averaged with those of the mirrored crop, whether the base's are or not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    sha256: str
    below_px: float = Field(gt=0, allow_inf_nan=False)
    flip: bool = False


class Route(BaseModel):
    """A `NAME.route.json` beside a model.

    Attributes:
        sha256: of the model that takes everybody else, as measured.
        students: the smallest people's first.
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


class RoutedPredictor(Predictor):
    """Several models as one: each person is predicted by one of them, and the answers keep the people's order.

    Name, description and, where a single crop size is asked for, geometry are the base's. `outputs`, `decode` and
    `located` concern the base alone.

    Args:
        base: takes everybody whom no student does.
        students: and the longer side in image px below which each is asked, rising.

    Raises:
        ModelError: the models do not fit together.
    """

    def __init__(self, base: Predictor, students: Sequence[tuple[Predictor, float]]) -> None:
        super().__init__(
            base.model, flip=base.flip, refine=base.refine, antialias=base.antialias, batch_size=base.batch_size
        )
        self.base = base
        self.below_px = np.array([below for _, below in students], np.float64)
        if (np.diff(self.below_px) <= 0).any() or not (self.below_px > 0).all():
            raise BadArgumentError(f"A route's thresholds are {self.below_px.tolist()}: give rising sizes above 0.")
        self.models: tuple[Predictor, ...] = (*(student for student, _ in students), base)
        for student, _ in students:
            if student.skeleton.keypoints != base.skeleton.keypoints or student.padding != base.padding:
                raise ModelError(f"{student.name} and {base.name} differ in skeleton or padding: no route joins them.")
            if isinstance(student, InformedPredictor) != isinstance(base, InformedPredictor):
                raise ModelError(f"Of {student.name} and {base.name} only one is told labelled joints: tell both.")
        self._by_size = {model.size_wh: model for model in self.models}
        if len(self._by_size) < len(self.models):
            raise ModelError("A route's models read crops of different sizes: two of these read the same.")
        self.prior_sha256 = getattr(base, "prior_sha256", None)

    def who(self, boxes_xywh: ArrayLike) -> NDArray[np.intp]:
        """(N,) index into `models` of who takes each box; a box that is not finite goes to the base."""
        box = np.asarray(boxes_xywh, np.float64).reshape(-1, 4)
        # NaN is below nothing, and so passes every threshold.
        return (~(box[:, 2:].max(1)[:, None] < self.below_px)).sum(1)

    def names(self, boxes_xywh: ArrayLike) -> list[str]:
        """The name of the model that takes each box."""
        return [self.models[i].name for i in self.who(boxes_xywh)]

    def to_json(self) -> list[dict[str, Any]]:
        """Who is asked below which size, for the files that are made with it."""
        rows = zip(self.models, [*self.below_px.tolist(), None], strict=True)
        return [{"model": m.name, "sha256": m.sha256, "below_px": below, "flip": m.flip} for m, below in rows]

    def predict(self, images: Sequence[NDArray[np.uint8]], boxes_xywh: Sequence[ArrayLike]) -> list[PoseBatch]:
        """As `Predictor.predict`."""
        per_image = [np.asarray(b, np.float64).reshape(-1, 4) for b in boxes_xywh]
        if len(per_image) != len(images):
            raise BadArgumentError(
                f"{len(images)} pictures and {len(per_image)} lists of boxes: give one list a picture."
            )
        taken = [self.who(boxes) for boxes in per_image]
        parts: list[list[PoseBatch]] = [[] for _ in images]
        rows: list[list[NDArray[np.intp]]] = [[] for _ in images]
        for number, model in enumerate(self.models):
            mine = [np.flatnonzero(who == number) for who in taken]
            here = [i for i, one in enumerate(mine) if len(one)]
            answers = model.predict([images[i] for i in here], [per_image[i][mine[i]] for i in here]) if here else []
            for i, answer in zip(here, answers, strict=True):
                rows[i].append(mine[i])
                parts[i].append(answer)
        return [
            _ordered(ours, places) if ours else PoseBatch.empty(self.skeleton)
            for ours, places in zip(parts, rows, strict=True)
        ]

    def cut(self, image: NDArray[np.uint8], box_xywh: ArrayLike) -> tuple[NDArray[np.uint8], Crop]:
        """As `Predictor.cut`, at the size of whoever takes the box."""
        return self.models[int(self.who(box_xywh)[0])].cut(image, box_xywh)

    def predict_crops(
        self, crop_NHW3: NDArray[np.uint8] | Sequence[NDArray[np.uint8]], crops: Sequence[Crop]
    ) -> PoseBatch:
        """As `Predictor.predict_crops`; crops of different sizes come as a list, one network call a size."""
        parts, rows = [], []
        for model, mine in shares(self, crops):
            rows.append(mine)
            parts.append(model.predict_crops(np.stack([crop_NHW3[i] for i in mine]), [crops[i] for i in mine]))
        return _ordered(parts, rows) if parts else PoseBatch.empty(self.skeleton)


def shares(predictor: Any, crops: Sequence[Crop]) -> list[tuple[Any, NDArray[np.intp]]]:
    """Who predicts which of `crops` that `predictor.cut` made: a plain predictor all of them."""
    if not isinstance(predictor, RoutedPredictor):
        return [(predictor, np.arange(len(crops)))]
    by_model = ((m, [i for i, crop in enumerate(crops) if crop.size_wh == m.size_wh]) for m in predictor.models)
    return [(model, np.array(rows, np.intp)) for model, rows in by_model if rows]


def _ordered(parts: list[PoseBatch], rows: list[NDArray[np.intp]]) -> PoseBatch:
    """Batches of some people each as one of all: `rows` say where each person stands."""
    whole = PoseBatch.concatenate(parts)
    back = np.argsort(np.concatenate(rows))
    raw = None if whole.raw_score is None else whole.raw_score[back]
    return PoseBatch(whole.skeleton, whole.xy[back], whole.score[back], whole.box_xywh[back], raw)


def is_told(predictor: Any) -> bool:
    """Does a predictor, or do all models of a route, take what humans labelled into account?"""
    return isinstance(getattr(predictor, "base", predictor), InformedPredictor)


def route_path(name: str) -> Path:
    """Where the route of a shipped model is."""
    return WEIGHTS / f"{name}.route.json"


def read_route(path: Path) -> Route:
    """A route file; raises BadFileError."""
    try:
        return Route.model_validate(read_json(path))
    except ValidationError as error:
        raise BadFileError(f"{path} is not a route: {first_fault(error)}.") from error


def find_route(name: str) -> Route:
    """The route of a shipped model; BadArgumentError where it has none."""
    path = route_path(name)
    if not path.is_file():
        raise BadArgumentError(
            f"{name} has no route: no shipped student of fewer pixels stays within a point of OKS of it at any size of "
            "people (docs/low-resolution.md); leave out --route auto."
        )
    return read_route(path)


def outdated(route: Route, routed: RoutedPredictor) -> list[str]:
    """Models that are not the ones the thresholds were found with."""
    measured = {student.model: student.sha256 for student in route.students} | {route.model: route.sha256}
    return [model.name for model in routed.models if measured.get(model.name) != model.sha256]


def with_route(base: Predictor, route: Route, *, device: str = "cpu", threads: int | None = None) -> RoutedPredictor:
    """A predictor and its route's students, with the same options but for their `flip`.

    Told of labelled joints, it wants them told, too.

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
        told = isinstance(base, InformedPredictor)
        students.append((InformedPredictor(predictor) if told else predictor, student.below_px))
    return RoutedPredictor(base, students)


def check_route(asked: str) -> None:
    """Raises BadArgumentError where a command's `--route` is neither of `ROUTES`."""
    if asked not in ROUTES:
        raise BadArgumentError(f"No route {asked!r}: choose {' or '.join(ROUTES)}.")


def as_asked(
    asked: str, name: str, base: Predictor, say: Callable[[str], None], *, device: str, threads: int | None
) -> Predictor:
    """A command's predictor: `base`, or with `--route auto` the route of the shipped model `name`.

    Args:
        say: told where the route's thresholds were found with other weights.

    Raises:
        As `find_route` and `with_route`.
    """
    if asked == "off":
        return base
    route = find_route(name)
    routed = with_route(base, route, device=device, threads=threads)
    if names := outdated(route, routed):
        say(f"The route's thresholds were found with other weights of {', '.join(names)}.")
    return routed


def load_routed(
    name: str = "unified",
    *,
    route: Route | None = None,
    device: str = "cpu",
    threads: int | None = None,
    flip: bool = False,
    batch_size: int = BATCH_SIZE,
    informed: bool = False,
) -> RoutedPredictor:
    """A shipped model and the students that take its small people.

    Args:
        route: default: the one that comes with the model.
        informed: all of them are told what humans labelled; see `InformedPredictor`.

    Raises:
        BadArgumentError: that model has no route. Else as `load_predictor`.
    """
    route = route or find_route(name)
    base = load_predictor(name, device=device, threads=threads, flip=flip, batch_size=batch_size)
    if informed and is_informable(base):
        base = InformedPredictor(base)
    return with_route(base, route, device=device, threads=threads)
