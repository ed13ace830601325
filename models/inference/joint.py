"""Joint predictor: several pose networks, and turned pictures, whose densities are averaged and read as one network's.

Each network has its own crop of the person; its heatmaps (of a SimCC network: its probabilities, drawn) are brought to
common cells and averaged, see `joint_cells` and `joint_turns`. The mean is handed on as SimCC outputs: the maximum of
every column and of every row. Its logits are heights of heatmaps, whose labels are Gaussians of height 1 as RTMPose's
are, so that decoding, calibration and conditioning on labelled keypoints are those of one network.

    predictor = load_joint(["unified", "tinypose-256x192.onnx"], turns=Turns.DISAGREEMENT)

Shapes: N people, M members, K keypoints of all, h and w cells, B bytes of one person's crops.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from poseunion.models.calibration.schema import Calibration
from poseunion.models.codec.crop import Crop, cut_crop
from poseunion.models.codec.heads import Alignment, HeatmapOutput, SimccOutput
from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import first_fault, read_json
from poseunion.models.inference.joint_cells import (
    DRAWN_SIGMA_CELLS,
    DRAWN_STRIDE_PX,
    Cells,
    heatmaps_of,
    moved,
    resampled,
)
from poseunion.models.inference.joint_turns import ANGLES_DEG, TURN_CONSTANTS, Turns, agreement, crop_of, merged
from poseunion.models.inference.predictor import Predictor, box_of_crop, load_predictor
from poseunion.models.keypoint_offsets import MODEL_OFFSETS
from poseunion.models.metrics import AREA_OF_BOX, oks_radius_px
from poseunion.models.runtime.base import PoseModel
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import Skeleton, load_skeleton, project_indices, shipped_skeletons, sideless, union

# What a turned picture's crops and an upright one's have in common does not depend on the person: any box will do.
UNIT_BOX = (0.0, 0.0, 3.0, 4.0)


class JointDescription(ModelDescription):
    """Description of a joint model.

    Attributes:
        members: names and SHA-256 of the networks.
        turns: see `Turns`.
    """

    members: tuple[dict[str, str], ...]
    turns: str

    @property
    def parts(self) -> dict[str, Any]:
        """Networks, turns and SHA-256 of the calibration, for files made with them; None: raw scores."""
        calibration = None
        if self.calibration is not None:
            calibration = hashlib.sha256(self.calibration.model_dump_json().encode()).hexdigest()
        return {"members": list(self.members), "turns": self.turns, "calibration": calibration}


class JointCalibration(BaseModel):
    """Calibration of a joint model, as `poseunion calibrate` writes it.

    Attributes:
        joint: version of the schema.
        sha256: of the joint model that it was fitted for.
        members, turns: of it, for readers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    joint: int = 1
    sha256: str
    members: tuple[dict[str, str], ...]
    turns: str
    calibration: Calibration


class JointModel(PoseModel):
    """Networks behind the interface of one: from all crops of a person to SimCC outputs.

    Args:
        members: the networks; the cells are those of the first one's input.
        turns: which people are predicted in turned pictures as well.
        path: file of the calibration, where there is one.

    Raises:
        BadArgumentError: too few members, of different flip tests, or with turns that can select no person.
    """

    def __init__(
        self, members: Sequence[Predictor], turns: Turns = Turns.NONE, path: Path = Path("joint.json")
    ) -> None:
        first = members[0]
        if len(members) < 2 and turns is not Turns.ALWAYS:
            raise BadArgumentError("A joint model needs two networks, or one with --turns always.")
        if twice := [m.name for i, m in enumerate(members) if m.sha256 in {other.sha256 for other in members[:i]}]:
            raise BadArgumentError(f"{twice[0]} is a member of a joint model twice: name it once.")
        for other in members:
            if other.flip != first.flip:
                raise BadArgumentError(f"{other.name} has another flip test than {first.name}: give all the same.")
        self.members, self.turns, self.path = tuple(members), turns, path
        self.skeleton = skeleton = common_skeleton([m.skeleton for m in members])
        if skeleton.name not in shipped_skeletons():
            raise BadArgumentError(f"The keypoints of {skeleton.name} together are no shipped skeleton: leave one out.")
        self.weight_MK = weights_of(members, skeleton)
        w, h = (side // DRAWN_STRIDE_PX for side in first.size_wh)
        self.cells = Cells(first.size_wh, HeatmapOutput(output="drawn", size_wh=(w, h), alignment=Alignment.CLASSIC))
        self.provider = "+".join(dict.fromkeys(m.provider for m in members))
        self.threads = min(m.model.threads for m in members)
        named = tuple({"name": m.name, "sha256": m.sha256} for m in members)
        facts = f"{[m.sha256 for m in members]}|{[MODEL_OFFSETS.get(m.name, ()) for m in members]}|{turns.value}"
        self.sha256 = hashlib.sha256(
            f"{facts}|{TURN_CONSTANTS if turns is not Turns.NONE else ''}".encode()
        ).hexdigest()
        self.description: ModelDescription = JointDescription(
            name=" + ".join(m.name for m in members) + ("" if turns is Turns.NONE else f", turned: {turns.value}"),
            skeleton=skeleton.name,
            keypoints=list(skeleton.keypoints),
            size_wh=first.size_wh,
            padding=first.padding,
            head=SimccOutput(split=1 / DRAWN_STRIDE_PX, sigma_bins=(DRAWN_SIGMA_CELLS, DRAWN_SIGMA_CELLS)),
            licence="; ".join(dict.fromkeys(m.metadata.licence for m in members if m.metadata.licence)),
            members=named,
            turns=turns.value,
        )
        # The crops of a person, upright ones first: members with equal inputs share them.
        angles = (0.0,) if turns is Turns.NONE else (0.0, *ANGLES_DEG)
        self._view_of = {
            (number, angle): (m.size_wh, m.padding, angle) for angle in angles for number, m in enumerate(members)
        }
        self._views = list(dict.fromkeys(self._view_of.values()))
        shapes = [(size[1], size[0], 3) for size, _, _ in self._views]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
        self._pixels_of = {
            view: (slice(int(end) - int(np.prod(shape)), int(end)), shape)
            for view, end, shape in zip(self._views, ends, shapes, strict=True)
        }
        self._base = crop_of(UNIT_BOX, first.size_wh, first.padding)

    def alone(self) -> JointModel:
        """The same networks, single-threaded."""
        if self.threads == 1:
            return self
        beside = copy.copy(self)
        beside.members, beside.threads = tuple(m.alone() for m in self.members), 1
        return beside

    def cut(self, image: NDArray[np.uint8], crop: Crop) -> NDArray[np.uint8]:
        """(B,) pixels of all crops of the person in the first member's upright crop, one after the other."""
        box = box_of_crop(crop, self.members[0].padding)
        views = [crop_of(box, size, padding, angle) for size, padding, angle in self._views]
        antialias = self.members[0].antialias
        return np.concatenate([cut_crop(image, view, antialias=antialias).ravel() for view in views])

    def normalise(self, crop_NHW3: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The pixels as they are: every member normalises its own."""
        return cast(Any, crop_NHW3)

    def forward(self, input_N: NDArray[Any]) -> list[NDArray[np.floating]]:
        """SimCC outputs from (N, B) pixels that `cut` made."""
        return self.read(input_N)[0]

    def read(self, pixel_NB: NDArray[np.uint8]) -> tuple[list[NDArray[np.floating]], NDArray[np.float32]]:
        """SimCC outputs, and (N, K) how far from the joint's place the farthest member's is, in OKS-.5 radii."""
        skeleton = self.skeleton
        heat_MNKhw = self._heatmaps(pixel_NB, 0.0)
        mean = self._mean(heat_MNKhw)
        turned_rows = self.turns.rows(agreement(heat_MNKhw, mean, self.weight_MK, skeleton))
        if len(turned_rows):
            turned = [self._mean(self._heatmaps(pixel_NB[turned_rows], angle)) for angle in ANGLES_DEG]
            mean[turned_rows] = merged(np.stack([mean[turned_rows], *turned]), skeleton)
        apart_px = DRAWN_STRIDE_PX * np.linalg.norm(_peaks(heat_MNKhw) - _peaks(mean), axis=-1)
        apart_px = np.where(self.weight_MK[:, None] > 0, apart_px, 0.0).max(0)
        width, height = (side / self.description.padding for side in self.description.size_wh)
        radius_px = oks_radius_px(np.array([AREA_OF_BOX * width * height]), skeleton.sigma_array)
        return [mean.max(-2), mean.max(-1)], (apart_px / radius_px).astype(np.float32)

    def _mean(self, heat_MNKhw: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.einsum("mk,mnkhw->nkhw", self.weight_MK, heat_MNKhw), np.float32)

    def _heatmaps(self, pixel_NB: NDArray[np.uint8], angle: float) -> NDArray[np.float32]:
        """(M, N, K, h, w) of every member on the common cells, 0 for keypoints that a member lacks.

        Turned crops are predicted without the flip test.
        """
        skeleton, (w, h) = self.skeleton, self.cells.head.size_wh
        result = np.zeros((len(self.members), len(pixel_NB), len(skeleton), h, w), np.float32)
        for number, member in enumerate(self.members):
            place, shape = self._pixels_of[self._view_of[number, angle]]
            outputs = (without_flip(member) if angle else member).outputs(pixel_NB[:, place].reshape(-1, *shape))
            own, offsets = Cells.of(member), MODEL_OFFSETS.get(member.name, ())
            heat = moved(heatmaps_of(member, outputs), member.skeleton, offsets)
            index = project_indices(skeleton, member.skeleton)
            view = crop_of(box_of_crop(self._base, self.members[0].padding), member.size_wh, member.padding, angle)
            flat = heat.reshape(-1, *heat.shape[2:])
            if (own.head.size_wh, own.head.alignment, view) != (self.cells.head.size_wh, Alignment.CLASSIC, self._base):
                flat = resampled(flat, own, view, self.cells, self._base)
            result[number][:, index] = flat.reshape(*heat.shape[:2], h, w)
        return result


class JointPredictor(Predictor):
    """Predictor that runs several networks, and turned pictures, as one.

    Args:
        model: the networks.
        calibration: of exactly these; None: scores are heights of the mean, no probabilities.
    """

    model: JointModel

    def __init__(self, model: JointModel, calibration: Calibration | None = None) -> None:
        model = copy.copy(model)
        model.description = model.description.model_copy(update={"calibration": calibration})
        first = model.members[0]
        super().__init__(model, flip=first.flip, antialias=first.antialias, batch_size=first.batch_size)

    def cut_crop(self, image: NDArray[np.uint8], crop: Crop) -> NDArray[np.uint8]:
        """(B,) pixels of all networks' crops."""
        return self.model.cut(image, crop)

    def outputs(self, crop_NHW3: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """SimCC outputs of the mean; the members make the flip test."""
        return self.model.run(crop_NHW3)

    def read(self, crop_NHW3: NDArray[np.uint8]) -> tuple[list[NDArray[np.float32]], NDArray[np.float32] | None]:
        """Outputs, and how far apart the networks place each keypoint."""
        outputs, apart = self.model.read(crop_NHW3)
        return [np.asarray(o, np.float32) for o in outputs], apart


def load_joint(
    names_or_paths: Sequence[str | Path],
    *,
    turns: Turns | str = Turns.NONE,
    calibration: Path | None = None,
    path: Path = Path("joint.json"),
    **options: Any,
) -> JointPredictor:
    """Load a joint predictor.

    Args:
        calibration: file of `poseunion calibrate`.
        path: of a calibration that is to be fitted; its conditioning parameters lie beside it.
        options: of `load_predictor`, the same for all networks.

    Raises:
        BadArgumentError: see `JointModel`; an unknown kind of turns. BadFileError: the calibration is of other
            networks. And see `load_predictor`.
    """
    known = [one.value for one in Turns]
    if turns not in known:
        raise BadArgumentError(f"No --turns {turns!r}: choose {', '.join(known)}.")
    model = JointModel([load_predictor(name, **options) for name in names_or_paths], Turns(turns), calibration or path)
    return JointPredictor(model, None if calibration is None else read_calibration(calibration, model))


def load_models(
    names_or_paths: Sequence[str | Path],
    turns: str,
    calibration: Path | None,
    warn: Callable[[str], None],
    **options: Any,
) -> Predictor:
    """Load the predictor of a command's `--model`, `--turns` and `--calibration`: one network, or a joint one.

    Args:
        warn: called with a notice where a joint predictor has no calibration.

    Raises:
        As `load_predictor` and `load_joint`.
    """
    if len(names_or_paths) == 1 and turns == Turns.NONE.value and calibration is None:
        return load_predictor(names_or_paths[0], **options)
    predictor = load_joint(names_or_paths, turns=turns, calibration=calibration, **options)
    if calibration is None:
        warn(
            f"{predictor.name} has no calibration: its confidences are raw scores, no probabilities, and labelled "
            "keypoints do not condition it. Fit one with poseunion calibrate, then give --calibration."
        )
    return predictor


def read_calibration(path: Path, model: JointModel) -> Calibration:
    """Calibration of a joint model; raises BadFileError where the file is of another one."""
    try:
        found = JointCalibration.model_validate(read_json(path))
    except ValidationError as error:
        raise BadFileError(f"{path} is no calibration of a joint model: {first_fault(error, 'file')}.") from error
    if found.sha256 != model.sha256 or found.calibration.keypoints != model.skeleton.keypoints:
        fitted = " + ".join(m.get("name", "?") for m in found.members)
        raise BadFileError(
            f"{path} was fitted for {fitted}, turns {found.turns}, not for {model.description.name} with these files: "
            "calibrate anew with poseunion calibrate, the models in the same order."
        )
    return found.calibration


def calibration_file(predictor: JointPredictor, calibration: Calibration) -> JointCalibration:
    """Content of a calibration file."""
    description = cast(JointDescription, predictor.metadata)
    return JointCalibration(
        sha256=predictor.sha256, members=description.members, turns=description.turns, calibration=calibration
    )


def common_skeleton(skeletons: Sequence[Skeleton]) -> Skeleton:
    """The first that has all keypoints of all; else their union, which is union21 where that has the same ones."""
    every = union(*skeletons)
    for one in (*skeletons, load_skeleton("union21")):
        if set(one.keypoints) == set(every.keypoints):
            return one
    return every


def weights_of(
    members: Sequence[Predictor],
    skeleton: Skeleton,
    weights: Sequence[float] | None = None,
    keypoint_weights: Sequence[Mapping[str, float]] | None = None,
) -> NDArray[np.float32]:
    """(M, K) weight of each member at each keypoint, summing to one over the members; 0 where it lacks the keypoint.

    Raises:
        BadArgumentError: another number of weights, below 0, of unknown keypoints, or a member or keypoint without any.
    """
    all_weights = [1.0] * len(members) if weights is None else weights
    single = [{}] * len(members) if keypoint_weights is None else keypoint_weights
    for given in (all_weights, single):
        if len(given) != len(members):
            raise BadArgumentError(f"{len(given)} weights for {len(members)} members of a joint model: one for each.")
    result = np.zeros((len(members), len(skeleton)))
    for row, member, weight, named in zip(result, members, all_weights, single, strict=True):
        keypoints = member.skeleton.keypoints
        if unknown := sorted(set(named) - set(keypoints) - {sideless(name) for name in keypoints}):
            raise BadArgumentError(f"{member.name} has no keypoint {unknown[0]} to weigh: correct its name.")
        for name in keypoints:
            row[skeleton.index(name)] = named.get(name, named.get(sideless(name), weight))
        if not (row >= 0).all() or not row.any():
            raise BadArgumentError(f"{member.name} has a weight below 0, or only 0, in a joint model: leave it out.")
    if missing := [name for name, total in zip(skeleton.keypoints, result.sum(0), strict=True) if not total]:
        raise BadArgumentError(f"All members of a joint model weigh 0 at {missing[0]}: give one a weight.")
    return (result / result.sum(0)).astype(np.float32)


def without_flip(member: Predictor) -> Predictor:
    """The same network without the flip test."""
    plain = copy.copy(member)
    plain.flip = False
    return plain


def _peaks(heat_NKhw: NDArray[np.float32]) -> NDArray[np.float64]:
    """(…, 2) column and row of the highest cell."""
    *leading, h, w = heat_NKhw.shape
    row, column = np.divmod(heat_NKhw.reshape(*leading, h * w).argmax(-1), w)
    return np.stack([column, row], -1).astype(np.float64)
