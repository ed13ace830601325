"""Halpe's 26 keypoints as the union's 21: paper A's evaluation of all predicted keypoints (Table 5).

head -> head_top, neck -> upper_neck, hip -> pelvis, and thorax = midpoint of the shoulders where both are labelled; the
six points of the feet are left out. Halpe's own hip stays the pelvis: it is a label, and is not derived.

Shapes: N records, K keypoints.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet
from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import derive_midpoints, load_skeleton, project

# Halpe's own three, as AlphaPose and mmpose's halpe26 have them: far stricter than the skeleton's .079, .079, .076.
HALPE_SIGMAS = {"head_top": 0.026, "upper_neck": 0.026, "pelvis": 0.066}
SIGMA_ORIGIN = (
    "COCO's 17 (pycocotools); head_top .026, upper_neck .026, pelvis .066: Halpe's; thorax .056: shoulder's .079 over "
    "sqrt(2), as Halpe has none and paper A names none"
)


def halpe21(annotations: AnnotationSet) -> AnnotationSet:
    """Halpe's labels in the order of `union21`, with the thorax.

    Raises:
        BadArgumentError: not Halpe's keypoints.
    """
    if annotations.skeleton.name != "halpe26":
        raise BadArgumentError(
            f"{annotations.source.path} has the keypoints of {annotations.skeleton.name}: "
            "Halpe's 26 are needed for the 21 of paper A's Table 5."
        )
    union = load_skeleton("union21")
    xy, visibility = project(annotations.xy, annotations.visibility, annotations.skeleton, union)
    thorax_only = replace(union, midpoints={"thorax": union.midpoints["thorax"]})
    xy, visibility, _ = derive_midpoints(xy, visibility, thorax_only)
    return replace(annotations, skeleton=union, xy=xy, visibility=visibility)


def halpe_sigmas() -> NDArray[np.float64]:
    """(21,) the union's sigmas with Halpe's own three."""
    union = load_skeleton("union21")
    return np.array([HALPE_SIGMAS.get(k, s) for k, s in zip(union.keypoints, union.sigmas, strict=True)])
