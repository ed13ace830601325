"""Dataset metainfo of mmpose, as a Python file that its `metainfo=dict(from_file=…)` reads."""

from __future__ import annotations

import pprint
from typing import Any

from poseunion.models.skeleton import Skeleton, mirrored

# Left, middle, right: blue, grey, green, as in our own overlays' reports.
_COLOURS = {"left": [0, 114, 178], "right": [0, 158, 115], "": [119, 119, 119]}


def metainfo(skeleton: Skeleton, name: str) -> dict[str, Any]:
    """`dataset_info` as mmpose's `parse_pose_metainfo` expects it: joint weights 1, sigmas the skeleton's."""
    return {
        "dataset_name": name,
        "paper_info": {"author": "", "title": name, "container": "", "year": "", "homepage": ""},
        "keypoint_info": {
            k: {
                "name": keypoint,
                "id": k,
                "color": _COLOURS[_side(keypoint)],
                "type": "lower" if any(part in keypoint for part in ("hip", "knee", "ankle", "pelvis")) else "upper",
                "swap": "" if mirrored(keypoint) == keypoint else mirrored(keypoint),
            }
            for k, keypoint in enumerate(skeleton.keypoints)
        },
        "skeleton_info": {
            k: {"link": link, "id": k, "color": _COLOURS[_side(link[1])]} for k, link in enumerate(skeleton.links)
        },
        "joint_weights": [1.0] * len(skeleton),
        "sigmas": list(skeleton.sigmas),
    }


def metainfo_file(skeleton: Skeleton, name: str) -> str:
    """The file `metainfo=dict(from_file=…)` names."""
    heading = f"# mmpose metainfo of {len(skeleton)} keypoints. Sigmas: {skeleton.sigma_origin}\n"
    return heading + "dataset_info = " + pprint.pformat(metainfo(skeleton, name), width=118, sort_dicts=False) + "\n"


def _side(keypoint: str) -> str:
    return "" if mirrored(keypoint) == keypoint else keypoint.partition("_")[0]
