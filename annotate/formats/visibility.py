"""The one table that maps what formats write about a keypoint to the four states, and back.

| state          | COCO and kin, YOLO, CVAT | MPII json        | MPII .mat            | AIC | PoseTrack18 |
|----------------|--------------------------|------------------|----------------------|-----|-------------|
| VISIBLE (2)    | 2                        | vis 1, real      | is_visible 1 or []   | 1   | 1 (or 2)    |
| OCCLUDED (1)   | 1                        | vis 0, real      | is_visible 0         | 2   | –           |
| ABSENT (0)     | 0                        | (-1,-1) or (0,0) | point missing        | 3   | 0           |
| UNDEFINED (-1) | –                        | –                | no annopoints at all | –   | –           |

| state          | LSP (3,14,N)           | LSP extended (14,3,N) | YOLO without v   | COCO results |
|----------------|------------------------|-----------------------|------------------|--------------|
| VISIBLE (2)    | 0                      | 1                     | any but (0,0)    | score > 0    |
| OCCLUDED (1)   | 1                      | –                     | –                | –            |
| ABSENT (0)     | below 0, (0,0) or NaN  | 0                     | (0,0) or below 0 | score <= 0   |

- COCO's kin here are Halpe, CrowdPose and JHMDB; CVAT is its Datumaro json.
- MPII's `is_visible` is [] for the two head points, which were clicked as a box: labelled without a state, so VISIBLE.
  Its test people have no annopoints: their points are not published, which is UNDEFINED and not ABSENT.
- LSP's third row is *occluded*, LSP extended's is *labelled*: the same row, the other way round.
- PoseTrack18 does not mark occluded points; 2 is read too, because proposals are written as COCO's 2.
- COCO has no -1: a file's skeleton is what it defines, and every keypoint outside it is UNDEFINED. Written to COCO,
  UNDEFINED becomes 0 with source `none`, so that reading the file back with its `keypoint_source` loses nothing.
- Where a format cannot hold a state, `from_state` gives the nearest one that keeps the point: OCCLUDED becomes VISIBLE,
  UNDEFINED becomes ABSENT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poseunion.models.skeleton import Visibility

_V, _O, _A, _U = Visibility.VISIBLE, Visibility.OCCLUDED, Visibility.ABSENT, Visibility.UNDEFINED


@dataclass(frozen=True)
class StateTable:
    """One format's column of the table above, where a state is a number.

    Attributes:
        to_state: every number that may be read.
        from_state: for each of the four states the number that is written.
    """

    to_state: dict[int, Visibility]
    from_state: dict[Visibility, int]

    @property
    def states(self) -> tuple[Visibility, ...]:
        """The states that survive writing and reading, the most visible first."""
        kept = [s for s in Visibility if self.to_state.get(self.from_state[s]) == s]
        return tuple(sorted(kept, reverse=True))

    def read(self, value: NDArray[np.floating]) -> NDArray[np.int8] | None:
        """States of the same shape, (K,) or (N, K); None where a value is not in the table."""
        state = np.full(value.shape, -9, np.int8)
        for number, meaning in self.to_state.items():
            state[value == number] = meaning
        return None if (state == -9).any() else state


COCO = StateTable({0: _A, 1: _O, 2: _V}, {_U: 0, _A: 0, _O: 1, _V: 2})
POSETRACK18 = StateTable({0: _A, 1: _V, 2: _V}, {_U: 0, _A: 0, _O: 1, _V: 1})
AIC = StateTable({3: _A, 2: _O, 1: _V}, {_U: 3, _A: 3, _O: 2, _V: 1})
LSP = StateTable({0: _V, 1: _O}, {_U: 0, _A: 0, _O: 1, _V: 0})  # ABSENT is a matter of the coordinates
LSPET = StateTable({0: _A, 1: _V}, {_U: 0, _A: 0, _O: 1, _V: 1})
MPII_MAT = StateTable({0: _O, 1: _V}, {_U: 0, _A: 0, _O: 0, _V: 1})  # ABSENT points are not in the list


def placed(states_K: NDArray[np.int8], xy_K2: NDArray[np.floating]) -> NDArray[np.int8]:
    """(K,) states in which a point at exactly (0, 0) has no label, whatever its number.

    Tools write (0, 0) for what was never placed, some with v 1 or 2; no annotator clicks the corner's outermost point.
    """
    nowhere = (xy_K2 == 0).all(-1)
    return np.where(nowhere & (states_K > 0), Visibility.ABSENT, states_K).astype(np.int8)


# MPII's two ways of writing "no label"; neither is a position, so neither is ever shifted.
MPII_UNLABELLED = ((-1.0, -1.0), (0.0, 0.0))


def mpii_states(joints_K2: NDArray[np.floating], joints_vis_K: NDArray[np.floating]) -> NDArray[np.int8]:
    """(K,) states of an MPII json person, from its 1-based joints and its `joints_vis`."""
    labelled = np.ones(len(joints_K2), bool)
    for sentinel in MPII_UNLABELLED:
        labelled &= (joints_K2 != sentinel).any(-1)
    states = np.where(joints_vis_K > 0, Visibility.VISIBLE, Visibility.OCCLUDED)
    return np.where(labelled, states, Visibility.ABSENT).astype(np.int8)


def lsp_states(joint_K3: NDArray[np.floating], *, extended: bool) -> NDArray[np.int8]:
    """(K,) states of one person of LSP's or LSP extended's `joints.mat`, from x, y and the third row."""
    x, y, flag = joint_K3.T
    nowhere = ~np.isfinite(joint_K3[:, :2]).all(-1) | (x < 0) | (y < 0) | ((x == 0) & (y == 0))
    table = LSPET if extended else LSP
    state = np.where(flag > 0, table.to_state[1], table.to_state[0])
    # LSP extended marks what is labelled, wherever it lies: people are cut by the picture's edge.
    return np.where(~np.isfinite(joint_K3[:, :2]).all(-1) if extended else nowhere, _A, state).astype(np.int8)
