"""From a data file to batches: datasets of different skeletons, pseudo-labels, hold-out split, sampling, augmentation.

Shapes: N people of a batch, K keypoints, H and W input size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError, model_validator

from poseunion.annotate.formats import read_annotations
from poseunion.models.definitions import OFFSETS, apply_offsets
from poseunion.models.errors import BadFileError
from poseunion.models.files import first_fault, read_json, read_regular
from poseunion.models.geometry import Crop, affine_to_crop, apply_affine, cut_crop
from poseunion.models.picture_paths import picture_path
from poseunion.models.predictor import Predictor
from poseunion.models.simcc import SimccGrid
from poseunion.models.skeleton import Skeleton, Visibility, load_skeleton
from poseunion.models.zoo import model_path, shipped_models
from poseunion.training.augment import Augmentation, jitter_pixels, random_crop
from poseunion.training.extended import labels_of
from poseunion.training.modes import render
from poseunion.training.online import ask
from poseunion.training.people import Person, to_union, weight_in_union
from poseunion.training.store import PADDING, CropStore
from poseunion.training.teachers import Taught

# Share of training pictures that no student sees: validation while training, and calibration afterwards.
HOLDOUT_SHARE = 0.08
# Share of the held-out pictures that no fit may see, tempering and calibration included: their people only ever decide
# which thresholds keep a promise (`annotate extend --risk`).
GUARANTEE_SHARE = 0.65


class DatasetEntry(BaseModel):
    """One dataset of a data file.

    Attributes:
        skeleton: of a file that does not name its keypoints.
        weight: how often a person is drawn, against 1.
        definitions: skeleton whose definitions humans followed, where it is not the file's: a file that was extended.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    annotations: Path
    images: Path
    kind: Literal["keypoints", "boxes"] = "keypoints"
    skeleton: str | None = None
    weight: float = Field(default=1.0, ge=0)
    definitions: str | None = None


class MemberEntry(BaseModel):
    """One network of a joint teacher, see `joint.JointTeacher`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path
    description: Path | None = None
    weight: float = Field(default=1.0, gt=0)


class TeacherEntry(BaseModel):
    """One teacher of a data file: an ONNX file and the TOML that describes it, or the name of a shipped model.

    Attributes:
        members: networks that are read as one teacher, in place of `model`.
        keypoints: the only ones that it teaches; by default all that it predicts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path | None = None
    description: Path | None = None
    members: list[MemberEntry] = []
    keypoints: list[str] | None = None
    flip: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> TeacherEntry:
        if (self.model is None) != bool(self.members) or (self.members and self.description):
            raise ValueError("give a teacher either a model or the members of a joint teacher")
        return self


class DataFile(BaseModel):
    """What a student is trained on. Relative paths are relative to the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: list[DatasetEntry] = Field(min_length=1)
    teachers: list[TeacherEntry] = []


def read_data_file(path: Path) -> DataFile:
    """Read and check a data file; every path in the result is absolute and exists.

    Raises:
        BadFileError: unreadable, an unknown key, or a path that is not there.
    """
    try:
        data = DataFile.model_validate(yaml.safe_load(read_regular(path).decode("utf-8")))
    except OSError as error:
        raise BadFileError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise BadFileError(f"{path} is not a text file: a data file is YAML, see docs/train.md.") from error
    except yaml.YAMLError as error:
        raise BadFileError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from error
    except ValidationError as error:
        raise BadFileError(f"{path}: {first_fault(error, 'file')}.") from error

    def found(relative: Path | None) -> Any:
        if relative is None:
            return None
        full = (path.parent / relative.expanduser()).resolve()
        if not full.exists():
            raise BadFileError(f"{path} names {full}, which does not exist.")
        return full

    names = [d.name for d in data.datasets]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise BadFileError(f"{path} names {twice[0]} twice: give each data set a name of its own.")
    if not any(d.weight for d in data.datasets):
        raise BadFileError(f"{path} gives every data set the weight 0: nobody would be drawn.")

    return DataFile(
        datasets=[
            d.model_copy(update={"annotations": found(d.annotations), "images": found(d.images)}) for d in data.datasets
        ],
        teachers=[
            t.model_copy(
                update={
                    "model": found(_shipped(t.model)),
                    "description": found(t.description),
                    "members": [
                        m.model_copy(update={"model": found(_shipped(m.model)), "description": found(m.description)})
                        for m in t.members
                    ],
                }
            )
            for t in data.teachers
        ],
    )


def _shipped(model: Path | None) -> Path | None:
    """The file of a shipped model where that is what is named."""
    if model is None:
        return None
    return model_path(str(model)) if str(model) in shipped_models() else model


def read_people(entry: DatasetEntry, target: Skeleton, *, definition_offsets: bool = True) -> list[Person]:
    """The people of a dataset, in the target skeleton's order and, unless turned off, in its definitions."""
    if entry.kind == "boxes":
        return _read_boxes(entry, target)
    annotations = read_annotations(
        entry.annotations, skeleton=load_skeleton(entry.skeleton) if entry.skeleton else None
    )
    source, labels = annotations.skeleton, labels_of(annotations)
    offsets = OFFSETS.get(entry.definitions or source.name, ()) if definition_offsets else ()
    moved, seen = apply_offsets(labels.xy, labels.visibility, source, offsets)
    xy, visibility = to_union(
        np.where(labels.human[..., None], moved, labels.xy),
        np.where(labels.human, seen, labels.visibility),
        source,
        target,
    )
    weight = weight_in_union(labels.weight, visibility, source, target)
    is_plain = bool((weight == (visibility > 0)).all())
    people = []
    for record in annotations.persons():
        if record.skip is not None or record.image is None or not np.isfinite(record.box_xywh).all():
            continue
        ref = record.image
        people.append(
            Person(
                image=picture_path(entry.images, ref.file_name),
                person_id=record.index,
                box_xywh=tuple(float(v) for v in record.box_xywh),  # type: ignore[arg-type]
                xy=xy[record.index],
                visibility=visibility[record.index],
                image_wh=(ref.width, ref.height) if ref.width and ref.height else None,
                weight=None if is_plain else weight[record.index],
            )
        )
    return people


class ListedBoxes(BaseModel):
    """One picture of a file of boxes; other fields are not looked at."""

    file_name: str
    boxes: list[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]] | None = None


def read_listed_boxes(entry: DatasetEntry) -> list[ListedBoxes]:
    """The file of a data set of kind boxes, a list of `{file_name, boxes: [[x, y, w, h], …] or null}`.

    Raises:
        BadFileError: it is none.
    """
    try:
        return TypeAdapter(list[ListedBoxes]).validate_python(read_json(entry.annotations))
    except ValidationError as error:
        raise BadFileError(
            f"{entry.annotations}, {first_fault(error, 'file')}; kind boxes is a list of objects with file_name and "
            "boxes [[x, y, width, height], …]."
        ) from error


def _read_boxes(entry: DatasetEntry, target: Skeleton) -> list[Person]:
    """Pictures with people but without keypoints."""
    nothing = np.zeros((len(target), 2)), np.full(len(target), Visibility.UNDEFINED, np.int8)
    people: list[Person] = []
    for picture in read_listed_boxes(entry):
        for box in picture.boxes or ():
            people.append(Person(entry.images / picture.file_name, len(people), box, *nothing))
    return people


def is_held_out(image_name: str) -> bool:
    """Whether a picture is kept from training; depends on its file name alone, so it is the same everywhere."""
    return _fraction(image_name, 0) < HOLDOUT_SHARE


def is_for_guarantee(image_name: str) -> bool:
    """Whether a picture that was kept from training is kept even from what is fitted afterwards."""
    return _fraction(image_name, 4) < GUARANTEE_SHARE


def _fraction(image_name: str, byte: int) -> float:
    digest = hashlib.sha256(Path(image_name).name.encode()).digest()
    return int.from_bytes(digest[byte : byte + 4], "big") / 2**32


@dataclass(frozen=True)
class Lesson:
    """What a teacher knows of a store, and of whom it can be believed, (N,)."""

    taught: Taught
    believed: NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledStore:
    """A store with the labels that training uses.

    Attributes:
        xy: (N, K, 2) store px.
        weight: (N, K), 1 for labels, less for pseudo-labels, 0 for none.
        rows: people to sample from.
        sampling: relative number of draws of a person.
        lessons: teachers to distil from.
        exchanged: people to sample from whose left and right were exchanged, see `slips`.
    """

    store: CropStore
    xy: NDArray[np.float64]
    weight: NDArray[np.float64]
    rows: NDArray[np.intp]
    sampling: float
    lessons: tuple[Lesson, ...] = ()
    exchanged: int = 0


@dataclass(frozen=True)
class TeacherTarget:
    """One teacher's word on a batch: distributions over the student's bins, and how much each keypoint's counts."""

    x_NKW: NDArray[np.float32]
    y_NKH: NDArray[np.float32]
    weight_NK: NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """What one training step sees.

    Attributes:
        image_NHW3: uint8 RGB.
        xy_NK2: crop px.
        weight_NK: 0 where there is no label in the crop.
        flip_N: which crops are mirrored.
        dataset_N: which of the stores they come from.
        teachers: by the skeleton a teacher was trained on.
        wide_NHW3: the same crops on more pixels, undisturbed, for a teacher of full resolution.
    """

    image_NHW3: NDArray[np.uint8]
    xy_NK2: NDArray[np.float32]
    weight_NK: NDArray[np.float32]
    flip_N: NDArray[np.bool_]
    dataset_N: NDArray[np.int64]
    teachers: dict[str, TeacherTarget] = field(default_factory=dict)
    wide_NHW3: NDArray[np.uint8] | None = None


def draw_batch(
    stores: Sequence[LabelledStore],
    rng: np.random.Generator,
    count: int,
    grid: SimccGrid,
    strength: Augmentation,
    *,
    agreement_mask: bool = True,
    sampling_power: float = 1.0,
    online: Sequence[Predictor] = (),
    wide_wh: tuple[int, int] | None = None,
) -> Batch:
    """Draw and augment people. Everything random comes from `rng`, so that a step can be repeated exactly.

    Args:
        agreement_mask: a teacher that cannot be believed of a person teaches nothing of them; off is paper A.
        sampling_power: see `Recipe`.
        online: teachers to ask about these very crops, instead of the stores' lessons.
        wide_wh: size of the batch's wide crops; none are cut without it.
    """
    size_wh = grid.size_wh
    chances = np.array([s.sampling * len(s.rows) ** sampling_power if len(s.rows) else 0.0 for s in stores])
    which = rng.choice(len(stores), count, p=chances / chances.sum())
    images, points, weights = [], [], []
    drawn: list[tuple[LabelledStore, int, Crop]] = []
    for s in which:
        labelled = stores[s]
        i = int(rng.choice(labelled.rows))
        store, xy, weight = labelled.store, labelled.xy[i], labelled.weight[i]
        crop = random_crop(rng, store.box_xywh[i], xy, weight > 0, store.skeleton, size_wh, PADDING, strength)
        images.append(jitter_pixels(rng, cut_crop(store.pixels(i), crop), strength))
        xy = apply_affine(xy, affine_to_crop(crop))
        if crop.flip:
            order = store.skeleton.flip_indices
            xy, weight = xy[order], weight[order]
        inside = ((xy > -0.5) & (xy < np.array(size_wh) - 0.5)).all(-1)
        points.append(xy)
        weights.append(weight * inside)
        drawn.append((labelled, i, crop))
    return Batch(
        np.stack(images),
        np.stack(points).astype(np.float32),
        np.stack(weights).astype(np.float32),
        np.array([crop.flip for _, _, crop in drawn]),
        which.astype(np.int64),
        _asked(drawn, grid, online, agreement_mask) if online else _remembered(drawn, grid, agreement_mask),
        None if wide_wh is None else np.stack([_wide(*one, wide_wh) for one in drawn]),
    )


def _wide(labelled: LabelledStore, index: int, crop: Crop, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    return cut_crop(labelled.store.pixels(index), replace(crop, size_wh=size_wh))


def _asked(
    drawn: Sequence[tuple[LabelledStore, int, Crop]],
    grid: SimccGrid,
    teachers: Sequence[Predictor],
    use_confidence: bool,
) -> dict[str, TeacherTarget]:
    """Every teacher's answer on the crops themselves."""
    pictures, crops = [labelled.store.pixels(i) for labelled, i, _ in drawn], [crop for _, _, crop in drawn]
    result = {}
    for teacher in teachers:
        x, y, weight = ask(teacher, pictures, crops, grid, drawn[0][0].store.skeleton)
        result[teacher.skeleton.name] = TeacherTarget(x, y, weight if use_confidence else np.sign(weight))
    return result


def _remembered(
    drawn: Sequence[tuple[LabelledStore, int, Crop]], grid: SimccGrid, agreement_mask: bool
) -> dict[str, TeacherTarget]:
    """Every teacher's modes of the drawn people, turned with their crops and rendered on the student's bins."""
    names = sorted({lesson.taught.skeleton for labelled, _, _ in drawn for lesson in labelled.lessons})
    bins_w, bins_h = grid.bins_wh
    result = {}
    for name in names:
        n, k = len(drawn), len(drawn[0][0].store.skeleton)
        x, y = np.full((n, k, bins_w), 1 / bins_w, np.float32), np.full((n, k, bins_h), 1 / bins_h, np.float32)
        weight = np.zeros((n, k), np.float32)
        for row, (labelled, i, crop) in enumerate(drawn):
            lesson = next((one for one in labelled.lessons if one.taught.skeleton == name), None)
            if lesson is None or (agreement_mask and not lesson.believed[i]):
                continue
            modes = lesson.taught.modes.rows(slice(i, i + 1)).mapped(affine_to_crop(crop)[None])
            if crop.flip:
                modes = modes.reordered(labelled.store.skeleton.flip_indices)
            (x[row],), (y[row],), (share,) = render(modes, grid)
            weight[row] = share * (modes.confidence[0] if agreement_mask else 1.0)
        result[name] = TeacherTarget(x, y, weight)
    return result
