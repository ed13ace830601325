"""Reasons to doubt a proposal, from what an extended file states, and proposals that no look can decide.

A joint of a cut-off person lies mostly outside of the picture. The model proposes it nevertheless, at the picture's
border and with a confidence near 0; nothing is there to be seen.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.review_entries import proposal_of
from poseunion.annotate.review.priority import Candidate, radius_px

# From this probability on that what stands is wrong, a proposal is called doubtful: one error in four reviewed.
DOUBTFUL = 0.25
# Fewer than one in twenty would be right, by the calibrated confidence: of a cut-off person such a joint is left out.
HOPELESS = 0.05
# A box that ends so near the picture's border is cut off by it: annotators stop a pixel or two before it.
BORDER_PX, BORDER_SHARE = 2.0, 0.02
APART = 1.0  # OKS-.5 radii: predictions farther apart would not count as one point


class Doubt(str, Enum):
    """Kind of doubt; the value is its question."""

    SWAP = "Left and right exchanged?"
    DISAGREEMENT = "Predictions disagree"
    SPREAD = "Widely spread"
    CONFIDENCE = "Low confidence"
    UNLABELLED = "Seldom labelled"
    BORDER = "Near the picture's border"
    BOX = "Outside the person's box"


def hopeless(annotations: AnnotationSet, candidate: Candidate) -> bool:
    """Whether a proposal is a joint of a cut-off person that is hardly in the picture."""
    if candidate.accepted or candidate.confidence >= HOPELESS:
        return False
    image = annotations.person(candidate.row).image
    if image is None or image.width is None or image.height is None:
        return False
    x, y, w, h = annotations.box_xywh[candidate.row]
    margin = max(BORDER_PX, BORDER_SHARE * max(w, h))
    return bool(min(x, y) <= margin or x + w >= image.width - margin or y + h >= image.height - margin)


def doubts(annotations: AnnotationSet, candidate: Candidate) -> dict[Doubt, str]:
    """Kinds of doubt about a proposal, each with its reason in a few words; those that weigh most come first.

    Distances count in tolerances: OKS-.5 radii.
    """
    row, name = candidate.row, candidate.keypoint
    proposal = proposal_of(annotations.records[row], name) or {}
    radius = float(radius_px(annotations, row)[annotations.skeleton.index(name)])
    found: dict[Doubt, str] = {}
    if candidate.swap or proposal.get("reason") == "sides":
        found[Doubt.SWAP] = "left and right may be exchanged"
    if candidate.disagreement is not None and candidate.disagreement >= APART:
        found[Doubt.DISAGREEMENT] = f"predictions {candidate.disagreement:.1f} tolerances apart"
    spread = proposal.get("sd_px", 0.0)
    if radius > 0 and spread > radius:
        found[Doubt.SPREAD] = f"spread {spread:.0f} px (tolerance {radius:.0f} px)"
    if why := _low_confidence(annotations, candidate, proposal):
        found[Doubt.CONFIDENCE] = why
    if proposal.get("labelled", 1.0) < 0.5:
        found[Doubt.UNLABELLED] = f"annotators label {proposal['labelled']:.0%} of such"
    if why := _near_border(annotations, candidate, radius):
        found[Doubt.BORDER] = why
    if _outside_box(annotations, candidate, radius):
        found[Doubt.BOX] = "outside the person's box"
    return found


def _low_confidence(annotations: AnnotationSet, candidate: Candidate, proposal: dict[str, Any]) -> str:
    thresholds = annotations.source.document["poseunion"].get("thresholds") or {}
    least = thresholds.get(candidate.keypoint)
    shown = f"{candidate.confidence:.2f}"
    if proposal.get("reason") == "confidence" and isinstance(least, float | int):
        return f"confidence {shown} below {least:.2f}"
    return f"low confidence ({shown})" if candidate.confidence <= 1 - DOUBTFUL else ""


def _near_border(annotations: AnnotationSet, candidate: Candidate, radius: float) -> str:
    image = annotations.person(candidate.row).image
    if image is None or image.width is None or image.height is None:
        return ""
    x, y = candidate.xy
    distance = min(x, y, image.width - 1 - x, image.height - 1 - y)
    return f"{distance:.0f} px from the picture's border" if distance <= radius else ""


def _outside_box(annotations: AnnotationSet, candidate: Candidate, radius: float) -> bool:
    (x, y), (left, top, width, height) = candidate.xy, annotations.box_xywh[candidate.row]
    if not width > 0 or not height > 0:
        return False
    return bool(max(left - x, top - y, x - left - width, y - top - height) > radius)
