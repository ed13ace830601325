"""Accuracy of the annotator model (`models.calibration.annotator_model`): labelled or left out, visible or occluded.

    python benchmarks/annotation/labelling.py --model unified --annotations coco/test.json --images coco/test

Of people that no fit saw: of the face, the area under the ROC curve and the share right of *labelled* (v > 0 against
v = 0), and what becomes of proposals at even odds of confidence with and without the rule; of every keypoint the same
of *occluded* (v = 1 against v = 2), beside the share right of always writing v = 2. `--held-out` takes only the people
that the calibration kept for its guarantee, of a file that the model was trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration.conditioning_parameters import parameters_beside
from poseunion.models.inference.predictor import load_predictor
from poseunion.models.skeleton import Visibility, sideless
from poseunion.training.calibration.fit_annotator_model import with_enough_labels
from poseunion.training.calibration.fit_calibration import confidence_of, try_out
from poseunion.training.calibration.samples import read_views
from poseunion.training.data.splits import is_for_guarantee, is_held_out


def auc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Probability that a positive one scores above a negative one; NaN where one kind is missing."""
    above, below = score[positive][:, None], score[~positive][None]
    return float(((above > below) + 0.5 * (above == below)).mean()) if above.size and below.size else float("nan")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="unified")
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--held-out", action="store_true")
    given = parser.parse_args()
    predictor = load_predictor(given.model)
    calibration = predictor.metadata.calibration
    if calibration is None or calibration.evidence is None or calibration.evidence.labelling is None:
        raise SystemExit(f"{given.model} has no fit of labels: run poseunion calibrate.")
    part, labelling = calibration.evidence, calibration.evidence.labelling

    def wanted(name: str) -> bool:
        return not given.held_out or (is_held_out(name) and is_for_guarantee(name))

    views = read_views(given.annotations.stem, given.annotations, given.images, predictor.skeleton, wanted)
    tempering = parameters_beside(predictor.model.path)
    tried, _ = try_out(predictor, views, tempering, calibration.size_bounds, calibration.picture.features)
    samples = tried.labels
    assert samples is not None
    confidence = confidence_of(part, samples)
    names = [predictor.skeleton.keypoints[k] for k in samples.keypoint]
    kind = np.array([sideless(name) for name in names])
    labelled, occluded = samples.visibility > 0, samples.visibility == Visibility.OCCLUDED
    likely = labelling.labelled_probability(names, confidence, samples.geometry)
    hidden = labelling.occluded_probability(names, confidence, samples.geometry)
    enough = with_enough_labels(samples, predictor.skeleton)
    keep, sure = likely >= labelling.threshold, confidence >= 0.5
    print(f"{len(tried.predicted.views)} people; labelled at {labelling.threshold}")
    print("labelled: keypoint, labelled, left out, AUC, right; accepted of either by confidence, and by the rule, too")
    for name in labelling.labelled:
        yes, no = (enough & (kind == name) & one for one in (labelled, ~labelled))
        right = (keep[yes].sum() + (~keep[no]).sum()) / (yes.sum() + no.sum())
        shares = [sure[yes].mean(), sure[no].mean(), (sure & keep)[yes].mean(), (sure & keep)[no].mean()]
        area = auc(likely[yes | no], labelled[yes | no])
        print(f"{name:10} {yes.sum():4} {no.sum():4} {area:.3f} {right:.3f} ", *(f"{s:.3f}" for s in shares))
    print("occluded: keypoint, v = 2, v = 1, AUC, right, right if always 2, v = 1 found, right of v = 1 written")
    for name in [*labelling.occluded, "all"]:
        mine = labelled & samples.has_occluded
        mine &= np.isin(kind, list(labelling.occluded)) if name == "all" else kind == name
        y, said = occluded[mine], hidden[mine] >= 0.5
        found, true = (said & y).sum() / max(y.sum(), 1), (said & y).sum() / max(said.sum(), 1)
        numbers = (auc(hidden[mine], y), (said == y).mean(), (~y).mean(), found, true)
        print(f"{name:10} {(~y).sum():4} {y.sum():4} ", *(f"{n:.3f}" for n in numbers))


if __name__ == "__main__":
    main()
