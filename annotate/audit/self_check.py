"""Self-check of `extend`: a file's own labelled keypoints are hidden and predicted again, before anyone inspects.

The calibration predicts an error probability of 1 - confidence for each hidden keypoint. D_j is the number of gross
errors of person j minus the sum of these; if the calibration holds its mean is 0, and

    z = sum D_j / sqrt(n (1 + n / m) mean D_j^2)

is about normal: n people, whose keypoints may depend on each other, against the m people of the calibration, which has
an error of its own. The same is computed of those keypoints alone that this run would accept: confidences that are too
low elsewhere cannot hide that these are too high. The alarm is one-sided: fewer errors than predicted are no fault.

Legend of shape suffixes: S hidden keypoints; K keypoints of the model.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.audit.certificate import percent
from poseunion.annotate.extend.acceptance import AcceptanceRule
from poseunion.annotate.extend.chunks import cut_task, task_of
from poseunion.annotate.extend.image_reader import Pictures
from poseunion.annotate.extend.plan import CHUNK, plan
from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.review.priority import area_of
from poseunion.models.conditioning.hiding import hiding_rounds
from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.metrics import oks_radius_px

if TYPE_CHECKING:
    from rich.console import Console

PEOPLE = 100
# One-sided, 1 % for each of the two: up to 5 % leaves room for a calibration that is a little off on other people.
ALARM = 2.33


@dataclass(frozen=True)
class Masked:
    """Keypoints that were hidden and predicted again.

    Attributes:
        person, keypoint: (S,) of each: number of the person, index of the model's keypoint.
        confidence: (S,) of its prediction.
        wrong: (S,) whether it is a gross error.
        skipped: people whose picture or box could not be used.
    """

    person: NDArray[np.int64]
    keypoint: NDArray[np.int64]
    confidence: NDArray[np.float64]
    wrong: NDArray[np.bool_]
    skipped: int = 0


@dataclass(frozen=True)
class SelfCheck:
    """Errors on a file's own labelled keypoints beside the errors that the calibration predicts.

    Attributes:
        people, hidden: people of the check and their hidden keypoints; skipped: people that could not be used.
        errors, predicted: share of gross errors, found and according to the calibration.
        z, accepted_z: of all hidden keypoints, and of those that would be accepted; see the top of this file.
        keypoints: name -> `hidden`, `errors`, `predicted`; at the thresholds of this run `accepted`,
            `expected_accepted` (share on the calibration people; None: unknown) and `accepted_errors` (share; None: no
            proposal is accepted).
        unseen: keypoints that would be added and that no one of the people has labelled: not checked.
        risk, stricter_risk: the risk of this run, and the one that keeps it at the errors found here.
    """

    people: int
    hidden: int
    skipped: int
    errors: float
    predicted: float
    z: float
    accepted_z: float
    keypoints: dict[str, dict[str, Any]]
    unseen: tuple[str, ...]
    risk: float | None
    stricter_risk: float | None

    @property
    def alarm(self) -> bool:
        """Whether there are more errors than chance explains."""
        return max(self.z, self.accepted_z) > ALARM

    @property
    def sentences(self) -> list[str]:
        """The result, and what follows from it."""
        found = (
            f"{self.hidden} labelled keypoints of {self.people} people of this file were hidden and predicted again: "
            f"{self.errors:.1%} are gross errors, the confidences predict {self.predicted:.1%}"
        )
        unseen = (
            [f"Not checked, because no one has them labelled: {', '.join(self.unseen)}. Only an audit can see these."]
            if self.unseen
            else []
        )
        if not self.alarm:
            return [f"{found}: not more than chance explains (z = {self.z:.1f}).", *unseen]
        if self.z > ALARM:
            more = f"MORE than chance explains (z = {self.z:.1f})"
        else:
            more = (
                f"not more than chance explains (z = {self.z:.1f}). But among those that would be accepted there are "
                f"MORE than that (z = {self.accepted_z:.1f})"
            )
        lines = [f"{found}: {more}. These people differ from the calibration's."]
        if self.risk is not None and self.stricter_risk is not None:
            lines.append(
                f"--risk {self.risk:g} is not guaranteed here. With the errors found, --risk {self.stricter_risk:g} "
                f"would keep {percent(self.risk)}."
            )
        lines.append("A guarantee for this file needs annotate audit and annotate certify, after the run.")
        return [*lines, *unseen]

    def refuse_risk(self) -> None:
        """Raise BadArgumentError where a run with `--risk` would guarantee what this file's labels contradict."""
        if self.alarm and self.risk is not None:
            raise BadArgumentError("--self-check: " + " ".join(self.sentences))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**dataclasses.asdict(self), "alarm": self.alarm, "sentences": self.sentences}

    def print(self, console: Console) -> None:
        """Sentences and a table."""
        from poseunion.models.tables import table

        heads = ("hidden", "gross\nerrors", "predicted\nerrors", "accepted", "expected", "errors of\naccepted")
        columns = ("errors", "predicted", "accepted", "expected_accepted", "accepted_errors")
        rows = [
            (name, str(row["hidden"]), *("·" if row[c] is None else f"{row[c]:.0%}" for c in columns))
            for name, row in self.keypoints.items()
        ]
        total = ("sum", str(self.hidden), f"{self.errors:.0%}", f"{self.predicted:.0%}", "", "", "")
        lines = [*self.sentences, "", table(("keypoint", *heads), rows, total), ""]
        console.print("\n".join(lines), soft_wrap=True, markup=False, highlight=False)


def self_check(
    annotations: AnnotationSet,
    images: Path,
    predictor: PosePredictor,
    rule: AcceptanceRule,
    *,
    people: int = PEOPLE,
    progress: Callable[[int, int], None] | None = None,
) -> SelfCheck:
    """Check a predictor on a file's own labels.

    Args:
        rule: of the run that is to follow.
        people: at most so many, drawn by lot.

    Raises:
        BadArgumentError: the model has no calibration, or no one has a label that can be hidden.
    """
    if rule.part is None:
        raise BadArgumentError("--self-check needs a calibrated model: run poseunion calibrate first.")
    masked = mask(annotations, images, predictor, people, progress)
    if not len(masked.wrong):
        raise BadArgumentError(f"--self-check: no labelled keypoint of {annotations.source.path} can be predicted.")
    labelled = {predictor.skeleton.keypoints[k] for k in np.unique(masked.keypoint)}
    derived = set(predictor.skeleton.midpoints)
    unseen = [n for n in predictor.skeleton.keypoints if n not in labelled | derived]
    return compare(masked, rule, tuple(unseen))


def mask(
    annotations: AnnotationSet,
    images: Path,
    predictor: PosePredictor,
    people: int = PEOPLE,
    progress: Callable[[int, int], None] | None = None,
) -> Masked:
    """Hide the labels of people drawn by lot, in rounds, and predict them from the picture and the rest."""
    rng = np.random.default_rng(int(annotations.source.sha256[:12], 16))
    order = plan(annotations).order
    chosen = order[np.sort(rng.permutation(len(order))[:people])]
    pictures, skeleton = Pictures(images), predictor.skeleton
    own = np.array([name not in skeleton.midpoints for name in skeleton.keypoints])
    parts: list[tuple[NDArray[Any], ...]] = []
    skipped = 0
    for start in range(0, len(chosen), CHUNK):
        task = task_of(annotations, 0, chosen[start : start + CHUNK], skeleton)
        cut = cut_task(task, pictures, predictor)
        skipped += len(cut.bad)
        if not cut.record:
            continue
        labels_NK3 = np.stack([label for label in cut.labels if label is not None])
        areas = np.array([area_of(annotations, row) for row in cut.record])
        radius_NK = oks_radius_px(areas, skeleton.sigma_array)
        rounds_RNK = np.stack([hiding_rounds(skeleton, rng) for _ in cut.record], 1)
        if not predictor.uses_labels:
            rounds_RNK = np.ones_like(rounds_RNK[:1])
        asked_RNK = rounds_RNK & (labels_NK3[..., 2] > 0) & own
        for model, rows in predictor.assign(cut.crops):
            for i in np.split(rows, range(model.batch_size, len(rows), model.batch_size)):
                pixels, crops = np.stack([cut.pixels[n] for n in i]), [cut.crops[n] for n in i]
                size_wh = np.array([cut.size_wh[n] for n in i], np.float64)
                # The picture is read once for all rounds.
                read = model.read(pixels) if isinstance(model, ConditionedPredictor) else None
                for hidden_NK, asked_NK in zip(rounds_RNK[:, i], asked_RNK[:, i], strict=True):
                    if read is not None and isinstance(model, ConditionedPredictor):
                        given_NK3 = np.where(hidden_NK[..., None], 0.0, labels_NK3[i])
                        found = model.conditioned(read, crops, given_NK3, size_wh, asked_NK)
                    else:
                        found = model.predict_crops(pixels, crops)
                    n, k = np.nonzero(asked_NK)
                    far_px = np.linalg.norm(found.xy[n, k] - labels_NK3[i][n, k, :2], axis=-1)
                    wrong = ~(far_px <= radius_NK[i][n, k])
                    parts.append((start + np.asarray(i)[n], k, found.score[n, k], wrong))
        if progress is not None:
            progress(min(start + CHUNK, len(chosen)), len(chosen))
    if not parts:
        nothing = np.zeros(0, np.int64)
        return Masked(nothing, nothing, np.zeros(0), np.zeros(0, bool), skipped)
    person, keypoint, confidence, wrong = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Masked(person, keypoint, confidence.astype(np.float64), wrong, skipped)


def compare(masked: Masked, rule: AcceptanceRule, unseen: tuple[str, ...] = ()) -> SelfCheck:
    """Errors of hidden keypoints beside the predicted ones."""
    predicted_S = 1 - masked.confidence
    taken_S = masked.confidence >= rule.threshold_K[masked.keypoint]
    keypoints = {}
    for k in np.unique(masked.keypoint).tolist():
        of_it = masked.keypoint == k
        taken = of_it & taken_S
        expected = rule.expected(k)
        keypoints[rule.keypoints[k]] = {
            "hidden": int(of_it.sum()),
            "errors": round(float(masked.wrong[of_it].mean()), 4),
            "predicted": round(float(predicted_S[of_it].mean()), 4),
            "accepted": round(float(taken.sum() / of_it.sum()), 4),
            "expected_accepted": None if expected is None else round(expected[0], 4),
            "accepted_errors": round(float(masked.wrong[taken].mean()), 4) if taken.any() else None,
        }
    # The errors grow by the same factor at every threshold, as far as a few people can show.
    factor = 1.0
    for chosen in (np.ones_like(taken_S), taken_S):
        if chosen.any():
            factor = max(factor, float(masked.wrong[chosen].mean() / max(predicted_S[chosen].mean(), 1e-6)))
    return SelfCheck(
        people=len(np.unique(masked.person)),
        hidden=len(masked.wrong),
        skipped=masked.skipped,
        errors=round(float(masked.wrong.mean()), 4),
        predicted=round(float(predicted_S.mean()), 4),
        z=_excess(masked, rule, np.ones_like(taken_S)),
        accepted_z=_excess(masked, rule, taken_S),
        keypoints=keypoints,
        unseen=unseen,
        risk=rule.risk,
        stricter_risk=None if rule.risk is None else float(f"{rule.risk / factor:.2g}"),
    )


def _excess(masked: Masked, rule: AcceptanceRule, chosen_S: NDArray[np.bool_]) -> float:
    """z of some hidden keypoints, see the top of this file; 0 without any."""
    people, index = np.unique(masked.person[chosen_S], return_inverse=True)
    excess = np.bincount(index, (masked.wrong - (1 - masked.confidence))[chosen_S])
    n = len(people)
    calibrated = max((ladder.people for ladder in rule.part.ladders), default=0) if rule.part is not None else 0
    spread = math.sqrt(n * (1 + n / max(calibrated, 1)) * float((excess**2).mean())) if n else 0.0
    return round(float(excess.sum() / spread), 3) if spread > 0 else 0.0
