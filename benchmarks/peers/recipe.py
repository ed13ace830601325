"""What both sides of the comparison with mmpose start from: weights, pictures, points and people, from seeds.

Numpy only, and only `RandomState`, whose streams never change: mmpose's virtual environment and the tests make the same
numbers, so that only mmpose's answers need to be stored.

Shapes: N people, K keypoints, W and H bins.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

SIZES = ("t", "s", "m")
KEYPOINTS = (17, 21)
# Every eighth bin is stored, and the sums over all of them.
STRIDE = 8

# (input size, SimCC label sigma) of mmpose's configurations for COCO and for MPII.
GRIDS = {"coco": ((192, 256), (4.9, 5.66)), "mpii": ((256, 256), (5.66, 5.66))}

# Our skeleton -> keypoints of the checkpoints that mmpose publishes with it, and the configuration they come from.
PUBLIC = {
    "halpe26": (26, "body_2d_keypoint/rtmpose/body8/rtmpose-m_8xb512-700e_body8-halpe26-256x192.py"),
    "wholebody133": (
        133,
        "wholebody_2d_keypoint/rtmpose/coco-wholebody/rtmpose-m_8xb64-270e_coco-wholebody-256x192.py",
    ),
}

# Partners of `codec_logits`' five keypoints.
FLIP = [0, 2, 1, 4, 3]

# x, y, w, h; input size; rotation as mmpose counts it.
CROPS = (
    ((10.0, 20.0, 60.0, 80.0), (48, 64), 0.0),
    ((30.5, 12.25, 41.3, 22.7), (48, 64), 0.0),  # wider than the input's aspect
    ((-8.0, 5.0, 50.0, 120.0), (48, 64), 25.0),
    ((12.0, 3.0, 33.0, 71.0), (64, 64), -80.0),
    ((25.0, 30.0, 70.0, 30.0), (64, 64), 137.5),
)


def weights(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A parameter or buffer from its name: well scaled, so that the outputs are about 1 as a trained network's are."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if last == "running_var":
        value = random.uniform(0.5, 1.5, shape)
    elif name.startswith(("head.cls_", "head.gau.uv")):
        value = random.standard_normal(shape) / 32  # the attention squares: larger weights make logits of thousands
    elif len(shape) > 1 and last == "weight":
        value = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    elif last in ("bias", "running_mean", "beta"):
        value = 0.1 * random.standard_normal(shape)
    else:  # factors: batch norm's weight, g, scale, gamma
        value = 1 + 0.1 * random.standard_normal(shape)
    return np.asarray(value, np.float32)


def network_input(size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """(1, 3, H, W), as if normalised."""
    return np.random.RandomState(1).standard_normal((1, 3, size_wh[1], size_wh[0])).astype(np.float32)


def thinned(logit_NKW: NDArray[np.floating]) -> NDArray[np.float32]:
    """(K, W / 8 + 2): every eighth bin of the first person, then the sums of all bins and of their magnitudes."""
    logit = np.asarray(logit_NKW, np.float64)[0]
    sums = np.stack([logit.sum(-1), np.abs(logit).sum(-1)], -1)
    return np.concatenate([logit[:, ::STRIDE], sums], -1).astype(np.float32)


def codec_points(size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """(2, 6, 2) points in, on the edge of, and out of the crop."""
    points = np.random.RandomState(2).uniform(-0.1, 1.1, (2, 6, 2)) * size_wh
    points[0, :3] = [(0, 0), (size_wh[0] - 1, size_wh[1] - 1), (size_wh[0] + 40, 20)]
    points[1, :4] = [(-7.5, 30), (-8.5, 30), (30, -8.5), (30, -9)]  # where three sigma end
    return points.astype(np.float32)


def codec_logits(size_wh: tuple[int, int], split: float = 2.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(3, 5, W) and (3, 5, H) logits; those of the last keypoint of everyone are all negative along x."""
    random = np.random.RandomState(3)
    x, y = (random.standard_normal((3, 5, round(side * split))).astype(np.float32) for side in size_wh)
    x[:, -1] = -np.abs(x[:, -1]) - 0.01
    return x, y


def picture() -> NDArray[np.uint8]:
    """(90, 120, 3) with structure at several scales."""
    y, x = np.mgrid[0:90, 0:120].astype(np.float64)
    waves = [np.sin(x / (3 + 2 * c)) * np.cos(y / (4 + c)) + np.sin((x + y) / 17 + c) for c in range(3)]
    return np.asarray(np.clip(127 + 60 * np.stack(waves, -1), 0, 255), np.uint8)


def people(n: int, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Labels (N, K, 2), predictions around them (N, K, 2) and visibility 0, 1, 2 (N, K); everyone has one label."""
    random = np.random.RandomState(n * 100 + k)
    truth = random.uniform(20, 400, (n, 1, 2)) + 40 * random.standard_normal((n, k, 2))
    spread = random.choice([1.0, 4.0, 15.0, 60.0], (n, k, 1))
    predicted = truth + spread * random.standard_normal((n, k, 2))
    visibility = random.choice([0, 1, 2], (n, k), p=[0.2, 0.2, 0.6])
    visibility[:, 0] = 2
    return truth, predicted, visibility


def head_boxes(n: int) -> NDArray[np.float64]:
    """(N, 4) x1, y1, x2, y2."""
    random = np.random.RandomState(5)
    corner = random.uniform(10, 300, (n, 2))
    return np.concatenate([corner, corner + random.uniform(15, 60, (n, 2))], -1)


def mpii_records(n: int) -> list[dict[str, object]]:
    """MPII's json: 1-based centre and joints, unlabelled joints at (-1,-1)."""
    truth, _, visibility = people(n, 16)
    random = np.random.RandomState(6)
    records: list[dict[str, object]] = []
    for i in range(n):
        shown = visibility[i] > 0
        joints = np.where(shown[:, None], np.round(truth[i], 1), -1.0)
        center = np.round(truth[i, shown].mean(0), 1)
        records.append(
            {
                "image": f"{i:09d}.jpg",
                "center": center.tolist(),
                "scale": round(float(random.uniform(0.5, 4)), 3),
                "joints": joints.tolist(),
                "joints_vis": shown.astype(int).tolist(),
            }
        )
    return records
