"""Pose estimation behind the page, without the page: people, keypoints, views of them, COCO-style records.

Shapes: N people, K keypoints.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.app import pose_records
from poseunion.app.demo.downscale import reduce_resolution
from poseunion.app.demo.pictures import Picture
from poseunion.app.pose_records import DisplayedPoses
from poseunion.models.codec.crop import crop_from_box
from poseunion.models.errors import BadArgumentError, ItemError
from poseunion.models.files import sha256_of
from poseunion.models.inference.detector import Detector
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.skeleton import load_skeleton
from poseunion.models.zoo import model_path

# People in one picture: more cannot be distinguished on a screen, and each costs the server a network's run.
MOST_PEOPLE = 30
SMALLEST_BOX_PX = 8

# Skeletons that the page can show: label -> skeleton. The models have no feet (Halpe's).
SKELETONS = {
    "Union, 21": "union21",
    "COCO, 17": "coco17",
    "MPII, 16": "mpii16",
    "Halpe, 20 of its 26": "halpe26",
    "OpenPose, 18": "openpose18",
}
# Whose keypoints are the known ones, drawn white; all others are new and red.
KNOWN = {"COCO": "coco17", "MPII": "mpii16"}
# Pixels of a person's crop along its longer side; None: all there are.
RESOLUTIONS: dict[str, int | None] = {"Full": None, "64 px": 64, "32 px": 32}


@dataclass(frozen=True)
class PicturePeople:
    """People of a picture.

    Attributes:
        poses: in pixels of the picture as it is kept.
        boxes_by: detector, hand, example (its own boxes) or whole (the picture as one person).
        model: name.
        resolution: a key of `RESOLUTIONS`.
        ms: crop and network, all people.
    """

    picture: Picture
    poses: PoseBatch
    boxes_by: str
    model: str
    resolution: str
    ms: float


class PoseEstimator:
    """Models, each loaded at its first use.

    Args:
        models: names of shipped models or paths of described ones, the first is the default.
        detector: finds people; None: boxes are drawn by hand.
        threads: CPU threads of one network call.
    """

    def __init__(self, models: Sequence[str], detector: Detector | None = None, threads: int | None = None) -> None:
        if not models:
            raise BadArgumentError("No model comes with this installation: give one with --model FILE.onnx.")
        self.models = tuple(models)
        self.detector = detector
        self.threads = threads
        self._loaded: dict[str, Predictor] = {}
        self._lock = threading.Lock()

    def predictor(self, name: str) -> Predictor:
        """The model of that name; raises BadArgumentError for any other than those offered."""
        if name not in self.models:
            raise BadArgumentError(f"No model {name!r} is offered here.")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = load_predictor(name, threads=self.threads)
            return self._loaded[name]

    def distinct_models(self) -> list[str]:
        """The models without those that are the same file under another name."""
        by_content = {sha256_of(model_path(name)): name for name in reversed(self.models)}
        return sorted(by_content.values(), key=self.models.index)

    def threshold(self, model: str) -> float:
        """The confidence from which the model's own description shows a keypoint."""
        return float(self.predictor(model).metadata.confidence_threshold)

    def warm_up(self) -> None:
        """Load the default model and run it once, so that the first visitor does not wait."""
        self.poses(np.zeros((64, 64, 3), np.uint8), np.array([[0.0, 0, 64, 64]]), self.models[0], "Full")

    def find(
        self, picture: Picture, model: str, resolution: str, boxes: Sequence[Sequence[float]] | None
    ) -> PicturePeople:
        """People in `picture`: in the boxes given, else in the detector's, else in the whole picture.

        Raises:
            ItemError, BadArgumentError: a sentence for the visitor.
        """
        image = picture.pixels()
        boxes_by = "hand"
        if boxes is not None:
            box = usable_boxes(boxes, picture.size_wh)
        elif self.detector is not None:
            box, boxes_by = self.detector(image)[0][:MOST_PEOPLE].astype(np.float64), "detector"
        else:
            box, boxes_by = np.array([[0.0, 0.0, *picture.size_wh]]), "whole"
        poses, ms = self.poses(image, box, model, resolution)
        return PicturePeople(picture, poses, boxes_by, model, resolution, ms)

    def poses(
        self, image: NDArray[np.uint8], box_N4: NDArray[np.float64], model: str, resolution: str
    ) -> tuple[PoseBatch, float]:
        """Keypoints of the people in `box_N4`, and the milliseconds that cropping and the network took."""
        if resolution not in RESOLUTIONS:
            raise BadArgumentError(f"No resolution {resolution!r}: choose {', '.join(RESOLUTIONS)}.")
        predictor, side = self.predictor(model), RESOLUTIONS[resolution]
        if len(box_N4) == 0:
            return PoseBatch.empty(predictor.skeleton), 0.0
        started = time.perf_counter()
        if side is None:
            poses = predictor(image, box_N4)
        else:
            pictures = (person_downscaled(image, box, predictor, side) for box in box_N4)
            cuts = [predictor.cut(picture, box) for picture, box in zip(pictures, box_N4, strict=True)]
            size_wh = np.tile(np.array(image.shape[1::-1], np.float64), (len(cuts), 1))
            pixels, crops = zip(*cuts, strict=True)
            poses = predictor.predict_crops(np.stack(pixels), crops, image_wh_N2=size_wh)
            poses = dataclasses.replace(poses, box_xywh=box_N4.astype(np.float32))  # not the crops'
        return poses, (time.perf_counter() - started) * 1000


def person_downscaled(
    image: NDArray[np.uint8], box_xywh: NDArray[np.float64], predictor: Predictor, side_px: int
) -> NDArray[np.uint8]:
    """The picture with one person at low resolution."""
    return reduce_resolution(image, crop_from_box(box_xywh, predictor.size_wh, predictor.padding), side_px)


def usable_boxes(boxes: Sequence[Sequence[float]], size_wh: tuple[int, int]) -> NDArray[np.float64]:
    """(N, 4) boxes that came from the page, clipped to the picture; raises ItemError where they are no boxes."""
    try:
        box = np.array(boxes, np.float64).reshape(-1, 4)
    except (TypeError, ValueError) as error:
        raise ItemError("A box is four numbers: x, y, width, height.") from error
    if len(box) > MOST_PEOPLE:
        raise ItemError(f"These are {len(box)} boxes: at most {MOST_PEOPLE} people are predicted in one picture.")
    if not np.isfinite(box).all():
        raise ItemError("A box is four finite numbers.")
    low = np.clip(box[:, :2], 0, size_wh)
    high = np.clip(box[:, :2] + box[:, 2:], 0, size_wh)
    clipped = np.concatenate([low, high - low], 1)
    return clipped[(clipped[:, 2:] >= SMALLEST_BOX_PX).all(1)]


def displayed_as(poses: PoseBatch, view: str, known: str) -> DisplayedPoses:
    """Reorder people for one of `SKELETONS`, beside one of `KNOWN`; raises BadArgumentError for other names."""
    if view not in SKELETONS or known not in KNOWN:
        raise BadArgumentError(f"No skeleton {view!r} beside {known!r} is offered here.")
    return pose_records.displayed(poses, load_skeleton(SKELETONS[view]), load_skeleton(KNOWN[known]))


def as_coco(found: PicturePeople, view: DisplayedPoses, threshold: float) -> dict[str, Any]:
    """People as a COCO-style document, in pixels of the upload."""
    factor = found.picture.original_px
    width, height = found.picture.original_wh
    original = dataclasses.replace(view, xy=view.xy * factor)
    stands = original.accepted(threshold, found.picture.original_wh)
    people = [
        {"id": n + 1, "image_id": 1, **pose_records.record(original, n, stands[n], box)}
        for n, box in enumerate(found.poses.box_xywh.astype(np.float64) * factor)
    ]
    description = f"poseunion, model {found.model}, {found.resolution} resolution"
    return {
        **pose_records.header(view.skeleton, threshold, description, {"name": found.model}),
        "images": [{"id": 1, "file_name": found.picture.name, "width": width, "height": height}],
        "annotations": people,
    }
