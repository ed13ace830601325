"""Keypoint conditioning: missing keypoints from logits, labelled keypoints and a pose prior as a product of experts.

There are two experts for a missing keypoint. The *picture*: the student's distributions over columns and rows, with
temperatures fitted on people outside its training set. The *prior*: the distribution given the known joints without
the picture (`models.conditioning.prior`); in a second round also given the picture's estimates of the other missing
joints in the first. At the known joints the student's error on this very person can be measured; so the picture's
expert is a mixture of three hypotheses, weighed by that:

- own: the keypoint is at the peak of its own channel, corrected by the errors at the known joints (errors of one
  person are correlated);
- swapped: left and right are exchanged, and it is at the peak of its mirror's channel;
- lost: the peak is on something else (another person, for example), and the distribution is uninformative.

posterior(u, v) is proportional to picture(u, v)^a * prior(u, v)^b on a grid of cells over the crop. The estimate is the
point of the highest expected OKS, not the highest peak.

Shapes: N people, K keypoints, W and H bins, P missing keypoints of all people, U and V cells across and down.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration.conditioning_parameters import ConditioningParameters
from poseunion.models.codec.crop import Crop
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.conditioning.features import Conditioned
from poseunion.models.conditioning.posterior import PosteriorFusion, listed
from poseunion.models.conditioning.prior import Prior
from poseunion.models.conditioning.probability_maps import CropGrid
from poseunion.models.skeleton import Skeleton

# Cells along the longer side of the crop, in the first round and in the second: 3 px of 256, a twentieth of a torso.
# Positions are found between cells.
COARSE, FINE = 32, 84


def fuse(
    logit_x_NKW: NDArray[np.floating],
    logit_y_NKH: NDArray[np.floating],
    grid: SimccGrid,
    crops: Sequence[Crop],
    known_xy_NK2: NDArray[np.floating],
    known_NK: NDArray[np.bool_],
    prior: Prior,
    *,
    skeleton: Skeleton | None = None,
    tempering: ConditioningParameters | None = None,
    area_N: NDArray[np.floating] | None = None,
    image_wh_N2: NDArray[np.floating] | None = None,
    wanted_NK: NDArray[np.bool_] | None = None,
    inside: bool = False,
    use_prior: bool = True,
    use_picture: bool = True,
) -> Conditioned:
    """Keypoints from the student's logits, the labelled keypoints and the prior.

    Args:
        logit_x_NKW, logit_y_NKH: on mmpose's beta-10 scale, as the network gives them.
        crops: what each person's network input showed; upright, as `Predictor.cut` makes them.
        known_xy_NK2: image px, in the model's definitions; what an unknown keypoint holds does not matter.
        skeleton: of the K keypoints; None: the prior's. Keypoints that the prior lacks come from the picture alone.
        area_N: the people's areas, px^2, for OKS; None: .53 of the crop's box.
        image_wh_N2: sizes of the pictures, for `prior_inside` and `inside`.
        wanted_NK: which missing keypoints to predict; the others get the mean and deviation of the first round
            (without the picture: nothing) and features of 0. None: all.
        inside: whether to add the feature of that name, which only `InPicture` reads: a pass over each map.
        use_prior, use_picture: off leaves an expert out, for ablations.
    """
    skeleton, tempering = skeleton or prior.skeleton, tempering or ConditioningParameters()
    scene = PosteriorFusion(
        logit_x_NKW, logit_y_NKH, grid, crops, known_xy_NK2, known_NK, prior, skeleton, tempering, area_N, inside=inside
    )
    missing = ~scene.known
    wanted = missing if wanted_NK is None else missing & wanted_NK
    people, joints = listed(wanted)
    experts, fine = (use_picture, use_prior), CropGrid(grid, FINE)
    if not use_picture:  # without the picture there are no estimates of other joints, and no second round
        plain = scene.prior_of_known.of(people, joints)
        return Conditioned(
            *scene.conclude(scene.posteriors(people, joints, plain, fine, experts, image_wh_N2)), scene.score
        )
    everything = listed(missing)
    first = scene.posteriors(
        *everything, scene.prior_of_known.of(*everything), CropGrid(grid, COARSE), experts, None, only_moments=True
    )
    context = scene.prior_in_context(people, joints, first)
    second = scene.posteriors(people, joints, context, fine, experts, image_wh_N2)
    first |= {"x": first["mean_x"], "y": first["mean_y"]}
    final = {name: np.where(wanted, second[name], first[name]) for name in first}
    return Conditioned(*scene.conclude(final), scene.score)
