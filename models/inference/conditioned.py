"""Predictor conditioned on a person's labelled keypoints: logits, pose prior and labels together.

Shapes: N people, K keypoints of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from poseunion.models.calibration.in_picture import features_with_labels
from poseunion.models.calibration.schema import KeypointLogistic
from poseunion.models.codec.crop import Crop
from poseunion.models.conditioning.features import evidence_features
from poseunion.models.conditioning.fusion import fuse
from poseunion.models.conditioning.prior import PRIOR_PATH, load_prior
from poseunion.models.errors import ModelError
from poseunion.models.files import sha256_of
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.inference.predictor import Predictor, box_of_crop
from poseunion.models.poses.batch import PoseBatch


class ConditionedPredictor(Predictor):
    """Predictor that fuses a calibrated SimCC model with the shipped prior and a person's labelled keypoints.

    Args:
        predictor: the model and its options.

    Raises:
        ModelError: the model was not calibrated with labelled keypoints, or with another prior.
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
        self._unconditioned = predictor
        calibration = self.metadata.calibration
        if calibration is None or calibration.evidence is None:
            raise ModelError(f"{model.path} was not calibrated with labelled joints: run poseunion calibrate.")
        self.prior, self._prior_sha256 = load_prior(), sha256_of(PRIOR_PATH)
        if calibration.prior != self._prior_sha256:
            raise ModelError(f"{model.path} was calibrated with another prior: run poseunion calibrate again.")
        self.calibration, self.evidence = calibration, calibration.evidence

    @property
    def uses_labels(self) -> bool:
        """Whether labelled keypoints condition the prediction of the others."""
        return True

    @property
    def calibration_part(self) -> KeypointLogistic:
        """Part of the calibration that the confidences come from."""
        return self.evidence

    @property
    def prior_sha256(self) -> str:
        """SHA-256 of the pose prior."""
        return self._prior_sha256

    def cut_crop(self, image: NDArray[np.uint8], crop: Crop) -> NDArray[np.uint8]:
        """Pixels of a crop, as the model wants them."""
        return self._unconditioned.cut_crop(image, crop)

    def outputs(self, crop_NHW3: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Raw outputs, see `read`."""
        return self.read(crop_NHW3)[0]

    def read(self, crop_NHW3: NDArray[np.uint8]) -> tuple[list[NDArray[np.float32]], NDArray[np.float32] | None]:
        """As of the predictor without labels."""
        return self._unconditioned.read(crop_NHW3)

    def alone(self) -> ConditionedPredictor:
        """The same predictor with a single-threaded model, see `Predictor.alone`."""
        beside = copy.copy(self)
        beside._unconditioned = self._unconditioned.alone()
        beside.model = beside._unconditioned.model
        return beside

    def predict_crops(
        self,
        crop_NHW3: NDArray[np.uint8],
        crops: Sequence[Crop],
        labels_NK3: NDArray[np.floating] | None = None,
        image_wh_N2: NDArray[np.floating] | None = None,
        wanted_NK: NDArray[np.bool_] | None = None,
    ) -> PoseBatch:
        """Keypoints conditioned on the labelled ones, with `sd_px` and `disagreement`; see `PosePredictor`.

        Without labels as `Predictor.predict_crops`.
        """
        if labels_NK3 is None or image_wh_N2 is None:
            return super().predict_crops(crop_NHW3, crops, image_wh_N2=image_wh_N2)
        return self.conditioned(self.read(crop_NHW3), crops, labels_NK3, image_wh_N2, wanted_NK)

    def conditioned(
        self,
        read: tuple[list[NDArray[np.float32]], NDArray[np.float32] | None],
        crops: Sequence[Crop],
        labels_NK3: NDArray[np.floating],
        image_wh_N2: NDArray[np.floating],
        wanted_NK: NDArray[np.bool_] | None = None,
    ) -> PoseBatch:
        """Keypoints from what `read` gave for the crops: one network call serves several sets of labels."""
        (outputs, apart), known_NK = read, labels_NK3[..., 2] > 0
        found = fuse(
            outputs[0],
            outputs[1],
            self.metadata.grid,
            crops,
            labels_NK3[..., :2],
            known_NK,
            self.prior,
            skeleton=self.skeleton,
            tempering=self.calibration.tempering,
            image_wh_N2=image_wh_N2,
            wanted_NK=wanted_NK,
            inside=self.evidence.in_picture is not None,
        )
        bounds, sigma = self.calibration.size_bounds, self.skeleton.sigma_array
        feature = evidence_features(found.score_NK, bounds, found, crops, image_wh_N2, sigma)
        disagreement = found.features["disagreement"]
        if apart is not None:
            disagreement = np.maximum(disagreement, apart)
        score = self.evidence.probability(feature).astype(np.float32)
        if wanted_NK is not None:
            score[~known_NK & ~wanted_NK] = 0
        in_picture = None
        if self.evidence.in_picture is not None:
            feature = features_with_labels(feature, found.features["inside"])
            in_picture = np.maximum(self.evidence.in_picture.probability(feature).astype(np.float32), score)
        return PoseBatch(
            self.skeleton,
            found.xy_NK2.astype(np.float32),
            score,
            np.array([box_of_crop(crop, self.padding) for crop in crops], np.float32),
            raw_score=found.score_NK,
            sd_px=found.sd_px_NK.astype(np.float32),
            disagreement=disagreement.astype(np.float32),
            in_picture=in_picture,
        )


def supports_labels(predictor: PosePredictor) -> bool:
    """Whether a model was calibrated with labelled keypoints, so that they can condition its prediction."""
    calibration = predictor.metadata.calibration
    return calibration is not None and calibration.evidence is not None
