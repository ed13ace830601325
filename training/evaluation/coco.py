"""COCO's protocol: AP and AR over OKS .50:.05:.95, for any skeleton that has sigmas, and the mean OKS.

A person's score is the box's score times the person score (`models.poses.person_score`): the mean of its keypoint
scores, as mmpose scores a person (without its cut at keypoint scores of .2 and without OKS suppression: a detector's
boxes count as they are), over the keypoints in the picture where the model predicts which these are.

Shapes: N labelled people, D predicted people, K keypoints of the data set.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.types import CROWD, NO_HUMAN_KEYPOINT
from poseunion.models.errors import BadArgumentError, MissingExtraError
from poseunion.models.metrics import oks
from poseunion.models.poses.person_score import person_score
from poseunion.training.evaluation.predictions import Detected, Predictions, as_detected, person_areas

# In the order of pycocotools' ten numbers for keypoints.
STATS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
ENGINES = ("pycocotools", "hotcoco", "faster-coco-eval")


def coco_scores(
    annotations: AnnotationSet,
    predictions: Predictions,
    detected: Detected | None = None,
    *,
    keypoints: Sequence[str] | None = None,
    sigma_K: NDArray[np.float64] | None = None,
    engine: str = "pycocotools",
) -> dict[str, float]:
    """`STATS` in percent, and `mean_OKS` of the labelled people; a measure without people of its size is left out.

    A keypoint that the model lacks is missed, as in the rows "all keypoints" of paper A's Table 1.

    Args:
        predictions: of the labelled people.
        detected: what AP is measured on, where the boxes were a detector's; None: the same predictions.
        keypoints: count these only; None: all of the data set.
        sigma_K: (K,) OKS sigmas; None: the skeleton's.
        engine: one of `ENGINES`; pycocotools is the reference, the others are faster and give the same numbers.

    Raises:
        BadArgumentError: no such engine. MissingExtraError: it is not installed.
    """
    names = annotations.skeleton.keypoints
    chosen = np.arange(len(names)) if keypoints is None else np.array([names.index(k) for k in keypoints])
    sigma = (annotations.skeleton.sigma_array if sigma_K is None else sigma_K)[chosen]
    people = as_detected(annotations, predictions) if detected is None else detected
    image_ids = _image_ids(annotations)
    results = _results(people, chosen, image_ids)
    searched = sorted({image_ids[i] for i in people.searched})
    stats = _run(engine, _truth(annotations, chosen, image_ids), results, sigma, searched)
    scores = {name: 100 * value for name, value in zip(STATS, stats, strict=True) if value >= 0}
    rows = predictions.rows
    similarity = oks(
        predictions.xy[:, chosen],
        annotations.xy[rows][:, chosen],
        annotations.visibility[rows][:, chosen],
        person_areas(annotations, rows),
        sigma,
    )
    known = similarity[np.isfinite(similarity)]
    return {**scores, "mean_OKS": 100 * float(known.mean())} if len(known) else scores


def _image_ids(annotations: AnnotationSet) -> list[int]:
    """A number for each picture: its own where all have one, since ties are broken in the order of these numbers."""
    ids = [ref.id for ref in annotations.images]
    return ids if all(type(i) is int for i in ids) and len(set(ids)) == len(ids) else list(range(1, len(ids) + 1))


def _truth(annotations: AnnotationSet, chosen: NDArray[np.intp], image_ids: list[int]) -> dict[str, Any]:
    """The labels as a COCO document, whatever format they were read from; crowds and the unlabelled are to be ignored.

    Ids count from 1: pycocotools marks "unmatched" by id 0, and would lose the first person of a file that starts so.
    """
    people: list[dict[str, Any]] = []
    areas = person_areas(annotations, np.arange(len(annotations)))
    for record in annotations.persons():
        if record.image is None or record.skip not in (None, CROWD, NO_HUMAN_KEYPOINT):
            continue
        visibility = np.maximum(record.visibility[chosen], 0)
        people.append(
            {
                "id": len(people) + 1,
                "image_id": image_ids[int(annotations.image_index[record.index])],
                "category_id": 1,
                "keypoints": np.column_stack([record.xy[chosen], visibility]).ravel().tolist(),
                "num_keypoints": int((visibility > 0).sum()),
                "bbox": np.nan_to_num(record.box_xywh).tolist(),
                "area": float(areas[record.index]),
                "iscrowd": int(record.skip == CROWD),
            }
        )
    return {
        "images": [{"id": i} for i in image_ids],
        "annotations": people,
        "categories": [{"id": 1, "name": "person"}],
    }


def _results(people: Detected, chosen: NDArray[np.intp], image_ids: list[int]) -> list[dict[str, Any]]:
    known = chosen[people.known[chosen]]
    in_picture = None if people.in_picture is None else people.in_picture[:, known]
    score_D = people.box_score * (person_score(people.score[:, known], in_picture) if len(known) else 1.0)
    xy_DK2 = people.xy[:, chosen]
    ones = np.ones((len(chosen), 1))
    return [
        {"image_id": image_ids[image], "category_id": 1, "score": score}
        | {"keypoints": np.concatenate([xy, ones], 1).ravel().tolist()}
        for image, xy, score in zip(people.image, xy_DK2, score_D.tolist(), strict=True)
    ]


def _run(
    engine: str, truth: dict[str, Any], results: list[dict[str, Any]], sigma_K: NDArray[np.float64], searched: list[int]
) -> list[float]:
    """The ten `STATS` as shares, -1 where nothing counts."""
    load, evaluation_of = find_engine(engine)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        # hotcoco warns that other sigmas than COCO's make another AP: the tables state theirs.
        warnings.filterwarnings("ignore", message="hotcoco: kpt_oks_sigmas")
        labels = load(truth)
        evaluation = evaluation_of(labels, labels.loadRes(results))
        evaluation.params.kpt_oks_sigmas = sigma_K if engine != "hotcoco" else sigma_K.tolist()
        evaluation.params.imgIds = searched
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = [float(v) for v in list(evaluation.stats)[: len(STATS)]]
    return [-1.0 if math.isnan(v) else v for v in stats]


def find_engine(name: str) -> tuple[Callable[[dict[str, Any]], Any], Callable[[Any, Any], Any]]:
    """How an engine loads a document, and how it starts an evaluation of keypoints.

    Raises:
        BadArgumentError: no such engine. MissingExtraError: it is not installed.
    """
    if name not in ENGINES:
        raise BadArgumentError(f"No AP engine {name!r}: choose one of {', '.join(ENGINES)}.")
    try:
        if name == "hotcoco":
            import hotcoco

            return hotcoco.COCO, lambda truth, found: hotcoco.COCOeval(truth, found, "keypoints")
        if name == "faster-coco-eval":
            import faster_coco_eval

            return faster_coco_eval.COCO, lambda truth, found: faster_coco_eval.COCOeval_faster(
                truth, found, "keypoints"
            )
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ModuleNotFoundError as error:
        raise MissingExtraError(name, "evaluate" if name == ENGINES[0] else "fast-ap") from error

    def load(document: dict[str, Any]) -> Any:
        truth = COCO()
        truth.dataset = document
        truth.createIndex()
        return truth

    return load, lambda truth, found: COCOeval(truth, found, "keypoints")
