"""Which keypoints of a person are proposed: what the dataset does not define and, on request, annotation gaps.

A gap is a keypoint that the dataset defines and its annotators left without a label (visibility 0): hidden, outside
the picture, tiny, or forgotten. The file does not state which, so gaps stay unless they are requested. A person
without a single label was never annotated: there, nothing is a gap.

Shapes: N records, K keypoints of the output.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats.skeleton_match import output_skeleton
from poseunion.models.calibration.annotator_model import VIEW_KEYPOINTS, AnnotatorModel
from poseunion.models.errors import BadArgumentError
from poseunion.models.skeleton import Skeleton, Visibility, derive_midpoints, project, project_indices, sideless


@dataclass(frozen=True)
class Asked:
    """What is proposed.

    Attributes:
        fill_gaps: also what the annotators left out.
        keypoints: only these; None: all that the model has.
    """

    fill_gaps: bool = False
    keypoints: tuple[str, ...] | None = None

    def check(self, dataset: Skeleton, model: Skeleton, *, unlabelled: bool = False) -> None:
        """Refuse names that the model cannot propose, and a choice that leaves nothing to propose.

        Args:
            unlabelled: people without any label are completed, too; see `run.Options`.

        Raises:
            BadArgumentError: naming the keypoint, with close matches.
        """
        if self.keypoints is None:
            return
        if not self.keypoints:
            raise BadArgumentError("--keypoints names none: give some, separated by commas, or leave it out.")
        for name in self.keypoints:
            if name not in model.keypoints:
                raise BadArgumentError(f"--keypoints: {_unknown(name, dataset, model)}")
        if self.fill_gaps or unlabelled:
            return
        if all(name in dataset.keypoints for name in self.keypoints):
            names = ", ".join(self.keypoints)
            raise BadArgumentError(
                f"--keypoints: {dataset.name} defines {names}; what its annotators left out is proposed with "
                "--fill-gaps only."
            )

    def asked(
        self, visibility_NK: NDArray[np.integer], derived_NK: NDArray[np.bool_], skeleton: Skeleton
    ) -> NDArray[np.bool_]:
        """(N, K) keypoints that are proposed if the model has them.

        Args:
            visibility_NK: what humans labelled, in `skeleton`'s order.
            derived_NK: what follows from it.
        """
        wanted = missing = (visibility_NK <= 0) & ~derived_NK
        if not self.fill_gaps:
            wanted = missing & ~_gap(visibility_NK)
        if self.keypoints is None:
            return wanted
        return np.asarray(wanted & np.isin(skeleton.keypoints, self.keypoints))

    def to_predict(
        self, visibility_ND: NDArray[np.int8], dataset: Skeleton, model: Skeleton, labelling: AnnotatorModel | None
    ) -> NDArray[np.bool_]:
        """(N, M) keypoints of the model that the output depends on: what is proposed, and what `labelling` reads.

        Args:
            visibility_ND: what humans labelled, in the dataset's order.
        """
        output = output_skeleton(dataset, model)
        xy, visibility = project(np.zeros((*visibility_ND.shape, 2)), visibility_ND, dataset, output)
        derived = derive_midpoints(xy, visibility, output)[2]
        wanted = self.asked(visibility, derived, output)[:, project_indices(output, model)]
        if labelling is None:
            return wanted
        view = np.isin([sideless(name) for name in model.keypoints], VIEW_KEYPOINTS)
        return wanted | view & (wanted & labelling.says_labelled(model.keypoints)).any(1, keepdims=True)

    def gaps_left(
        self, visibility_NK: NDArray[np.integer], derived_NK: NDArray[np.bool_], skeleton: Skeleton
    ) -> NDArray[np.bool_]:
        """(N, K) gaps that stay because they were not requested; arguments as above."""
        return _gap(visibility_NK) & ~derived_NK & ~self.asked(visibility_NK, derived_NK, skeleton)


def _gap(visibility_NK: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(N, K) gaps: defined keypoints without a label on people with labels."""
    return np.asarray((visibility_NK == Visibility.ABSENT) & (visibility_NK > 0).any(1, keepdims=True))


def _unknown(name: str, dataset: Skeleton, model: Skeleton) -> str:
    if name in dataset.keypoints:
        return f"the model has no {name}: it proposes {', '.join(model.keypoints)}."
    close = difflib.get_close_matches(name, model.keypoints, n=3)
    return f"no keypoint {name!r}: " + (
        f"did you mean {' or '.join(close)}?" if close else f"choose from {', '.join(model.keypoints)}."
    )


def gaps_sentence(gaps: dict[str, int], asked: Sequence[str] | None, fill_gaps: bool) -> str:
    """How many gaps were left as they are, and how to fill them; empty where there are none."""
    if not gaps:
        return ""
    each = ", ".join(f"{name} {count}" for name, count in gaps.items())
    if fill_gaps:
        how = "--keypoints does not name them"
    else:
        how = "--fill-gaps proposes them" + ("" if asked is None else ", if --keypoints names them")
    return f"Gaps left as the annotators left them: {sum(gaps.values())} ({each}); {how}."
