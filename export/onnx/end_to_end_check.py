"""Comparison of the end-to-end ONNX file with `Predictor` on the same people.

Shapes: N people, K keypoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import read_annotations
from poseunion.export.calibration_crops import read_picture
from poseunion.export.onnx.end_to_end import Form
from poseunion.models.codec.crop import affine_to_crop, crop_from_box, invert_affine
from poseunion.models.errors import ItemError, ModelError
from poseunion.models.inference.predictor import Predictor
from poseunion.models.runtime.base import PoseModel
from poseunion.models.runtime.onnx import CPU, open_session

PICTURES = 40
BATCHES = (1, 2, 7)
# Crop pixels. The crop form reads the same pixels; the picture form halves pictures from another corner, which shifts
# grey levels a little, and a keypoint with two similar peaks may then jump.
MOST_MEDIAN_PX = {"crop": 0.01, "picture": 0.1}
# In noise no keypoint has a clear peak: 0.19 px for the shipped network, 0.002 on COCO's people. A wrong corner or
# centre would make half a pixel.
MOST_MEDIAN_GENERATED_PX = {"crop": 0.01, "picture": 0.4}


def check_twin(twin: Path, form: Form, model: PoseModel, labelled: Sequence[tuple[Path, Path]]) -> dict[str, Any]:
    """Distance of the end-to-end file from `Predictor`, in crop pixels; on generated pictures without labelled ones.

    Raises:
        ModelError: further than `MOST_MEDIAN_PX`, or `MOST_MEDIAN_GENERATED_PX`.
    """
    predictor = Predictor(model)
    session = open_session(twin, [CPU], threads=model.threads)
    apart: list[NDArray[np.float64]] = []
    scores: list[NDArray[np.float64]] = []
    for picture, boxes in _real(labelled) if labelled else _generated():
        expected = predictor(picture, boxes)
        xy, confidence = session.run(None, _inputs(form, predictor, picture, boxes))
        per_px = np.array([crop_from_box(b, predictor.size_wh, predictor.padding).image_px_per_crop_px for b in boxes])
        apart.append((np.linalg.norm(xy - expected.xy, axis=-1) / per_px[:, None]).ravel())
        scores.append(np.abs(confidence - expected.score).ravel())
    px, score = np.concatenate(apart), np.concatenate(scores)
    median = float(np.median(px))
    facts = {
        "compared_with": "Predictor on the fp32 ONNX file",
        "people": len(px) // len(predictor.skeleton),
        "pictures": "labelled" if labelled else "generated",
        "median_crop_px": median,
        "p95_crop_px": float(np.quantile(px, 0.95)),
        "median_confidence_difference": float(np.median(score)),
        "p95_confidence_difference": float(np.quantile(score, 0.95)),
    }
    most = (MOST_MEDIAN_PX if labelled else MOST_MEDIAN_GENERATED_PX)[form]
    if median > most:
        raise ModelError(
            f"The end-to-end file of {predictor.name} is refused: its keypoints are {median:.2f} crop pixels "
            f"from the predictor's (median), over {most:g}; nothing was written."
        )
    return facts


def _inputs(
    form: Form, predictor: Predictor, picture: NDArray[np.uint8], boxes: NDArray[np.float32]
) -> dict[str, NDArray[np.generic]]:
    if form == "picture":
        return {"image": picture, "boxes_xywh": boxes}
    crops, regions = zip(*(predictor.cut(picture, box) for box in boxes), strict=True)
    back = [invert_affine(affine_to_crop(region)) for region in regions]
    return {"crop": np.stack(crops), "crop_to_image": np.stack(back).astype(np.float32)}


def _real(labelled: Sequence[tuple[Path, Path]]) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    found = []
    for file, images in labelled:
        annotations = read_annotations(file)
        boxes: dict[int, list[NDArray[np.float64]]] = {}
        for person in annotations.persons():
            if person.skip is None and person.image is not None and np.isfinite(person.box_xywh).all():
                boxes.setdefault(int(annotations.image_index[person.index]), []).append(person.box_xywh)
        for index in list(boxes)[:PICTURES]:
            ref = annotations.images[index]
            try:
                picture = read_picture(images, ref)
            except ItemError:
                continue
            found.append((picture, np.stack(boxes[index]).astype(np.float32)))
    return found


def _generated() -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Generated test pictures: smooth noise of several sizes, with boxes of several sizes, some across the border."""
    rng = np.random.default_rng(0)
    found = []
    for people in BATCHES:
        wh = rng.integers(40, 900, 2)
        coarse = rng.integers(0, 256, (wh[1] // 20 + 2, wh[0] // 20 + 2, 3)).astype(np.uint8)
        picture = np.repeat(np.repeat(coarse, 20, 0), 20, 1)[: wh[1], : wh[0]]
        low = rng.uniform(-0.2, 0.6, (people, 2)) * wh
        extent = rng.uniform(0.3, 1.0, (people, 2)) * wh
        found.append((np.ascontiguousarray(picture), np.concatenate([low, extent], 1).astype(np.float32)))
    return found
