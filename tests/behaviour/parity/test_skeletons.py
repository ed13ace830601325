"""The skeleton files hold mmpose's keypoints in mmpose's order, with the same partners, and COCO's sigmas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from poseunion.models.skeleton import load_skeleton, match_names

SKELETONS = (
    *("coco17", "mpii16", "halpe26", "crowdpose14", "aic14", "posetrack17"),
    *("jhmdb15", "ochuman17", "mhp16"),
)


@pytest.mark.parametrize("name", SKELETONS)
def test_order_and_partners(name: str, mmpose: dict[str, Any]) -> None:
    skeleton, theirs = load_skeleton(name), mmpose["skeletons"][name]
    np.testing.assert_array_equal(match_names(theirs["names"], skeleton), range(len(skeleton)))
    partner = [theirs["names"].index(other or own) for own, other in zip(theirs["names"], theirs["swap"], strict=True)]
    np.testing.assert_array_equal(skeleton.flip_indices, partner)


@pytest.mark.parametrize("name", ["coco17", "crowdpose14", "ochuman17"])
def test_sigmas_of_the_sets_that_define_them(name: str, mmpose: dict[str, Any]) -> None:
    np.testing.assert_allclose(load_skeleton(name).sigmas, mmpose["skeletons"][name]["sigmas"])
