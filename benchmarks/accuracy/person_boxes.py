"""Boxes grown from labelled joints (`annotate.formats.boxes`) beside COCO's own boxes, and the margins they rest on.

People of COCO train with MPII's joints: limbs, midpoints, and upper_neck and head_top where the model is sure of them
given all labels (`training.calibration.mpii_form`). Held-out pictures are left out: nothing of them may be fitted.
Printed are, by the number of labelled joints: IoU, ratio of the sides (root of the areas), ratio of the crops' widths,
and the share of all labelled keypoints, the face included, in the crop padded by 1.25; then how far COCO's box reaches
beyond its outermost joint, in sizes.

    python benchmarks/accuracy/person_boxes.py --data DATA
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.boxes import boxes_of_joints, person_sizes
from poseunion.annotate.formats.mpii.mpii_json import BODY_PX, SIZE_PX
from poseunion.models.calibration.conditioning_parameters import ConditioningParameters
from poseunion.models.codec.crop import corners_of
from poseunion.models.conditioning.hiding import FACE, HEAD
from poseunion.models.conditioning.prior import load_prior
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.skeleton import Skeleton, sideless
from poseunion.training.calibration.mpii_form import CENTRE_BELOW, FEWEST_JOINTS, heads_of
from poseunion.training.calibration.samples import predict_views, read_views
from poseunion.training.data.splits import is_held_out

PADDING, ASPECT = 1.25, 3 / 4
GROUPS = {"all": (2, 16), "14 to 16 joints": (14, 16), "8 to 13": (8, 13), "2 to 7": (2, 7)}
Floats = NDArray[np.float64]


def compared(ours_N4: Floats, theirs_N4: Floats, xy_NK2: Floats, labelled_NK: NDArray[np.bool_]) -> list[Floats]:
    """IoU (N,), ratio of the sides (N,), ratio of the crops' widths (N,), (N, K) in the crop, NaN where unlabelled."""
    a, b = corners_of(ours_N4), corners_of(theirs_N4)
    both = np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0).prod(1)
    area, other = ours_N4[:, 2:].prod(1), theirs_N4[:, 2:].prod(1)
    width, usual = (PADDING * np.maximum(box[:, 2], ASPECT * box[:, 3]) for box in (ours_N4, theirs_N4))
    away = np.abs(xy_NK2 - (ours_N4[:, :2] + ours_N4[:, 2:] / 2)[:, None])
    inside = (away <= (width[:, None] * [0.5, 0.5 / ASPECT])[:, None]).all(-1)
    return [both / (area + other - both), np.sqrt(area / other), width / usual, np.where(labelled_NK, inside, np.nan)]


def row(name: str, values: list[Floats], chosen: NDArray[np.bool_]) -> str:
    """One line of the table."""
    iou, side, crop, inside = (value[chosen] for value in values)
    cells = [f"{np.median(iou):.3f}", f"{np.quantile(iou, 0.1):.3f}"]
    cells += ["{:.2f} … {:.2f} … {:.2f}".format(*np.quantile(v, [0.1, 0.5, 0.9])) for v in (side, crop)]
    return f"| {name} | {chosen.sum()} | {' | '.join(cells)} | {100 * np.nanmean(inside):.2f} |"


def reach_table(xy: Floats, known: NDArray[np.bool_], size: Floats, theirs: Floats, skeleton: Skeleton) -> list[str]:
    """Median and quartiles of how far the box reaches beyond its outermost joint, by joint and side."""
    lines = ["| joint | top | bottom | sides |", "|---|--:|--:|--:|"]
    kinds = np.array([sideless(k) for k in skeleton.keypoints])
    corners, found = corners_of(theirs), []
    for axis, sign, edge in ((1, -1, 1), (1, 1, 3), (0, -1, 0), (0, 1, 2)):
        along = np.where(known, sign * xy[..., axis], -np.inf)
        reach = (sign * corners[:, edge] - along.max(1)) / size
        found.append((kinds[along.argmax(1)], reach))
    top, bottom, left, right = found
    aside = (np.concatenate([left[0], right[0]]), np.concatenate([left[1], right[1]]))
    for kind in dict.fromkeys(kinds.tolist()):
        cells = []
        for who, reach in (top, bottom, aside):
            mine = reach[who == kind]
            cells.append(
                "{1:.3f} ({0:.3f}–{2:.3f})".format(*np.quantile(mine, [0.25, 0.5, 0.75])) if len(mine) > 30 else "–"
            )
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of coco/")
    parser.add_argument("--model", default="unified", help="whose neck and head_top are taken")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    predictor = load_predictor(given.model, threads=given.threads)
    skeleton, coco = predictor.skeleton, given.data / "coco"
    views = read_views("coco", coco / "train.json", coco / "train", skeleton, lambda name: not is_held_out(name))
    predicted = predict_views(predictor, sorted(views, key=lambda v: str(v.person.image)), logits=True)
    heads = heads_of(
        predicted, predictor.metadata.grid, skeleton, load_prior(), ConditioningParameters(), faces_only=False
    )
    xy, labelled = predicted.truth.copy(), predicted.labelled.copy()
    head = [skeleton.index(name) for name in HEAD]
    for n, view in enumerate(predicted.views):
        found = heads[str(view.person.image), view.person.person_id]
        xy[n, head], labelled[n, head] = found[:, :2], found[:, 2] > 0
    known = labelled & ~np.isin(skeleton.keypoints, FACE)
    kept = known.sum(1) >= FEWEST_JOINTS
    theirs = np.array([v.person.box_xywh for v in predicted.views])
    xy, labelled, known, theirs = xy[kept], labelled[kept], known[kept], theirs[kept]
    size = person_sizes(xy, known, skeleton)
    points = np.where(known[..., None], xy, np.nan)
    low, high = np.nanmin(points, 1), np.nanmax(points, 1)
    tenth = 0.1 * (high - low).max(1, keepdims=True)
    centre, side = (low + high) / 2 + np.outer(size, [0, CENTRE_BELOW]), size[:, None] * BODY_PX / SIZE_PX
    rules = {
        "200 * scale px square": np.concatenate([centre - side / 2, side, side], 1),
        "a tenth of the longer side": np.concatenate([low - tenth, high - low + 2 * tenth], 1),
        "a margin for each joint": boxes_of_joints(xy, np.where(known, 2, 0).astype(np.int8), skeleton),
    }
    print("| box | people | IoU, median | 10 % below | side: 10, 50, 90 % | crop: 10, 50, 90 % | in the crop, % |")
    print("|---|" + "--:|" * 6)
    count = known.sum(1)
    for name, ours in rules.items():
        values = compared(ours, theirs, xy, labelled)
        for group, (least, most) in GROUPS.items():
            print(row(f"{name}, {group}", values, (count >= least) & (count <= most)))
    print("\n" + "\n".join(reach_table(xy, known, size, theirs, skeleton)))


if __name__ == "__main__":
    main()
