"""The fields that an extended record has beyond its original ones, shared by all formats.

`keypoint_source`      one of human, proposed, derived, none for each keypoint of the output.
`keypoint_confidence`  probability that its proposal is correct, null without a prediction (human, derived, absent).
`proposals`            every keypoint that was missing and predicted: name, x, y, confidence, accepted, the reason
                       where it was not accepted, and where the person's labelled joints were used: sd_px; there, and of
                       several models: disagreement; of a model that was calibrated for it, in_picture: the probability
                       that the keypoint is in the picture, and right_in_picture: that the proposal is right if it is
                       and, of the face, labelled: the probability that an annotator would label it.
`proposed_by`          the model that proposed them, where a route chose among several by the person's size.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from poseunion.annotate.formats.coco.coco_json import is_number
from poseunion.annotate.formats.extension import (
    CONFIDENCE_DIGITS,
    ORIGIN_NAMES,
    REASON_NAMES,
    Completion,
    Extension,
    Origin,
)
from poseunion.annotate.formats.types import AnnotationSet
from poseunion.models.skeleton import Skeleton, project_indices

PROPOSED = ORIGIN_NAMES[Origin.PROPOSED]
# Of a proposal, where they are known.
NUMBERS = ("sd_px", "disagreement", "in_picture", "right_in_picture", "labelled")
BLOCK = 512  # records completed and encoded at a time: memory stays flat, arrays stay worthwhile


def blocks(n: int, extension: Extension) -> Iterator[tuple[int, Completion]]:
    """(record index, the completion that holds it) for all `n` records, in order."""
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        completion = extension.rows(start, stop)
        yield from zip(range(start, stop), itertools.repeat(completion))


def own_positions(annotations: AnnotationSet, output: Skeleton) -> Sequence[int]:
    """Where each of the file's own keypoints stands in the output; a range where they stand first, in their order."""
    own = [int(k) for k in project_indices(output, annotations.skeleton)]
    first = range(len(own))
    return first if own == list(first) else own


def added_fields(completion: Completion, row: int, names: tuple[str, ...], shift: int = 0) -> dict[str, Any]:
    """`keypoint_source`, `keypoint_confidence`, `proposals` and, of a routed run, `proposed_by` of one record.

    Args:
        shift: added to x and y: 1 in a file that counts pixels from 1.
    """
    sources, asked = completion.rows.source[row], completion.rows.asked[row]
    if not asked:
        return {"keypoint_source": sources, "keypoint_confidence": [None] * len(names), "proposals": []}
    # NaN is the only value that differs from itself; a Python loop over 21 floats beats numpy's calls here.
    confidence = [None if c != c else c for c in completion.confidence[row].tolist()]
    nothing = [math.nan] * len(names)
    reason = [0] * len(names) if completion.reason is None else completion.reason[row].tolist()
    sd_px = nothing if completion.sd_px is None else completion.sd_px[row].tolist()
    disagreement = nothing if completion.disagreement is None else completion.disagreement[row].tolist()
    in_picture = nothing if completion.in_picture is None else completion.in_picture[row].tolist()
    labelled = nothing if completion.labelled is None else completion.labelled[row].tolist()
    proposals = [
        {
            "name": name,
            "x": round(x + shift, 2),
            "y": round(y + shift, 2),
            "confidence": c,
            **presence(c, inside),
            "accepted": source == PROPOSED,
            **({"reason": REASON_NAMES[why]} if why and source != PROPOSED else {}),
            **({"sd_px": sd} if sd == sd else {}),
            **({"disagreement": apart} if apart == apart else {}),
            **({"labelled": likely} if likely == likely else {}),
        }
        for name, (x, y), c, inside, source, why, sd, apart, likely in zip(
            names,
            completion.xy[row].tolist(),
            confidence,
            in_picture,
            sources,
            reason,
            sd_px,
            disagreement,
            labelled,
            strict=True,
        )
        if c is not None
    ]
    by = {"proposed_by": completion.model[row]} if completion.model is not None else {}
    return {"keypoint_source": sources, "keypoint_confidence": confidence, "proposals": proposals, **by}


def presence(confidence: float, in_picture: float) -> dict[str, float]:
    """`in_picture` and `right_in_picture` of a proposal, whose product is its confidence; empty if not known (NaN)."""
    if in_picture != in_picture:
        return {}
    right = min(confidence / in_picture, 1.0) if in_picture else 0.0
    return {"in_picture": in_picture, "right_in_picture": round(right, CONFIDENCE_DIGITS)}


def has_added_fields(record: Any) -> bool:
    """Do the added fields describe the keypoints that were read? MPII's json keeps its 16 and has the union beside."""
    return isinstance(record, dict) and record.get("keypoint_source") is not None and "joints_union" not in record


def field_problems(record: dict[str, Any], skeleton: Skeleton) -> Iterator[str]:
    """What of an extended record's added fields is not as `added_fields` makes them."""
    k = len(skeleton)
    sources, confidence = record.get("keypoint_source"), record.get("keypoint_confidence")
    if not isinstance(sources, list) or len(sources) != k:
        yield f"keypoint_source does not have {k} entries"
    elif unknown := sorted({str(s) for s in sources if s not in ORIGIN_NAMES}):
        yield f"keypoint_source holds {unknown[0]!r}, where {', '.join(ORIGIN_NAMES)} are known"
    if not isinstance(confidence, list) or len(confidence) != k:
        yield f"keypoint_confidence does not have {k} entries"
    elif not all(c is None or is_number(c) for c in confidence):
        yield "keypoint_confidence holds something else than numbers and null"
    proposals = record.get("proposals") or []
    if not isinstance(proposals, list) or not all(isinstance(p, dict) for p in proposals):
        yield "proposals is not a list of objects"
        return
    for proposal in proposals:
        if proposal.get("name") not in skeleton.keypoints:
            yield f"a proposal names no keypoint of {skeleton.name}"
        elif not all(is_number(proposal.get(key)) for key in ("x", "y", "confidence")):
            yield f"the proposal of {proposal['name']} has no numbers x, y and confidence"
        elif not isinstance(proposal.get("accepted"), bool):
            yield f"the proposal of {proposal['name']} does not state whether it was accepted"
        elif proposal.get("reason", REASON_NAMES[1]) not in REASON_NAMES[1:]:
            yield f"the proposal of {proposal['name']} has another reason than {', '.join(REASON_NAMES[1:])}"
        elif odd := [key for key in NUMBERS if not is_number(proposal.get(key, 0))]:
            yield f"the proposal of {proposal['name']} has a {odd[0]} that is no number"
