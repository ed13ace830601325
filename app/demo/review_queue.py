"""Queue of a review: proposals, what became of each, and the questions by which they are filtered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.point_states import UNDECIDED, WITHDRAWN
from poseunion.annotate.formats.review_entries import ACCEPT, FIX, HIDE, NEEDS_FIX, REJECT, last_entries, review_of
from poseunion.annotate.review.doubts import DOUBTFUL, HOPELESS, Doubt, doubts, hopeless
from poseunion.annotate.review.priority import Candidate, queue

PENDING = (UNDECIDED, WITHDRAWN)
MOST_REASONS = 3  # of a doubt, so that they fit a line
# Decisions, and how the page names them.
STATES = {ACCEPT: "accepted", FIX: "moved", REJECT: "rejected", HIDE: "hidden joint", NEEDS_FIX: "needs a fix"}
DECIDED = tuple(STATES)
# Questions that are no kind of doubt.
ALL, LIKELY_WRONG, TO_FIX, AUDIT, BEFORE = "all", "wrong", "fix", "audit", "decided"
QUESTIONS = {
    ALL: "All proposals",
    LIKELY_WRONG: "Probably wrong as it stands",
    **{doubt.name.lower(): doubt.value for doubt in Doubt},
    TO_FIX: "Needs a fix",
    AUDIT: "Audit sample",
    WITHDRAWN: "Withdrawn",
    BEFORE: "Decided",
}


def readable(name: str) -> str:
    """A keypoint's name with spaces."""
    return name.replace("_", " ")


@dataclass(frozen=True)
class Filter:
    """Which proposals are reviewed: those of a question, and of one keypoint or (empty) of all."""

    question: str = ALL
    keypoint: str = ""


ALL_PROPOSALS = Filter()


class ReviewQueue:
    """Proposals of a file under review.

    Args:
        annotations: an extended COCO-style file.
        first: rows that come before all others, in their order.
        audited: (row, keypoint) of the audit's sample.

    Attributes:
        candidates: row -> keypoint -> proposal; people in the order of the review.
        states: row -> keypoint -> undecided, withdrawn, or the decision that stands.
        counts: proposals of each state; they add up to the number of candidates.
        left_out: reason -> proposals that are no candidates.
        beside: decisions on keypoints that are no candidates, such as labels corrected by hand.

    Raises:
        BadFileError: a record's proposals or decisions are damaged.
    """

    def __init__(self, annotations: AnnotationSet, first: Sequence[int], audited: Iterable[tuple[int, str]]) -> None:
        self._annotations, self._audited = annotations, frozenset(audited)
        people = queue(annotations, decided=True)
        proposals = sum(len(r.get("proposals") or ()) for r in annotations.records if isinstance(r, dict))
        inside = sum(len(person.candidates) for person in people)
        found: dict[int, dict[str, Candidate]] = {}
        gain: dict[int, float] = {}
        for person in people:
            decided = last_entries(annotations.records[person.row])
            of_row = [c for c in person.candidates if c.keypoint in decided or not hopeless(annotations, c)]
            if of_row:
                found[person.row] = {c.keypoint: c for c in of_row}
                gain[person.row] = sum(c.gain for c in of_row if c.keypoint not in decided)
        order = dict.fromkeys(row for row in first if row in found)
        order |= dict.fromkeys(sorted(found, key=lambda row: -gain[row]))  # stable: the file's order among equals
        self.candidates = {row: found[row] for row in order}
        self.left_out = {
            "outside the picture": proposals - inside,
            f"of people that the picture cuts off, with a confidence below {HOPELESS}": inside
            - sum(map(len, found.values())),
        }
        self.states: dict[int, dict[str, str]] = {}
        self.counts: Counter[str] = Counter()
        self._doubts: dict[tuple[int, str], dict[Doubt, str]] = {}
        self._beside: Counter[int] = Counter()
        self.update(annotations, range(len(annotations.records)))

    @property
    def total(self) -> int:
        """Number of candidates."""
        return sum(map(len, self.candidates.values()))

    @property
    def beside(self) -> int:
        """Decisions that stand on keypoints that are no candidates."""
        return self._beside.total()

    @property
    def keypoints(self) -> list[str]:
        """Keypoints that someone lacks, in the skeleton's order."""
        found = {name for of_row in self.candidates.values() for name in of_row}
        return [name for name in self._annotations.skeleton.keypoints if name in found]

    def update(self, annotations: AnnotationSet, rows: Iterable[int]) -> None:
        """Take over the decisions of these records."""
        for row in rows:
            record, of_row = annotations.records[row], self.candidates.get(row, {})
            review = review_of(record) if isinstance(record, dict) and record.get("review") else []
            if not review and not of_row:
                continue
            last, touched = last_entries(record), {entry["keypoint"] for entry in review}
            states = {
                name: str(last[name]["decision"]) if name in last else WITHDRAWN if name in touched else UNDECIDED
                for name in of_row
            }
            self.counts.subtract(self.states.get(row, {}).values())
            self.counts.update(states.values())
            self.states[row] = states
            self._beside[row] = len(last.keys() - of_row.keys())

    def fits(self, row: int, name: str, shown: Filter) -> bool:
        """Whether a keypoint of a person is one that the filter shows."""
        candidate = self.candidates.get(row, {}).get(name)
        if candidate is None or shown.keypoint not in ("", name):
            return False
        state = self.states[row][name]
        if shown.question in (ALL, LIKELY_WRONG):
            return shown.question == ALL or candidate.uncertainty >= DOUBTFUL
        if shown.question == TO_FIX:
            return state == NEEDS_FIX
        if shown.question == AUDIT:
            return (row, name) in self._audited
        if shown.question in (WITHDRAWN, BEFORE):
            return state == WITHDRAWN if shown.question == WITHDRAWN else state in DECIDED
        return Doubt[shown.question.upper()] in self._doubts_of(candidate)

    def _doubts_of(self, candidate: Candidate) -> dict[Doubt, str]:
        """`doubts`, computed once: decisions do not change them."""
        key = candidate.row, candidate.keypoint
        if key not in self._doubts:
            self._doubts[key] = doubts(self._annotations, candidate)
        return self._doubts[key]

    def pending(self, row: int, shown: Filter) -> list[str]:
        """Keypoints of a person that the filter shows and that wait for a decision."""
        return [n for n, state in self.states.get(row, {}).items() if state in PENDING and self.fits(row, n, shown)]

    def waits(self, row: int, shown: Filter) -> list[str]:
        """`pending`; of the question what needs a fix also what waits to be moved."""
        if shown.question != TO_FIX:
            return self.pending(row, shown)
        return [name for name in self.states.get(row, {}) if self.fits(row, name, shown)]

    def rows(self, shown: Filter) -> tuple[int, ...]:
        """People that the filter shows; those without anything to decide come last."""
        rows = [row for row, of_row in self.candidates.items() if any(self.fits(row, n, shown) for n in of_row)]
        waits = {row: not any(s in (*PENDING, NEEDS_FIX) for s in self.states[row].values()) for row in rows}
        return tuple(sorted(rows, key=lambda row: waits[row]))

    def why(self, row: int, name: str) -> str:
        """Why a proposal is doubtful, in one line; of a decided one the decision."""
        candidate = self.candidates.get(row, {}).get(name)
        if candidate is None:
            return "no proposal of the queue"
        if (state := self.states[row][name]) in DECIDED:
            return STATES[state]
        stands = "accepted" if candidate.accepted else "not accepted"
        reasons = list(self._doubts_of(candidate).values())[:MOST_REASONS]
        if not reasons:
            return f"{stands}, nothing in the file speaks against it"
        return f"{stands}, doubtful: {', '.join(reasons)}"

    def left_out_sentence(self) -> str:
        """How many proposals are not in the queue, and why; empty if all are."""
        parts = [f"{count} {why}" for why, count in self.left_out.items() if count]
        return f"{sum(self.left_out.values())} more are left out: {'; '.join(parts)}." if parts else ""
