"""A predictor that is told what humans labelled of each person: picture, prior and known joints together.

Shapes: N people, K keypoints of the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration import evidence_features
from poseunion.models.errors import ModelError
from poseunion.models.evidence import conditioned
from poseunion.models.files import sha256_of
from poseunion.models.geometry import Crop
from poseunion.models.predictor import Predictor
from poseunion.models.prior import PRIOR_PATH, load_prior

# Columns of `InformedPredictor.propose`.
X, Y, SCORE, SD, DISAGREEMENT = range(5)


class InformedPredictor(Predictor):
    """A calibrated SimCC model and the shipped prior.

    Args:
        predictor: the model and its options.

    Raises:
        ModelError: the model was not calibrated with evidence, or with another prior.
    """

    def __init__(self, predictor: Predictor) -> None:
        model = predictor.model
        super().__init__(
            model,
            flip=predictor.flip,
            refine=predictor.refine,
            antialias=predictor.antialias,
            batch_size=predictor.batch_size,
        )
        calibration = self.metadata.calibration
        if calibration is None or calibration.evidence is None:
            raise ModelError(f"{model.path} was not calibrated with labelled joints: run poseunion calibrate.")
        self.prior, self.prior_sha256 = load_prior(), sha256_of(PRIOR_PATH)
        if calibration.prior != self.prior_sha256:
            raise ModelError(f"{model.path} was calibrated with another prior: run poseunion calibrate again.")
        self.calibration, self.evidence = calibration, calibration.evidence

    def propose(
        self,
        crop_NHW3: NDArray[np.uint8],
        crops: Sequence[Crop],
        known_NK3: NDArray[np.floating],
        wh_N2: NDArray[np.floating],
    ) -> NDArray[np.float32]:
        """Keypoints given those that are known; one network call (two with the flip test).

        Args:
            known_NK3: x, y in image px and whether it is known (> 0), in the definitions of the model's skeleton.
            wh_N2: sizes of the people's pictures, px.

        Returns:
            (N, K, 5): x, y in image px, confidence, standard deviation in image px an axis, and the distance between
            picture and prior in OKS-.5 radii.
        """
        outputs = self.outputs(crop_NHW3)
        known = known_NK3[..., 2] > 0
        found = conditioned(
            outputs[0],
            outputs[1],
            self.metadata.grid,
            crops,
            known_NK3[..., :2],
            known,
            self.prior,
            skeleton=self.skeleton,
            tempering=self.calibration.tempering,
            image_wh_N2=wh_N2,
        )
        bounds, sigma = self.calibration.size_bounds, self.skeleton.sigma_array
        feature = evidence_features(found.score_NK, bounds, found, crops, wh_N2, sigma)
        columns = [self.evidence.probability(feature), found.sd_px_NK, found.features["disagreement"]]
        return np.concatenate([found.xy_NK2, np.stack(columns, -1)], -1).astype(np.float32)


def is_informable(predictor: Predictor) -> bool:
    """Was the model calibrated with labelled joints?"""
    calibration = getattr(predictor.metadata, "calibration", None)
    return calibration is not None and calibration.evidence is not None
