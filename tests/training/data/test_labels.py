from __future__ import annotations

import numpy as np

from poseunion.models.keypoint_offsets import LSP_OFFSETS, MODEL_OFFSETS, apply_offsets, to_model_keypoints
from poseunion.models.skeleton import load_skeleton
from poseunion.training.evaluation.predictions import in_skeleton

LSP, UNION = load_skeleton("lsp14"), load_skeleton("union21")


def test_lsp_labels_in_the_union() -> None:
    xy = np.random.default_rng(1).uniform(0, 100, (4, 14, 2))
    visibility = np.full((4, 14), 2, np.int8)
    visibility[1, LSP.index("upper_neck")] = 0
    visibility[2, LSP.index("left_hip")] = 0
    out, seen = to_model_keypoints(xy, visibility, LSP, UNION, LSP_OFFSETS)

    neck, head = (xy[:, LSP.index(k)] for k in ("upper_neck", "head_top"))
    np.testing.assert_allclose(out[0, UNION.index("head_top")], neck[0] + 1.2 * (head[0] - neck[0]))
    assert seen[1, UNION.index("head_top")] == -1, "without the anchor the union's head_top is unknown, not absent"
    hips = [xy[0, LSP.index(k)] for k in ("left_hip", "right_hip")]
    np.testing.assert_allclose(out[0, UNION.index("pelvis")], np.mean(hips, 0))
    assert seen[2, UNION.index("pelvis")] == -1, "one parent is not enough"
    assert (seen[:, UNION.index("nose")] == -1).all()


def test_offsets_are_undone_exactly() -> None:
    xy = np.random.default_rng(2).uniform(0, 100, (5, 14, 2))
    visibility = np.full((5, 14), 2, np.int8)
    there, seen = apply_offsets(xy, visibility, LSP, LSP_OFFSETS)
    back, _ = apply_offsets(there, seen, LSP, LSP_OFFSETS, inverse=True)
    np.testing.assert_allclose(back, xy, atol=1e-9)


def test_a_network_of_another_definition_is_measured_in_the_data_set_s_own() -> None:
    mpii = load_skeleton("mpii16")
    xy = np.zeros((1, 16, 2))
    xy[0, mpii.index("upper_neck")], xy[0, mpii.index("head_top")] = (10, 60), (10, 0)
    (offset,) = MODEL_OFFSETS["efficientpose-rt"]
    for model, target, height in (
        ("efficientpose-rt", mpii, 60 * offset.factor),
        ("some-network", mpii, 60),
        ("some-network", LSP, 60 / LSP_OFFSETS[0].factor),
        ("efficientpose-rt", LSP, 60 * offset.factor / LSP_OFFSETS[0].factor),
    ):
        found, _, known = in_skeleton(xy, np.ones((1, 16)), mpii, target, model)
        head = target.index("head_top")
        assert known[head]
        np.testing.assert_allclose(found[0, head], (10, 60 - height))
