"""Top-down pose predictor: pictures and person boxes in, keypoints with confidences out.

    >>> from matplotlib.cbook import get_sample_data  # any picture will do; this one is a portrait of Grace Hopper
    >>> from poseunion.models import load_predictor
    >>> predict = load_predictor("unified")
    >>> people = predict(get_sample_data("grace_hopper.jpg", asfileobj=False))  # found by the shipped detector
    >>> people[0]["head_top"].y < people[0]["nose"].y < people[0]["upper_neck"].y
    True
    >>> predict(people.image, [[20, 10, 470, 590]])  # in boxes of yours: x, y, width, height
    PoseBatch(1 person, union21: 21 keypoints, mean confidence 0.46)

Shapes: N people, K keypoints.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from poseunion.models.calibration.in_picture import features_without_labels
from poseunion.models.calibration.schema import KeypointLogistic, picture_features
from poseunion.models.codec import heatmap, simcc
from poseunion.models.codec.crop import Crop, check_in_picture, crop_from_box, cut_crop, to_image
from poseunion.models.errors import BadArgumentError
from poseunion.models.images import ImageLike
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.inference.one_picture import predict_picture
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.runtime.base import PoseModel
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.runtime.engine_record import ENGINE_SUFFIX
from poseunion.models.runtime.onnx import OnnxModel
from poseunion.models.runtime.tensorrt import EngineModel
from poseunion.models.skeleton import Skeleton
from poseunion.models.zoo import model_path

T = TypeVar("T")
# Picture, box, labels, wanted keypoints.
_Person = tuple[NDArray[np.uint8], NDArray[np.float64], "NDArray[np.floating] | None", "NDArray[np.bool_] | None"]

# Small networks (64x64, 32x32) and conditioning take less time a person in batches; on one CPU thread `OnnxModel` runs
# larger inputs one by one. 8 need a third of the memory of 32.
BATCH_SIZE = 8


class Predictor:
    """Top-down predictor that runs one described model on crops of people.

    Args:
        model: the loaded file.
        flip: average with the mirrored crop (twice the time).
        refine: argmax of expected OKS, between the bins; off gives the most probable bin, as mmpose and rtmlib.
        antialias: average areas when shrinking a picture; off samples like mmpose and rtmlib.
        batch_size: people a network call; larger for a GPU.
    """

    def __init__(
        self,
        model: PoseModel,
        *,
        flip: bool = False,
        refine: bool = True,
        antialias: bool = True,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        if batch_size < 1:
            raise BadArgumentError(f"batch_size is {batch_size}: give at least 1.")
        self.model = model
        self.metadata: ModelDescription = model.description
        self.skeleton: Skeleton = model.description.resolved_skeleton
        self.name = model.description.name
        self.sha256 = model.sha256
        self.provider = model.provider
        self.size_wh = model.description.size_wh
        self.padding = model.description.padding
        self.flip, self.refine, self.antialias, self.batch_size = flip, refine, antialias, batch_size
        # A heatmap network has no bins to weigh.
        has_bins = self.metadata.head.kind != "heatmap"
        self._tolerance_px = simcc.tolerances_px(self.skeleton.sigmas, self.metadata.grid) if has_bins else ()

    @property
    def uses_labels(self) -> bool:
        """Whether labelled keypoints condition the prediction of the others."""
        return False

    @property
    def calibration_part(self) -> KeypointLogistic | None:
        """Part of the calibration that the confidences come from; None: the model is not calibrated."""
        return None if self.metadata.calibration is None else self.metadata.calibration.picture

    @property
    def prior_sha256(self) -> str | None:
        """SHA-256 of the pose prior, where one is used."""
        return None

    @property
    def route(self) -> Sequence[dict[str, Any]]:
        """Models to choose among: none besides this one."""
        return ()

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
        """Keypoints of the people in several pictures; network calls are filled across pictures."""
        per_image = boxes_of_pictures(images, boxes_xywh)
        if labels is not None and not self.uses_labels:
            raise BadArgumentError(f"{self.name} takes no labelled keypoints: give them to a ConditionedPredictor.")
        people: list[_Person] = []
        for number, (image, boxes) in enumerate(zip(images, per_image, strict=True)):
            nothing = [None] * len(boxes)
            given = (nothing if values is None else values[number] for values in (labels, wanted))
            people += [(image, *person) for person in zip(boxes, *given, strict=True)]
        at_once = self.model.threads
        if 1 < at_once <= len(people):
            # Calls of one thread each, side by side, finish sooner than calls that share the threads one by one; and
            # so do cropping and decoding.
            beside = self.alone()
            shares = _parts(people, min(self.batch_size, -(-len(people) // at_once)))
            with ThreadPoolExecutor(at_once) as pool:
                done = list(pool.map(beside._predict_share, shares))
        else:
            done = [self._predict_share(share) for share in _parts(people, self.batch_size)]
        everyone = PoseBatch.concatenate(done) if done else PoseBatch.empty(self.skeleton)
        ends = np.cumsum([len(boxes) for boxes in per_image])
        return [
            replace(everyone.rows(slice(end - len(boxes), end)), box_xywh=boxes.astype(np.float32))
            for boxes, end in zip(per_image, ends, strict=True)
        ]

    def alone(self) -> Predictor:
        """The same predictor with a single-threaded model, to run beside others."""
        beside = copy.copy(self)
        beside.model = self.model.alone()
        return beside

    def _predict_share(self, people: list[_Person]) -> PoseBatch:
        """Keypoints of people in one network call."""
        crops, regions = zip(*(self.cut(image, box) for image, box, _, _ in people), strict=True)
        size_wh = np.array([(image.shape[1], image.shape[0]) for image, _, _, _ in people], np.float64)
        if not self.uses_labels:
            return self.predict_crops(np.stack(crops), regions, image_wh_N2=size_wh)
        k = len(self.skeleton)
        labels = np.stack([np.zeros((k, 3)) if label is None else label for _, _, label, _ in people])
        wanted = np.stack([np.ones(k, bool) if mask is None else mask for _, _, _, mask in people])
        return self.predict_crops(np.stack(crops), regions, labels, size_wh, wanted)

    def cut(self, image: NDArray[np.uint8], box_xywh: ArrayLike) -> tuple[NDArray[np.uint8], Crop]:
        """Pixels of one person's crop and its geometry.

        Raises:
            ItemError: the box has no area, is not finite, or does not touch the picture.
        """
        x, y, w, h = (float(v) for v in np.asarray(box_xywh, np.float64))
        crop = crop_from_box((x, y, w, h), self.size_wh, self.padding)
        check_in_picture(image, (x, y, w, h))
        return self.cut_crop(image, crop), crop

    def cut_crop(self, image: NDArray[np.uint8], crop: Crop) -> NDArray[np.uint8]:
        """Pixels of a crop that does not come from a box (MPII: centre and scale)."""
        return cut_crop(image, crop, antialias=self.antialias)

    def assign(self, crops: Sequence[Crop]) -> Sequence[tuple[PosePredictor, NDArray[np.intp]]]:
        """Assignment of all crops to this model, see `PosePredictor.assign`."""
        return [(self, np.arange(len(crops)))]

    def predict_crops(
        self,
        crop_NHW3: NDArray[np.uint8],
        crops: Sequence[Crop],
        labels_NK3: NDArray[np.floating] | None = None,
        image_wh_N2: NDArray[np.floating] | None = None,
        wanted_NK: NDArray[np.bool_] | None = None,
    ) -> PoseBatch:
        """Keypoints in image pixels from crops that `cut` made; one network call (two with the flip test)."""
        outputs, apart = self.read(crop_NHW3)
        found = self.located(outputs, crops, image_wh_N2)
        return found if apart is None else replace(found, disagreement=apart)

    def located(
        self,
        outputs: list[NDArray[np.float32]],
        crops: Sequence[Crop],
        image_wh_N2: NDArray[np.floating] | None = None,
    ) -> PoseBatch:
        """Keypoints in image pixels from the raw outputs of `crops`; confidences where the model is calibrated."""
        xy_crop, score, oks = self._decode(outputs)
        xy = np.stack([to_image(p, crop) for p, crop in zip(xy_crop, crops, strict=True)])
        boxes = np.array([box_of_crop(crop, self.padding) for crop in crops], np.float32)
        raw = np.clip(score, 0, 1)
        calibration = self.metadata.calibration
        if calibration is None:
            return PoseBatch(self.skeleton, xy.astype(np.float32), raw, boxes)
        size = np.array([crop.image_px_per_crop_px for crop in crops])
        confidence = calibration.from_picture(raw, size, oks).astype(np.float32)
        found = PoseBatch(self.skeleton, xy.astype(np.float32), confidence, boxes, raw)
        model = calibration.picture.in_picture
        if model is None or oks is None or image_wh_N2 is None:
            return found
        feature = picture_features(oks if calibration.by_expected_oks else raw, size, calibration.size_bounds)
        feature = features_without_labels(feature, xy, outputs[0], outputs[1], self.metadata.grid, crops, image_wh_N2)
        in_picture = model.probability(feature).astype(np.float32)
        return replace(found, score=np.minimum(confidence, in_picture), in_picture=in_picture)

    def outputs(self, crop_NHW3: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Raw outputs of the network, averaged with those of the mirrored crops when `flip` is on."""
        outputs = self.model.run(crop_NHW3)
        if not self.flip:
            return outputs
        mirrored = self.model.run(crop_NHW3[:, :, ::-1])
        order = self.skeleton.flip_indices
        head = self.metadata.head
        if head.kind == "heatmap":
            mirrored = [heatmap.unflip(mirrored[0], order, head.flip_shift_px)]
        else:
            mirrored = [simcc.unflip_x(mirrored[0][:, order], self.metadata.grid), mirrored[1][:, order]]
        return [np.asarray((a + b) / 2, np.float32) for a, b in zip(outputs, mirrored, strict=True)]

    def read(self, crop_NHW3: NDArray[np.uint8]) -> tuple[list[NDArray[np.float32]], NDArray[np.float32] | None]:
        """Outputs, and of several networks (N, K) how far apart they place each keypoint, in OKS-.5 radii."""
        return self.outputs(crop_NHW3), None

    def decode(self, outputs: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Decode raw outputs to (N, K, 2) crop pixels and (N, K) raw scores."""
        xy, score, _ = self._decode(outputs)
        return xy, score

    def expected_oks(self, outputs: list[NDArray[np.float32]]) -> NDArray[np.float32] | None:
        """(N, K) expected OKS of a SimCC network (`simcc.decode_expected`); None for heatmaps."""
        if self.metadata.head.kind == "heatmap":
            return None
        return simcc.decode_expected(outputs[0], outputs[1], self.metadata.grid, self._tolerance_px)[1]

    def _decode(
        self, outputs: list[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32] | None]:
        """Crop pixels, raw scores, and for SimCC the highest expected OKS."""
        head = self.metadata.head
        if head.kind == "heatmap":
            return *heatmap.decode(outputs[0], head, self.size_wh), None
        x, y = outputs
        likeliest, score = simcc.decode(x, y, self.metadata.grid)
        best, oks = simcc.decode_expected(x, y, self.metadata.grid, self._tolerance_px)
        return best if self.refine else likeliest, score, oks


def open_model(
    name_or_path: str | Path,
    description: ModelDescription | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    allow_fallback: bool = False,
) -> PoseModel:
    """Open a model for inference: a shipped model's name, a described `.onnx` file, or a TensorRT `.engine`.

    Raises:
        As `OnnxModel` and `EngineModel`; an engine runs on its GPU or nowhere.
    """
    path = model_path(name_or_path)
    if path.suffix == ENGINE_SUFFIX:
        return EngineModel(path)
    return OnnxModel(path, description, device=device, threads=threads, allow_fallback=allow_fallback)


def load_predictor(
    name_or_path: str | Path = "unified",
    *,
    device: str = "cpu",
    threads: int | None = None,
    allow_fallback: bool = False,
    flip: bool = False,
    refine: bool = True,
    antialias: bool = True,
    batch_size: int = BATCH_SIZE,
    description: ModelDescription | None = None,
) -> Predictor:
    """Load a predictor by a shipped model's name or from any described file.

    Args:
        device: cpu, cuda or tensorrt; where it is absent: an error, or with `allow_fallback` the next best, which
            `Predictor.provider` names.
        threads: CPU cores that may work at once; default: all.

    Raises:
        BadFileError: no such model. ModelError: the file differs from its description. MissingExtraError: no runtime.
    """
    model = open_model(name_or_path, description, device=device, threads=threads, allow_fallback=allow_fallback)
    return Predictor(model, flip=flip, refine=refine, antialias=antialias, batch_size=batch_size)


def boxes_of_pictures(
    images: Sequence[NDArray[np.uint8]], boxes_xywh: Sequence[ArrayLike]
) -> list[NDArray[np.float64]]:
    """Validated (N, 4) boxes of each picture; raises BadArgumentError unless there is one list a picture."""
    per_image = [np.asarray(b, np.float64).reshape(-1, 4) for b in boxes_xywh]
    if len(per_image) != len(images):
        raise BadArgumentError(f"{len(images)} pictures and {len(per_image)} lists of boxes: give one list a picture.")
    return per_image


def box_of_crop(crop: Crop, padding: float) -> tuple[float, float, float, float]:
    """Unpadded box of a crop: x, y, width, height, image px."""
    width = crop.width / padding
    height = width * crop.size_wh[1] / crop.size_wh[0]
    return crop.center_xy[0] - width / 2, crop.center_xy[1] - height / 2, width, height


def _parts(people: list[T], size: int) -> list[list[T]]:
    return [people[start : start + size] for start in range(0, len(people), size)]
