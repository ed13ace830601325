"""Recall of a detector on held-out pictures.

Shapes: P pictures, N boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from poseunion.models.inference.detector import (
    Detections,
    DetectorDescription,
    DistanceOutput,
    decode,
    fitted,
    kept,
    normalised,
)
from poseunion.models.networks.person_detector import STRIDES
from poseunion.training.detector.pictures import overlaps
from poseunion.training.detector.views import Pictures
from poseunion.training.loop.stages import trained_licence

# Boxes a picture at which recall is measured: RTMDet-nano's on COCO's pictures at its usual threshold of .25.
BOXES_A_PICTURE = 5.8
# Height of a person of 48 px in COCO's 640 px pictures, as a share of the longer side.
LEAST_HEIGHT = 48 / 640
FOUND_IOU = 0.5
# Of .4, .45, .5, .55, .6 and .65 the one that found most of the held-out people at `BOXES_A_PICTURE`.
IOU_THRESHOLD = 0.45
# Boxes below this score are never used; the threshold is chosen afterwards.
LOWEST_SCORE = 0.02


def describe(
    name: str, side: int, source: str = "", score_threshold: float = 0.3, licence: str = ""
) -> DetectorDescription:
    """Description of a detector with these weights' network; `licence` is that of the start weights."""
    return DetectorDescription(
        name=name,
        size_wh=(side, side),
        score_threshold=score_threshold,
        iou_threshold=IOU_THRESHOLD,
        head=DistanceOutput(outputs=[f"p{s}" for s in STRIDES], strides=list(STRIDES)),
        licence=trained_licence(licence),
        source=source,
    )


@torch.no_grad()
def detect(network: nn.Module, image: NDArray[np.uint8], description: DetectorDescription) -> Detections:
    """Boxes of one picture; as `OnnxDetector`, with the torch network."""
    content, scale_xy = fitted(image, description)
    outputs = network(torch.from_numpy(normalised(content, description)).to(memory_format=torch.channels_last))
    corners_M4, score_M = decode([o.numpy() for o in outputs], description)
    height, width = image.shape[:2]
    return kept(corners_M4 / np.tile(scale_xy, 2), score_M, (width, height), description)


def held_out_recall(network: nn.Module, side: int, held_out: Sequence[Pictures]) -> dict[str, float]:
    """`recall` in percent of the people a human boxed at `BOXES_A_PICTURE`, and the score threshold that gives it."""
    description = describe("held out", side, score_threshold=LOWEST_SCORE)
    network = network.eval()
    scores: list[float] = []
    best: list[float] = []  # highest score of a box on each person
    pictures = 0
    for part in held_out:
        for row in part.rows:
            corner = part.store.human(int(row)).astype(np.float64)
            if not len(corner):
                continue
            image = part.store.pixels(int(row))
            wanted = np.concatenate([corner[:, :2], corner[:, 2:] - corner[:, :2]], 1)
            box, score = detect(network, image, description)
            fits = overlaps(wanted, box.astype(np.float64)) >= FOUND_IOU
            tall = wanted[:, 3] >= LEAST_HEIGHT * max(image.shape[:2])
            best += [float(v) for v in np.where(fits, score[None], 0.0).max(1, initial=0.0)[tall]]
            scores += score.tolist()
            pictures += 1
    if not best:
        return {}
    allowed = int(BOXES_A_PICTURE * pictures)
    threshold = sorted(scores, reverse=True)[allowed] if len(scores) > allowed else LOWEST_SCORE
    found = np.array(best) > threshold
    return {"recall": round(100 * float(found.mean()), 2), "threshold": round(threshold, 4)}
