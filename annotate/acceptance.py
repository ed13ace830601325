"""Which proposals are good enough to stand as keypoints: by a threshold, or by a risk that is guaranteed.

The guarantee is Learn then Test (Angelopoulos, Bates, Candès, Jordan, Lei 2021): the calibration people set apart for
it decide, for every keypoint, how far down the confidences one may go so that at most a share `risk` of what is
accepted is a gross error (outside the picture, or beyond the OKS-.5 radius), with 90 % confidence. A threshold passes
if, were the rate of errors higher than `risk`, so few errors would be seen with a probability of at most 10 % (exact
binomial tail). Thresholds are tried in one order fixed beforehand by the confidences alone, and the first that fails
ends the search: that is what keeps the 10 % for all of them together. A keypoint with too few calibration people
accepts nothing.

Shapes: N records, K keypoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration import Calibration, Ladder
from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import Skeleton

DEFAULT_THRESHOLD = 0.3
# The guarantee's confidence: it may fail for a keypoint in one calibration of ten.
CONFIDENCE = 0.9


@dataclass(frozen=True)
class Guarantee:
    """What is guaranteed of one keypoint's accepted proposals.

    Attributes:
        threshold: confidence that a proposal has to reach; infinite: none is accepted.
        bound: upper bound of the share of gross errors at that threshold, at 90 % confidence; None if none is accepted.
        accepted, wrong: of the people set apart for the guarantee.
        people: how many of them there were.
        test_people, test_accepted, test_wrong: the same of the test people; 0 if never measured.
        reason: why nothing is accepted; empty otherwise.
    """

    threshold: float
    bound: float | None
    accepted: int
    wrong: int
    people: int
    test_people: int = 0
    test_accepted: int = 0
    test_wrong: int = 0
    reason: str = ""

    @property
    def share(self) -> float:
        """The share of such proposals that is accepted."""
        return self.accepted / self.people if self.people else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the `poseunion` block."""
        return {
            "threshold": None if math.isinf(self.threshold) else self.threshold,
            "bound": self.bound,
            "share": round(self.share, 4),
            "people": self.people,
            **({"reason": self.reason} if self.reason else {}),
        }


def thresholds_for(skeleton: Skeleton, metadata: Any = None, threshold: float | None = None) -> NDArray[np.float64]:
    """(K,) confidence that each keypoint's proposal has to reach.

    What the user says comes first, then the model's own `metadata.confidence_threshold`, then `DEFAULT_THRESHOLD`.

    Raises:
        BadArgumentError: `threshold` is not in [0, 1].
    """
    if threshold is not None:
        if not 0 <= threshold <= 1:
            raise BadArgumentError(f"--threshold {threshold} is not a confidence: give a number from 0 to 1.")
        return np.full(len(skeleton), threshold)
    return np.full(len(skeleton), float(getattr(metadata, "confidence_threshold", DEFAULT_THRESHOLD)))


def guarantees_for(
    skeleton: Skeleton, calibration: Calibration | None, risk: float, *, evidence: bool
) -> dict[str, Guarantee]:
    """Keypoint -> the lowest threshold at which at most `risk` of what is accepted is a gross error.

    Args:
        evidence: the proposals use the people's labelled joints.

    Raises:
        BadArgumentError: `risk` is not between 0 and 1, or the model has no calibration to decide by.
    """
    if not 0 < risk < 1:
        raise BadArgumentError(f"--risk {risk} is not a share of errors: give a number between 0 and 1, 0.05 say.")
    if calibration is None:
        raise BadArgumentError("--risk needs a calibrated model: run poseunion calibrate first, or use --threshold.")
    part = calibration.evidence if evidence else calibration.picture
    if part is None:
        raise BadArgumentError("--risk needs a model calibrated with labelled joints: add --no-evidence.")
    return {name: guarantee(ladder, risk) for name, ladder in zip(skeleton.keypoints, part.ladders, strict=True)}


def guarantee(ladder: Ladder, risk: float) -> Guarantee:
    """The lowest threshold of a ladder that passes; see the top of this file."""
    chosen = -1
    for rung in range(_first(ladder, risk), len(ladder.threshold)):
        if binomial_tail(ladder.wrong[rung], ladder.accepted[rung], risk) > 1 - CONFIDENCE:
            break
        chosen = rung
    if chosen < 0:
        return Guarantee(math.inf, None, 0, 0, ladder.people, ladder.test_people, reason=_reason(ladder, risk))
    accepted, wrong = ladder.accepted[chosen], ladder.wrong[chosen]
    tested = (ladder.test_accepted[chosen], ladder.test_wrong[chosen]) if ladder.test_people else (0, 0)
    bound = round(upper_bound(wrong, accepted), 4)
    return Guarantee(
        ladder.threshold[chosen], bound, accepted, wrong, ladder.people, ladder.test_people, tested[0], tested[1]
    )


def _first(ladder: Ladder, risk: float) -> int:
    """Where the search begins: the rung most likely to pass, if the confidences predict the errors rightly."""

    def chance(n: int, expected: float) -> float:
        rate = min(max(expected / n, 1e-6), 1 - 1e-6)
        most = -1  # the most errors that would pass
        while most < n and binomial_tail(most + 1, n, risk) <= 1 - CONFIDENCE:
            most += 1
        return binomial_tail(most, n, rate) if most >= 0 else 0.0

    chances = [chance(n, e) for n, e in zip(ladder.accepted, ladder.expected, strict=True)]
    return max(range(len(chances)), key=lambda rung: (chances[rung], -rung), default=0)


def _reason(ladder: Ladder, risk: float) -> str:
    needed = math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - risk))
    if not ladder.people:
        return "nobody of the calibration people has it"
    if ladder.people < needed:
        return f"{ladder.people} calibration people have it, {needed} are the fewest that could prove it"
    return f"{ladder.people} calibration people have it, and too many of their proposals are wrong to prove it"


def binomial_tail(wrong: int, n: int, rate: float) -> float:
    """Probability of at most `wrong` errors among `n`, each made with probability `rate`."""
    if wrong >= n:
        return 1.0
    log_p, log_q = math.log(rate), math.log1p(-rate)
    ways = (math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(wrong + 1))
    return min(1.0, math.fsum(math.exp(w + i * log_p + (n - i) * log_q) for i, w in enumerate(ways)))


def upper_bound(wrong: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The highest rate that `wrong` errors among `n` leave possible at `confidence` (Clopper and Pearson, 1934)."""
    low, high = 0.0, 1.0
    if wrong >= n:
        return 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if binomial_tail(wrong, n, middle) > 1 - confidence else (low, middle)
    return high


def thresholds_of(guarantees: Sequence[Guarantee]) -> NDArray[np.float64]:
    """(K,) their thresholds; infinite where nothing is accepted."""
    return np.array([g.threshold for g in guarantees])


def accepted(
    xy_NK2: NDArray[np.floating],
    confidence_NK: NDArray[np.floating],
    threshold_K: NDArray[np.floating],
    size_wh_N2: NDArray[np.floating],
) -> NDArray[np.bool_]:
    """(N, K): confident enough, and inside the picture (pixel centres 0 … width-1); NaN is never accepted.

    Args:
        xy_NK2: image pixels, 0-based.
        size_wh_N2: picture sizes, pixels.
    """
    inside = ((xy_NK2 >= 0) & (xy_NK2 <= size_wh_N2[:, None, :] - 1)).all(-1)
    return np.asarray(inside & (confidence_NK >= threshold_K))
