from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poseunion.models.errors import BadArgumentError, SkeletonError
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.skeleton import load_skeleton

UNION = load_skeleton("union21")


def people(n: int) -> PoseBatch:
    rng = np.random.default_rng(n)
    xy = rng.uniform(0, 100, (n, 21, 2)).astype(np.float32)
    return PoseBatch(UNION, xy, rng.random((n, 21), np.float32), rng.uniform(1, 50, (n, 4)).astype(np.float32))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_supervision_and_back(n: int) -> None:
    pytest.importorskip("supervision")
    batch = people(n)
    back = PoseBatch.from_supervision(batch.to_supervision(), UNION)
    for name in ("xy", "score", "box_xywh"):
        np.testing.assert_array_equal(getattr(back, name), getattr(batch, name))


def test_supervision_draws_our_uncertainty() -> None:
    sv = pytest.importorskip("supervision", "0.31")
    batch = replace(people(2), sd_px=np.full((2, 21), 3, np.float32))
    converted = batch.to_supervision(minimum_confidence=0.5)
    np.testing.assert_array_equal(converted.visible, batch.score >= 0.5)
    np.testing.assert_allclose(converted.detection_confidence, batch.score.mean(1))
    np.testing.assert_array_equal(converted.data["covariance"][1, 4], [[9, 0], [0, 9]])
    blank = np.zeros((120, 120, 3), np.uint8)
    assert sv.VertexEllipseAreaAnnotator().annotate(blank.copy(), converted).any()


def test_transformers_results_are_those_that_supervision_reads() -> None:
    pytest.importorskip("torch")
    sv = pytest.importorskip("supervision", "0.31")
    batch = people(2)
    results = batch.to_transformers()
    read = sv.KeyPoints.from_transformers(results)
    np.testing.assert_array_equal(read.xy, batch.xy)
    np.testing.assert_array_equal(read.keypoint_confidence, batch.score)
    assert results[1]["labels"].tolist() == list(range(21))
    np.testing.assert_allclose(results[1]["bbox"][2:] - results[1]["bbox"][:2], batch.box_xywh[1, 2:], rtol=1e-5)
    confident = batch.to_transformers(minimum_confidence=0.5)[0]
    assert confident["labels"].tolist() == np.flatnonzero(batch.score[0] > 0.5).tolist()
    assert len(confident["keypoints"]) == len(confident["scores"]) == len(confident["labels"])
    assert people(0).to_transformers() == []


def test_people_are_indexed_and_iterated() -> None:
    batch = people(3)
    assert [p["nose"].x for p in batch] == pytest.approx(batch.keypoint("nose")[:, 0], abs=0.006)
    assert dict(batch[-1])["head_top"] == batch[2]["head_top"]
    np.testing.assert_array_equal(batch[batch.score[:, 0] >= 0].xy, batch.xy)
    np.testing.assert_array_equal(batch[1:].xy, batch.xy[1:])
    np.testing.assert_array_equal(batch[[2, 0]].xy, batch.xy[[2, 0]])
    with pytest.raises(IndexError, match="person 3 of 3"):
        batch[3]


@pytest.mark.parametrize(("n", "people_of"), [(0, "0 people"), (1, "1 person"), (2, "2 people")])
def test_repr_is_a_line(n: int, people_of: str) -> None:
    assert repr(people(n)).startswith(f"PoseBatch({people_of}, union21: 21 keypoints")
    assert all(repr(p).startswith("Pose(union21: 21 keypoints, mean confidence 0.") for p in people(n))


def test_coco_results_are_in_the_order_of_the_skeleton_asked_for() -> None:
    batch = people(2)
    records = batch.to_coco(7, "coco17")
    coco = load_skeleton("coco17")
    assert [r["image_id"] for r in records] == [7, 7]
    triplets = np.array([r["keypoints"] for r in records]).reshape(2, 17, 3)
    for k, name in enumerate(coco.keypoints):
        np.testing.assert_allclose(triplets[:, k, :2], batch.keypoint(name), atol=0.006)
    assert records[0]["score"] == pytest.approx(triplets[0, :, 2].mean(), abs=1e-3)
    with pytest.raises(SkeletonError, match=r"coco17 has no .*head_top"):
        PoseBatch.empty(coco).to_coco(skeleton="mpii16")


def test_dataframe_has_a_row_a_keypoint() -> None:
    pytest.importorskip("pandas")
    batch = replace(people(2), sd_px=np.ones((2, 21), np.float32), model=("a", "b"))
    table = batch.to_dataframe()
    assert list(table.columns) == ["person", "keypoint", "x", "y", "confidence", "sd_px", "model"]
    wide = table.pivot(index="person", columns="keypoint", values="x")
    np.testing.assert_array_equal(wide["left_wrist"], batch.keypoint("left_wrist")[:, 0])
    assert len(people(0).to_dataframe()) == 0


def test_plot_draws_the_confident_keypoints() -> None:
    batch = replace(people(1), image=np.zeros((100, 100, 3), np.uint8))
    assert np.asarray(batch.plot()).any()
    assert not np.asarray(batch.plot(minimum_confidence=1.1)).any()
    assert batch._repr_png_().startswith(b"\x89PNG")  # type: ignore[union-attr]
    assert people(1)._repr_png_() is None
    with pytest.raises(BadArgumentError, match="no picture"):
        people(1).plot()


def test_keypoints_of_somebody_else() -> None:
    sv = pytest.importorskip("supervision")
    bare = sv.KeyPoints(xy=people(2).xy)
    assert (PoseBatch.from_supervision(bare, UNION).score == 1).all()
    with pytest.raises(SkeletonError, match="coco17 needs"):
        PoseBatch.from_supervision(bare, load_skeleton("coco17"))


def test_shapes_are_checked_and_batches_join() -> None:
    a, b = people(2), people(3)
    assert len(PoseBatch.concatenate([a, b])) == 5
    np.testing.assert_array_equal(a.keypoint("nose"), a.xy[:, 0])
    with pytest.raises(SkeletonError, match="needs xy"):
        PoseBatch(UNION, a.xy[:, :5], a.score, a.box_xywh)
