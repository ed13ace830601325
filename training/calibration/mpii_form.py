"""COCO people in the form of an MPII file: no face, MPII's 16 joints, a box grown from them. For fits and measurements.

`annotate extend` proposes nose, eyes and ears for files that lack them; the known joints, the box and the crop are then
MPII's. So labelled people are written as MPII's json without their faces and read back through the format, as `extend`
reads such a file; the faces stay as the truth.

- Pelvis and thorax are midpoints, as MPII's are.
- upper_neck and head_top, which COCO lacks and 99 and 98 % of MPII's people have, are the model's own proposals given
  all labels, face included, where `HEAD_MASS` of the posterior lies within the OKS-.5 radius (94 and 89 % of COCO's
  people); else they are unlabelled, as where MPII's annotators gave none.
- `scale` is made from the head as MPII's is, or from the other joints where it is unlabelled; `center` is where MPII's
  is beside the joints.

Shapes: N views, K keypoints of the model.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.boxes import person_sizes
from poseunion.annotate.formats.mpii.mpii_json import CENTRE_DOWN_PX, SHIFT, SIZE_PX
from poseunion.annotate.formats.mpii.mpii_json_write import UNLABELLED
from poseunion.models.calibration.conditioning_parameters import ConditioningParameters
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.conditioning.fusion import fuse
from poseunion.models.conditioning.hiding import FACE, HEAD
from poseunion.models.conditioning.prior import Prior, load_prior
from poseunion.models.inference.predictor import Predictor
from poseunion.models.progress import track
from poseunion.models.skeleton import Skeleton, derive_midpoints, load_skeleton, project_indices
from poseunion.training.calibration.masking import BLOCK
from poseunion.training.calibration.samples import MPII, View, ViewPredictions, joined, predict_views
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.read_people import read_people

# Of LSPET's held-out people, whose faces are not known, 99 % of the necks and 94 % of the head_tops pass, and 97 and
# 92 % of these are right.
HEAD_MASS = 0.9
# How far below the middle of the joints' box MPII's centre (moved down as its protocol does) lies, in sizes: the median
# of the 2,958 people of its validation set.
CENTRE_BELOW = 0.035
# Fewer labelled joints give no box.
FEWEST_JOINTS = 2

Key = tuple[str, int]


def predict_in_forms(predictor: Predictor, views: Sequence[View], tempering: ConditioningParameters) -> ViewPredictions:
    """Run a SimCC model on every view, and on those with a face once more in MPII's form: crops and labels differ."""
    skeleton = predictor.skeleton
    predicted = predict_views(predictor, views, logits=True)
    if not has_mpii_form(skeleton):
        return predicted
    heads = heads_of(predicted, predictor.metadata.grid, skeleton, load_prior(), tempering)
    also = in_mpii_form(predicted.views, heads, skeleton)
    return joined(predicted, predict_views(predictor, also, logits=True)) if also else predicted


def has_mpii_form(skeleton: Skeleton) -> bool:
    """Whether a model's keypoints hold MPII's 16 and a face, so that the face can be predicted given the others."""
    return {*load_skeleton("mpii16").keypoints, *FACE} <= set(skeleton.keypoints)


def heads_of(
    predicted: ViewPredictions,
    grid: SimccGrid,
    skeleton: Skeleton,
    prior: Prior,
    tempering: ConditioningParameters,
    *,
    faces_only: bool = True,
) -> dict[Key, NDArray[np.float64]]:
    """(2, 3) x, y in image px and whether it is known, of upper_neck and head_top of every whole view with a face.

    Args:
        predicted: of the views, with logits.
        faces_only: off: of every whole view.
    """
    if predicted.logits is None:
        raise ValueError("predictions without logits cannot be conditioned")
    face, head = _positions(skeleton, FACE), _positions(skeleton, HEAD)
    wanted = [v.window_xyxy is None and bool(v.labelled[face].any() or not faces_only) for v in predicted.views]
    rows = np.flatnonzero(wanted)
    found: dict[Key, NDArray[np.float64]] = {}
    for i in track([rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)], "heads"):
        heads_NK = np.zeros((len(i), len(skeleton)), bool)
        heads_NK[:, head] = True
        given = fuse(
            predicted.logits[0][i].astype(np.float32),
            predicted.logits[1][i].astype(np.float32),
            grid,
            [predicted.crops[n] for n in i],
            predicted.truth[i],
            predicted.labelled[i],
            prior,
            skeleton=skeleton,
            tempering=tempering,
            image_wh_N2=predicted.wh[i],
            wanted_NK=heads_NK,
        )
        sure = given.features["near"][:, head, None] >= HEAD_MASS
        heads = np.concatenate([given.xy_NK2[:, head], sure], -1)
        found |= {_key(predicted.views[n]): one for n, one in zip(i, heads, strict=True)}
    return found


def in_mpii_form(
    views: Sequence[View], heads: Mapping[Key, NDArray[np.float64]], skeleton: Skeleton
) -> tuple[View, ...]:
    """Views of people with a face, whole or cut, as an MPII file has them; without those left without a joint.

    Args:
        heads: of `heads_of`; it lacks people without a face.
    """
    written, records = mpii_records(views, heads, skeleton)
    if not records:
        return ()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "mpii.json"
        file.write_text(json.dumps(records), encoding="utf-8")
        people = read_people(DatasetEntry(name="mpii", annotations=file, images=Path()), skeleton)
    result = []
    for read in people:
        view = written[read.person_id]
        given = np.concatenate([read.xy, read.visibility[:, None]], -1)
        person = dataclasses.replace(view.person, box_xywh=read.box_xywh)
        result.append(dataclasses.replace(view, person=person, form=MPII, given=given))
    return tuple(result)


def mpii_records(
    views: Sequence[View], heads: Mapping[Key, NDArray[np.float64]], skeleton: Skeleton
) -> tuple[list[View], list[dict[str, Any]]]:
    """The views that have an MPII form, and their records in MPII's json."""
    chosen = [view for view in views if _key(view) in heads]
    records = [_record(view, heads[_key(view)], skeleton) for view in chosen]
    kept = [(view, record) for view, record in zip(chosen, records, strict=True) if record is not None]
    return [view for view, _ in kept], [record for _, record in kept]


def _record(view: View, head_23: NDArray[np.float64], skeleton: Skeleton) -> dict[str, Any] | None:
    """A view as a person of MPII's json; None where fewer than two of MPII's joints are labelled in the window."""
    mpii = load_skeleton("mpii16")
    xy, visibility = view.person.xy.copy(), np.where(view.labelled, view.person.visibility, 0)
    head = _positions(skeleton, HEAD)
    xy[head], visibility[head] = head_23[:, :2], 2 * head_23[:, 2]
    index = project_indices(skeleton, mpii)
    joints, seen = xy[index], visibility[index].astype(np.int8)
    shown = np.where(view.in_window(joints), seen, 0)
    if (shown > 0).sum() < FEWEST_JOINTS:
        return None
    size = _size(joints, seen, mpii)
    low, high = joints[shown > 0].min(0), joints[shown > 0].max(0)
    scale = size / SIZE_PX
    centre = (low + high) / 2 + [SHIFT, SHIFT + CENTRE_BELOW * size - CENTRE_DOWN_PX * scale]
    return {
        "image": view.person.image.name,
        "center": centre.tolist(),
        "scale": scale,
        "joints": [
            [x + SHIFT, y + SHIFT] if v > 0 else list(UNLABELLED)
            for (x, y), v in zip(joints.tolist(), shown.tolist(), strict=True)
        ],
        "joints_vis": [int(v == 2) for v in shown],
    }


def _size(joints_K2: NDArray[np.float64], visibility_K: NDArray[np.int8], mpii: Skeleton) -> float:
    """7.5 head lengths, px, as MPII's scale is made."""
    neck, top = _positions(mpii, HEAD)
    if visibility_K[neck] > 0 and visibility_K[top] > 0:
        return float(7.5 * np.linalg.norm(joints_K2[top] - joints_K2[neck]))
    xy, visibility, _ = derive_midpoints(joints_K2[None], visibility_K[None], mpii)
    return float(person_sizes(xy, visibility > 0, mpii)[0])


def _positions(skeleton: Skeleton, names: Sequence[str]) -> list[int]:
    return [skeleton.index(name) for name in names]


def _key(view: View) -> Key:
    return str(view.person.image), view.person.person_id
