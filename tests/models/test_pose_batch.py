from __future__ import annotations

import numpy as np
import pytest

from poseunion.models.errors import SkeletonError
from poseunion.models.pose_batch import PoseBatch
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
