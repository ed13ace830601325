"""Confidences and `--risk` of nose, eyes and ears in COCO's form and in MPII's, on test and on held-out people.

People of COCO without their faces, once with COCO's other labels and box, once written as MPII's json and read back
(`training.calibration.mpii_form`): what the confidences claim, and what share is right. Two sets: `coco/test`, and the
people of `coco/train` that neither the training nor any fit has seen. The body of the network may have seen COCO
train2017: the second set beside the first shows how optimistic the guarantees, which rest on it, are.

    python benchmarks/annotation/mpii_form.py --data DATA > benchmarks/notes/DATE-mpii-form.md
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.extend.risk_control import CONFIDENCE, guarantee
from poseunion.export.timing import commit, machine
from poseunion.models.calibration.schema import KeypointLogistic
from poseunion.models.conditioning.hiding import FACE
from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.predictor import load_predictor
from poseunion.training.calibration.fit_calibration import Samples, Source, confidence_of, try_out, views_of
from poseunion.training.calibration.samples import MPII, OWN, ViewPredictions
from poseunion.training.data.arrays import take
from poseunion.training.data.splits import is_for_guarantee

RISK = 0.05
PARTS = {"nose": ("nose",), "eyes": ("left_eye", "right_eye"), "ears": ("left_ear", "right_ear"), "face": FACE}
FORMS = {OWN: "COCO's", MPII: "MPII's"}


@dataclass(frozen=True)
class Seen:
    """One set's face keypoints, hidden and predicted; (S,) each.

    Attributes:
        person: number of the view.
    """

    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]
    placed: NDArray[np.bool_]
    keypoint: NDArray[np.intp]
    form: NDArray[np.str_]
    cut: NDArray[np.bool_]


def seen_of(part: KeypointLogistic, samples: Samples, predicted: ViewPredictions, wanted: NDArray[np.bool_]) -> Seen:
    """The samples of the wanted views, and whether they are right."""
    chosen = take(samples, wanted[samples.view])
    return Seen(
        confidence_of(part, chosen),
        chosen.right,
        chosen.placed,
        chosen.keypoint,
        np.array([v.form for v in predicted.views])[chosen.view],
        np.array([v.window_xyxy is not None for v in predicted.views])[chosen.view],
    )


def claims_table(sets: dict[str, Seen], names: tuple[str, ...], threshold: float, *, cut: bool) -> list[str]:
    """What is claimed and what is right, of everything and of what the default threshold accepts."""
    lines = [
        "| people | form | keypoints | proposals | claimed | right | difference | accepted, % | claimed | right | "
        "difference | above .9 | claimed | right |",
        "|---|---|---|" + "--:|" * 11,
    ]
    for name, seen in sets.items():
        for form, said in FORMS.items():
            for part, keypoints in PARTS.items():
                mine = (seen.form == form) & (seen.cut == cut) & np.isin(np.array(names)[seen.keypoint], keypoints)
                taken = mine & seen.placed & (seen.confidence >= threshold)
                sure = taken & (seen.confidence >= 0.9)
                cells = [f"{mine.sum()}", *_claim(seen, mine)]
                cells += [f"{100 * taken.sum() / max(1, mine.sum()):.0f}", *_claim(seen, taken)]
                cells += [f"{sure.sum()}", *_claim(seen, sure)[:2]]
                lines.append(f"| {name} | {said} | {part} | {' | '.join(cells)} |")
    return lines


def _claim(seen: Seen, chosen: NDArray[np.bool_]) -> list[str]:
    if not chosen.any():
        return ["–"] * 3
    claimed, right = float(seen.confidence[chosen].mean()), float(seen.right[chosen].mean())
    return [f"{claimed:.3f}", f"{right:.3f}", f"{claimed - right:+.3f}"]


def risk_table(part: KeypointLogistic, sets: dict[str, Seen], names: tuple[str, ...]) -> list[str]:
    """What `--risk` accepts in each form, and how much of it is a gross error."""
    columns = [(name, form) for name in sets for form in FORMS]
    said = " | ".join(f"{name}, {FORMS[form]}: accepted, % | wrong of accepted" for name, form in columns)
    lines = [f"| keypoint | threshold | bound, % | {said} |", "|---|--:|--:|" + "--:|" * (2 * len(columns))]
    for keypoint in FACE:
        k = names.index(keypoint)
        granted = guarantee(part.ladders[k], RISK)
        if granted.bound is None:
            lines.append(f"| {keypoint} | – | {granted.reason} |" + " – |" * (2 * len(columns)))
            continue
        cells = []
        for name, form in columns:
            seen = sets[name]
            mine = (seen.keypoint == k) & (seen.form == form) & ~seen.cut
            taken = mine & seen.placed & (seen.confidence >= granted.threshold)
            cells += [
                f"{100 * taken.sum() / max(1, mine.sum()):.0f}",
                f"{(taken & ~seen.right).sum()} of {taken.sum()}",
            ]
        lines.append(f"| {keypoint} | {granted.threshold:.4f} | {100 * granted.bound:.1f} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of coco/")
    parser.add_argument("--model", default="unified", help="shipped model's name, or an .onnx file")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    predictor = load_predictor(given.model, threads=given.threads)
    calibration = predictor.metadata.calibration
    if calibration is None or calibration.evidence is None:
        raise BadArgumentError(f"{given.model} is not calibrated: run poseunion calibrate.")
    part, skeleton = calibration.evidence, predictor.skeleton
    sets: dict[str, Seen] = {}
    for name, everyone in (("test", True), ("train", False)):
        source = Source(given.data / "coco" / f"{name}.json", given.data / "coco" / name)
        views = views_of([source], skeleton, everyone=everyone)
        views = [v for v in views if everyone or is_for_guarantee(v.person.image.name)]
        tried, _ = try_out(
            predictor, views, calibration.tempering, calibration.size_bounds, calibration.picture.features
        )
        assert tried.evidence is not None
        # Both forms of the same people: who has too few joints for MPII's is left out of both.
        key = [(str(v.person.image), v.person.person_id, v.window_xyxy) for v in tried.predicted.views]
        both = {k for k, v in zip(key, tried.predicted.views, strict=True) if v.form == MPII}
        wanted = np.array([k in both for k in key])
        whole = sum(v.form == MPII and v.window_xyxy is None for v in tried.predicted.views)
        title = f"{whole} of coco/{name}" + ("" if everyone else ", held out")
        sets[title] = seen_of(part, tried.evidence, tried.predicted, wanted)
    names, threshold = calibration.keypoints, predictor.metadata.confidence_threshold
    note = [
        "# Faces in COCO's form and in MPII's",
        "",
        f"Date: {datetime.date.today().isoformat()}  ",
        f"Command: `{shlex.join(['python', *sys.argv])}`  ",
        f"Machine: {machine()}  ",
        f"Commit: {commit(Path(__file__))}  ",
        f"Model: {predictor.name}, sha256 {predictor.sha256[:12]}  ",
        f"Fitted on {calibration.people}.  ",
        f"The guarantees rest on {calibration.guarantee_people}.",
        "",
        "People without their faces, the other labels given. Right: in the picture, and within the OKS-.5 radius of "
        "the person's own area. The second set is that of the guarantees: only its confidences are a measurement.",
        "",
        f"## Claimed and right, whole people; accepted from {threshold:g}",
        "",
        *claims_table(sets, names, threshold, cut=False),
        "",
        "## The same people cut at a border",
        "",
        *claims_table(sets, names, threshold, cut=True),
        "",
        f"## `--risk {RISK:g}`, whole people ({100 * CONFIDENCE:g} % confidence a keypoint)",
        "",
        *risk_table(part, sets, names),
    ]
    print("\n".join(note))


if __name__ == "__main__":
    main()
