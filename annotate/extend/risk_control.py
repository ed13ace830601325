"""Selective-prediction threshold of a keypoint with a guaranteed risk (Learn then Test).

The guarantee is Learn then Test (Angelopoulos, Bates, Candès, Jordan, Lei 2021): the calibration people set apart for
it give, for every keypoint, the lowest threshold of the confidence such that at most a share `risk` of what is
accepted is a gross error (outside the picture, or beyond the OKS-.5 radius), with 90 % confidence. A threshold passes
if, were the rate of errors higher than `risk`, so few errors would be found with a probability of at most 10 % (exact
binomial tail). Thresholds are tried in one order fixed beforehand by the confidences alone, and the first that fails
ends the search: that is what keeps the 10 % for all of them together. A keypoint with too few calibration people
accepts nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from poseunion.models.calibration.schema import RiskCoverage

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
            **({"test_share": _rate(self.test_accepted, self.test_people)} if self.test_people else {}),
            **({"test_risk": _rate(self.test_wrong, self.test_accepted)} if self.test_accepted else {}),
            **({"reason": self.reason} if self.reason else {}),
        }


def _rate(part: int, whole: int) -> float:
    return round(part / whole, 4)


def guarantee(ladder: RiskCoverage, risk: float) -> Guarantee:
    """The lowest threshold of a ladder that passes; see the top of this file."""
    chosen = -1
    for row in range(_first(ladder, risk), len(ladder.threshold)):
        if binomial_tail(ladder.wrong[row], ladder.accepted[row], risk) > 1 - CONFIDENCE:
            break
        chosen = row
    if chosen < 0:
        return Guarantee(math.inf, None, 0, 0, ladder.people, ladder.test_people, reason=_reason(ladder, risk))
    accepted, wrong = ladder.accepted[chosen], ladder.wrong[chosen]
    tested = (ladder.test_accepted[chosen], ladder.test_wrong[chosen]) if ladder.test_people else (0, 0)
    bound = round(upper_bound(wrong, accepted), 4)
    return Guarantee(
        ladder.threshold[chosen], bound, accepted, wrong, ladder.people, ladder.test_people, tested[0], tested[1]
    )


def _first(ladder: RiskCoverage, risk: float) -> int:
    """Where the search begins: the row most likely to pass, if the confidences predict the errors rightly."""

    def chance(n: int, expected: float) -> float:
        rate = min(max(expected / n, 1e-6), 1 - 1e-6)
        most = -1  # the most errors that would pass
        while most < n and binomial_tail(most + 1, n, risk) <= 1 - CONFIDENCE:
            most += 1
        return binomial_tail(most, n, rate) if most >= 0 else 0.0

    chances = [chance(n, e) for n, e in zip(ladder.accepted, ladder.expected, strict=True)]
    return max(range(len(chances)), key=lambda row: (chances[row], -row), default=0)


def _reason(ladder: RiskCoverage, risk: float) -> str:
    needed = math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - risk))
    if not ladder.people:
        return "no calibration person has it"
    if ladder.people < needed:
        return f"{ladder.people} calibration people have it, {needed} are the fewest that could prove it"
    return f"too many wrong among {ladder.people} calibration people"


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
