"""Report of a run: the closing table, and `FILE.run.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from poseunion.annotate.extend.requested_keypoints import gaps_sentence
from poseunion.annotate.formats.extension import Completion, Origin
from poseunion.annotate.formats.point_states import (
    BY_THRESHOLD,
    DERIVED,
    LABELLED,
    NO_POINT,
    NOT_ACCEPTED,
    states_table,
)
from poseunion.models.skeleton import Skeleton

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS = ("human", "derived", "proposed", "accepted", "none")


class KeypointCounts:
    """Per keypoint of the output, over the records that were predicted; see `COLUMNS`.

    human + derived + accepted + none = people; `proposed` counts accepted and rejected proposals.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        self.names = skeleton.keypoints
        self.counts = np.zeros((len(self.names), len(COLUMNS)), np.int64)
        self.gaps = np.zeros(len(self.names), np.int64)

    def add(self, completion: Completion, predicted_N: np.ndarray) -> None:
        """Count the rows of a completion that are marked in (N,) `predicted_N`."""
        origin = completion.origin[predicted_N]
        proposed = ~np.isnan(completion.confidence[predicted_N])
        states = [
            origin == Origin.HUMAN,
            origin == Origin.DERIVED,
            proposed,
            origin == Origin.PROPOSED,
            origin == Origin.NONE,
        ]
        self.counts += np.stack([s.sum(0) for s in states], 1)
        if completion.gap is not None:
            self.gaps += completion.gap[predicted_N].sum(0)

    def table(self) -> dict[str, dict[str, int]]:
        """keypoint -> column -> count."""
        return {
            n: dict(zip(COLUMNS, map(int, row), strict=True)) for n, row in zip(self.names, self.counts, strict=True)
        }

    def gaps_left(self) -> dict[str, int]:
        """keypoint -> number of people with a gap and no proposal, above 0."""
        return {name: int(count) for name, count in zip(self.names, self.gaps, strict=True) if count}


@dataclass(frozen=True)
class ExtendReport:
    """Outcome of `extend`.

    Attributes:
        persons: people in the raw file, of all categories and classes.
        predicted: of them, predicted by the model.
        passed: reason -> records passed through on purpose.
        bad: records (or their pictures) that could not be used: record, id, image, reason.
        keypoints: name -> human, derived, proposed, accepted, none; over the predicted.
        images: pictures the work concerns.
        seconds: wall time of this run (not of the runs it resumed).
        resumed: people whose predictions came from the journal.
        guarantee: of `--risk`, see `AcceptanceRule.guarantee_block`; None without it.
        redone: chunks of the journal that were done again: damaged lines, or pictures that have changed since.
        left_out: what the output's format could not hold: reason -> records or points.
        gaps: keypoint -> gaps that were left, see `asked`; fill_gaps, asked: the request.
    """

    annotations: str
    out: str
    format: str
    model: str
    provider: str
    persons: int
    images: int
    predicted: int
    passed: dict[str, int]
    bad: list[dict[str, Any]]
    keypoints: dict[str, dict[str, int]]
    seconds: float = 0.0
    resumed: int = 0
    guarantee: dict[str, Any] | None = None
    redone: int = 0
    gaps: dict[str, int] = field(default_factory=dict)
    fill_gaps: bool = False
    asked: Sequence[str] | None = None
    left_out: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; the guarantee has the key `promise` since the first `FILE.run.json`."""
        values = dataclasses.asdict(self)
        values["promise"] = values.pop("guarantee")
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ExtendReport:
        """Back from `to_json`; raises KeyError or TypeError where it is not one."""
        return cls(**{k: v for k, v in values.items() if k != "promise"}, guarantee=values["promise"])

    def states(self) -> dict[str, dict[str, int]]:
        """keypoint -> state -> people; a keypoint's states add up to the predicted."""
        return {
            name: {
                LABELLED: row["human"],
                DERIVED: row["derived"],
                BY_THRESHOLD: row["accepted"],
                NOT_ACCEPTED: row["proposed"] - row["accepted"],
                NO_POINT: row["none"] - (row["proposed"] - row["accepted"]),
            }
            for name, row in self.keypoints.items()
        }

    def print(self, console: Console) -> None:
        """Print the closing table."""

        def show(text: str) -> None:
            console.print(text, soft_wrap=True, markup=False, highlight=False)

        lines = [
            f"{self.predicted} of {self.persons} people in {self.annotations} "
            f"completed by {self.model} ({self.provider})"
        ]
        lines += [f"  left as they are: {count} ({reason})" for reason, count in sorted(self.passed.items())]
        if self.bad:
            lines.append(f"  could not be used: {len(self.bad)}")
            lines += [f"    record {b['record']} (id {b['id']}), {b['image']}: {b['reason']}" for b in self.bad[:10]]
            if len(self.bad) > 10:
                lines.append(f"    … and {len(self.bad) - 10} more, all in {self.out}.run.json")
        lines += [
            f"  not in the {self.format} file: {count} ({reason})" for reason, count in sorted(self.left_out.items())
        ]
        if self.redone:
            lines.append(
                f"  done again: {self.redone} chunks of the interrupted run (damaged, or of pictures that have changed)"
            )
        show("\n".join(lines) + "\n")
        show(states_table(self.states()) + "\n")
        if self.guarantee is not None:
            proposed = [name for name, row in self.keypoints.items() if row["proposed"]]
            show(guarantee_text(self.guarantee, proposed) + "\n")
        if sentence := gaps_sentence(self.gaps, self.asked, self.fill_gaps):
            show(sentence)
        show(f"Written: {self.out} ({self.seconds:.1f} s)")


def guarantee_text(guarantee: dict[str, Any], proposed: Collection[str]) -> str:
    """The guarantee of `--risk`, its calibration people, and its limits.

    Args:
        proposed: keypoints that the run proposes; the guarantee of others does not matter here.
    """
    from poseunion.models.tables import table

    def percent(row: dict[str, Any], key: str) -> str:
        return "·" if row.get(key) is None else f"{100 * row[key]:.1f} %"

    rows = {name: row for name, row in guarantee["keypoints"].items() if name in proposed}
    accepted = [
        (name, f"{row['threshold']:.4f}", *(percent(row, key) for key in ("share", "bound", "test_risk")))
        for name, row in rows.items()
        if row["threshold"] is not None
    ]
    heads = ("keypoint", "threshold", "accepted", "errors,\nat most", "errors on\ntest people")
    lines = [table(heads, accepted) + "\n"] if accepted else []
    lines += [
        f"Guaranteed: of each keypoint's accepted proposals at most {100 * guarantee['risk']:g} % are gross errors "
        f"(outside the picture, or beyond the OKS-.5 radius), with {100 * guarantee['confidence']:g} % confidence.",
        f"  This holds for people like these: {guarantee['people']}.",
        "  Keypoints that the file's own annotators could have labelled and left out are not accepted: none of the "
        "calibration people's were.",
    ]
    if guarantee["test_people"]:
        lines.append(f"  Test people: {guarantee['test_people']}.")
    refused = [f"{name} ({row['reason']})" for name, row in rows.items() if row["threshold"] is None]
    if refused:
        lines.append(f"  Nothing is accepted of: {'; '.join(refused)}.")
    return "\n".join(lines)
