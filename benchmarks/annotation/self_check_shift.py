"""Alarm rates of `extend --self-check` on honest and shifted people, and what 50 inspections give back.

Each labelled person of files that nothing was fitted on becomes a picture of its own, shown in the settings of
`shifted_people.py`. Its labels are hidden in groups and predicted again, once a setting (kept in `--cache`). A setting
counts as shifted where the points accepted at `--risk` hold more gross errors than that. Draws of 100 people then give

- the share with an alarm;
- the outcome of recalibration on the spot: the accepted points of a draw stand for a file, 50 of them are drawn as
  `annotate audit` draws, their truth is the reviewer's answer, `annotate recalibrate` refits and moves the thresholds.

    python benchmarks/annotation/self_check_shift.py --annotations coco/test.json --images coco/test --cache DIR
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from shifted_people import SHIFTS, scenes, write_people

from poseunion.annotate.audit.recalibration import exposures, fit
from poseunion.annotate.audit.safest_points import largest_safe_set
from poseunion.annotate.audit.sample import draw_weights
from poseunion.annotate.audit.self_check import Masked, compare, mask
from poseunion.annotate.extend.acceptance import AcceptanceRule, acceptance_rule
from poseunion.annotate.formats import read_annotations
from poseunion.annotate.formats.extension import CONFIDENCE_DIGITS
from poseunion.models.inference.conditioned import ConditionedPredictor
from poseunion.models.inference.predictor import load_predictor
from poseunion.training.data.arrays import read_arrays, save_arrays, take


def taken(found: Masked, rule: AcceptanceRule) -> np.ndarray:
    """(S,) which hidden keypoints are accepted."""
    return np.asarray(found.confidence >= rule.threshold_K[found.keypoint])


def inspected(
    found: Masked, rule: AcceptanceRule, sigma: np.ndarray, options: argparse.Namespace, rng: np.random.Generator
) -> tuple[int, int, int]:
    """Points accepted before, points left after recalibration without the inspected ones, and errors among these."""
    points = take(found, taken(found, rule))
    n = len(points.wrong)
    if not n:
        return 0, 0, 0
    names = np.array(rule.keypoints)[points.keypoint]
    confidence = points.confidence.round(CONFIDENCE_DIGITS)
    _, weight = draw_weights(names.tolist(), confidence.tolist())
    drawn = np.argsort(-np.log(rng.random(n)) / weight)[: options.inspections]
    tolerance = sigma[points.keypoint]
    exposure = exposures(dict(zip(names.tolist(), tolerance.tolist(), strict=True)), tolerance)
    function = fit(names[drawn].tolist(), confidence[drawn], points.wrong[drawn], exposure)
    left = np.setdiff1d(np.arange(n), drawn)
    kept = left[largest_safe_set(function, names[left].tolist(), confidence[left], tolerance[left], options.risk)]
    return n, len(kept), int(points.wrong[kept].sum())


def row(setting: str, found: Masked, rule: AcceptanceRule, sigma: np.ndarray, options: argparse.Namespace) -> str:
    """One line of the table."""
    people = np.unique(found.person)
    accepted = taken(found, rule)
    rng = np.random.default_rng(0)
    alarms, outcomes = 0, []
    for _ in range(options.draws):
        drawn = rng.choice(people, min(options.people, len(people)), replace=False)
        part = take(found, np.isin(found.person, drawn))
        alarms += compare(part, rule).alarm
        outcomes.append(inspected(part, rule, sigma, options, rng))
    before, left, wrong = np.array(outcomes).T
    errors = found.wrong[accepted].mean() if accepted.any() else 0.0
    within = np.mean(wrong <= options.risk * left)
    cells = [
        f"**{setting}**" if errors > options.risk else setting,
        str(len(people)),
        str(len(found.wrong)),
        f"{found.wrong.mean():.1%}",
        f"{(1 - found.confidence).mean():.1%}",
        f"{accepted.mean():.1%}",
        f"{errors:.1%}",
        f"{alarms / options.draws:.1%}",
        f"{left.sum() / max(before.sum(), 1):.0%}",
        f"{wrong.sum() / left.sum():.1%}" if left.sum() else "–",
        f"{np.mean(left > 0):.0%}",
        f"{within:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a row a setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="unified")
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the predictions, one file a setting")
    parser.add_argument("--setting", action="append", choices=tuple(SHIFTS), help="default: all")
    parser.add_argument("--most", type=int, default=200, help="people of the file, by lot")
    parser.add_argument("--risk", type=float, default=0.05)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--people", type=int, default=100, help="of a draw")
    parser.add_argument("--inspections", type=int, default=50)
    options = parser.parse_args()
    predictor = ConditionedPredictor(load_predictor(options.model, threads=1))
    rule = acceptance_rule(predictor, risk=options.risk)
    annotations = read_annotations(options.annotations)
    people = None
    heads = [
        *("setting", "people", "hidden", "errors", "predicted", "accepted", "errors of accepted", "alarms"),
        *("left", "errors of left", "draws with any left", "draws within the risk"),
    ]
    print(f"| {' | '.join(heads)} |\n|---|{'--:|' * (len(heads) - 1)}")
    for setting in options.setting or SHIFTS:
        file = options.cache / f"{predictor.sha256[:12]}-{options.annotations.parent.name}-{options.most}-{setting}.npz"
        arrays = read_arrays(file)
        if arrays is None:
            people = scenes(annotations, options.images, options.most) if people is None else people
            with tempfile.TemporaryDirectory() as folder:
                written = write_people(people, annotations.skeleton.keypoints, setting, Path(folder))
                found = mask(read_annotations(written), Path(folder), predictor, 10_000)
            options.cache.mkdir(parents=True, exist_ok=True)
            values = dataclasses.asdict(found)
            save_arrays(file, **{name: value for name, value in values.items() if name != "skipped"})
        else:
            found = Masked(arrays["person"], arrays["keypoint"], arrays["confidence"], arrays["wrong"])
        print(row(setting, found, rule, predictor.skeleton.sigma_array, options), flush=True)


if __name__ == "__main__":
    main()
