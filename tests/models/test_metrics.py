"""OKS equals pycocotools; PCK and its normalisers equal hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.models.errors import SkeletonError
from poseunion.models.metrics import area_from_box, head_sizes, oks, pck_hits, pck_rates, torso_diagonals, torso_lengths
from poseunion.models.skeleton import Skeleton, load_skeleton


def random_people(
    n: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int8], NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    gt = random.uniform(0, 300, (n, 17, 2))
    pred = gt + random.normal(0, 1, gt.shape) * random.uniform(0, 40, (n, 1, 1))
    visibility = random.integers(0, 3, (n, 17)).astype(np.int8)
    return pred, gt, visibility, random.uniform(50, 60_000, n)


def test_oks_equals_pycocotools() -> None:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    pred, gt, visibility, area = random_people(60, 1)
    visibility[:, 0] = 2  # without any label pycocotools measures something else, the distance to the box
    truth, results = coco.COCO(), coco.COCO()
    shared = {"category_id": 1, "iscrowd": 0, "bbox": [0.0, 0.0, 300.0, 300.0]}
    images = [{"id": i, "width": 300, "height": 300} for i in range(len(gt))]
    for dataset, points, third in ((truth, gt, visibility), (results, pred, np.ones_like(visibility))):
        dataset.dataset = {
            "images": images,
            "categories": [{"id": 1, "name": "person"}],
            "annotations": [
                {
                    **shared,
                    "id": i + 1,
                    "image_id": i,
                    "area": float(area[i]),
                    "score": 1.0,
                    "num_keypoints": int((visibility[i] > 0).sum()),
                    "keypoints": np.column_stack([points[i], third[i]]).ravel().tolist(),
                }
                for i in range(len(gt))
            ],
        }
        dataset.createIndex()
    evaluation = cocoeval.COCOeval(truth, results, "keypoints")
    evaluation._prepare()
    expected = [float(evaluation.computeOks(i, 1)[0, 0]) for i in range(len(gt))]
    ours = oks(pred, gt, visibility, area, load_skeleton("coco17").sigma_array)
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    assert 0.1 < ours.mean() < 0.9  # the cases are neither all perfect nor all lost


def test_oks_bounds_and_unlabelled_people() -> None:
    sigmas = load_skeleton("coco17").sigma_array
    pred, gt, visibility, area = random_people(20, 2)
    visibility[:, 3], visibility[0] = 1, 0
    visibility[1] = -1
    values = oks(pred, gt, visibility, area, sigmas)
    assert np.isnan(values[:2]).all()
    assert ((values[2:] >= 0) & (values[2:] <= 1)).all()
    np.testing.assert_allclose(oks(gt, gt, visibility, area, sigmas)[2:], 1)
    np.testing.assert_allclose(oks(gt, gt, visibility, np.zeros(20), sigmas)[2:], 1)
    gt[visibility <= 0] = np.nan  # what an unlabelled keypoint holds does not matter
    np.testing.assert_array_equal(oks(pred, gt, visibility, area, sigmas), values)


def test_oks_of_a_prediction_that_is_not_finite_is_zero_there() -> None:
    pred, gt = np.zeros((1, 2, 2)), np.zeros((1, 2, 2))
    pred[0, 0, 1] = np.nan
    assert oks(pred, gt, np.full((1, 2), 2), np.ones(1), np.full(2, 0.1)).tolist() == [0.5]


def test_one_sigma_by_hand() -> None:
    # d = kappa * sqrt(area), kappa = 2 sigma, gives exp(-1/2)
    value = oks(np.array([[[20.0, 0.0]]]), np.zeros((1, 1, 2)), np.array([[2]]), np.array([10_000.0]), np.array([0.1]))
    np.testing.assert_allclose(value, np.exp(-0.5))


def test_pck_by_hand() -> None:
    gt = np.zeros((3, 4, 2))
    pred = gt.copy()
    pred[0, :, 0] = (0, 20, 20.001, np.nan)
    visibility = np.array([[2, 2, 2, 2], [0, -1, 1, 2], [2, 2, 2, 2]])
    hits, counted = pck_hits(pred, gt, visibility, np.array([100.0, 50.0, np.nan]), 0.2)
    assert hits.tolist() == [[True, True, False, False], [False, False, True, True], [False] * 4]
    assert counted.tolist() == [[True] * 4, [False, False, True, True], [False] * 4]
    rates, mean = pck_rates(hits, counted)
    np.testing.assert_allclose(rates, [1, 1, 0.5, 0.5])
    assert mean == pytest.approx(4 / 6)


def test_rates_of_nobody_are_nan() -> None:
    rates, mean = pck_rates(np.zeros((0, 3), bool), np.zeros((0, 3), bool))
    assert np.isnan(rates).all()
    assert np.isnan(mean)


@pytest.mark.parametrize("name", ["coco17", "mpii16", "union21", "lsp14"])
def test_torso_lengths(name: str) -> None:
    skeleton = load_skeleton(name)
    xy = np.full((3, len(skeleton), 2), 7.0)
    for keypoint, point in {
        "left_shoulder": (10, 0),
        "right_shoulder": (0, 0),
        "left_hip": (38, 41),
        "right_hip": (32, 39),
    }.items():
        xy[:, skeleton.index(keypoint)] = point
    visibility = np.full((3, len(skeleton)), 2)
    visibility[1, skeleton.index("left_hip")] = 0
    visibility[2, skeleton.index("left_hip")] = 1
    np.testing.assert_allclose(torso_lengths(xy, visibility, skeleton), [50, np.nan, 50])
    diagonal = np.hypot(32 - 10, 39)
    np.testing.assert_allclose(torso_diagonals(xy, visibility, skeleton), [diagonal] * 3)
    visibility[0, skeleton.index("right_hip")] = 0
    assert np.isnan(torso_diagonals(xy, visibility, skeleton)[0])


def test_a_skeleton_without_hips_has_no_torso() -> None:
    bust = Skeleton("bust", ("nose", "left_shoulder", "right_shoulder"), (), (0.1, 0.1, 0.1))
    with pytest.raises(SkeletonError, match="no left_hip, right_hip"):
        torso_lengths(np.zeros((1, 3, 2)), np.full((1, 3), 2), bust)


def test_head_sizes_and_areas() -> None:
    np.testing.assert_allclose(head_sizes(np.array([[10, 20, 13, 24]])), [3.0])
    np.testing.assert_allclose(area_from_box(np.array([[5, 5, 10, 20]])), [106.0])
