"""Predictor that proposes keypoints: one model or several, conditioned on labelled keypoints, chosen by box size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from poseunion.annotate.extend.plan import CHUNK
from poseunion.models.inference.conditioned import ConditionedPredictor, supports_labels
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.inference.joint import load_models
from poseunion.models.inference.predictor import BATCH_SIZE
from poseunion.models.inference.size_routing import predictor_for_option


def load_proposer(
    models: Sequence[str | Path],
    notice: Callable[[str], None],
    *,
    evidence: bool | None = None,
    route: str = "off",
    turns: str = "none",
    calibration: Path | None = None,
    flip: bool = False,
    device: str = "cpu",
    threads: int | None = None,
    allow_fallback: bool = False,
) -> PosePredictor:
    """Load the predictor of `annotate extend`; the arguments are its options.

    Args:
        notice: receives a line where a joint predictor has no calibration, or a route was made with other weights.
        evidence: whether labelled keypoints condition the others; None: if the model was calibrated for it.

    Raises:
        As `load_predictor`, `load_joint` and `predictor_for_option`. ModelError: `evidence` of a model that was not
            calibrated for it.
    """
    loaded = load_models(
        models,
        turns,
        calibration,
        notice,
        batch_size=BATCH_SIZE if device == "cpu" else CHUNK,
        flip=flip,
        device=device,
        threads=threads,
        allow_fallback=allow_fallback,
    )
    if evidence or (evidence is None and supports_labels(loaded)):
        loaded = ConditionedPredictor(loaded)
    return predictor_for_option(route, str(models[0]), loaded, notice, device=device, threads=threads)
