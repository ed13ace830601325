"""The one table that maps what formats write about a keypoint to the four states, and back.

| state            | COCO v | MPII json `joints_vis`, coordinates | meaning                                    |
|------------------|--------|-------------------------------------|--------------------------------------------|
| VISIBLE (2)      | 2      | 1, real                             | labelled and visible                       |
| OCCLUDED (1)     | 1      | 0, real                             | labelled but hidden (the .mat's is_visible)|
| ABSENT (0)       | 0      | any, (-1,-1) or (0,0)               | an annotator looked and gave none          |
| UNDEFINED (-1)   | (0)    | not in the list                     | the dataset does not define this keypoint  |

COCO has no -1: a file's skeleton says what it defines, and every keypoint outside it is UNDEFINED. Written to COCO,
UNDEFINED becomes 0 with source `none`, so that reading the file back with its `keypoint_source` loses nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poseunion.models.skeleton import Visibility

COCO_TO_STATE = {0: Visibility.ABSENT, 1: Visibility.OCCLUDED, 2: Visibility.VISIBLE}
STATE_TO_COCO = {
    Visibility.UNDEFINED: 0,
    Visibility.ABSENT: 0,
    Visibility.OCCLUDED: 1,
    Visibility.VISIBLE: 2,
}

# MPII's two ways of writing "no label"; neither is a position, so neither is ever shifted.
MPII_UNLABELLED = ((-1.0, -1.0), (0.0, 0.0))


def mpii_states(joints_K2: NDArray[np.floating], joints_vis_K: NDArray[np.floating]) -> NDArray[np.int8]:
    """(K,) states of an MPII json person, from its 1-based joints and its `joints_vis`."""
    labelled = np.ones(len(joints_K2), bool)
    for sentinel in MPII_UNLABELLED:
        labelled &= (joints_K2 != sentinel).any(-1)
    states = np.where(joints_vis_K > 0, Visibility.VISIBLE, Visibility.OCCLUDED)
    return np.where(labelled, states, Visibility.ABSENT).astype(np.int8)
