"""Compare: the same people through every model, and through one model with fewer and fewer pixels."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from poseunion.app.demo.guard.uploads import Bounds, guarded
from poseunion.app.demo.inference import RESOLUTIONS, PicturePeople, PoseEstimator, displayed_as, person_downscaled
from poseunion.app.demo.pictures import figure
from poseunion.app.pose_records import draw
from poseunion.models.errors import ItemError

HOW = "The people of <em>Try it</em>, predicted by each model. 64 and 32 px: at reduced resolution (simulated)."
POINT_SCALE = 1.6  # tiles are small


@dataclass(frozen=True)
class Variant:
    """One tile: a model, and its resolution of a person."""

    model: str
    resolution: str

    @property
    def title(self) -> str:
        """Caption of the tile."""
        return self.model if self.resolution == "Full" else f"{self.model}, {self.resolution}"


def variants(estimator: PoseEstimator) -> list[Variant]:
    """Every model at full resolution, then the first with fewer pixels."""
    full = [Variant(model, "Full") for model in estimator.models]
    return [*full, *(Variant(estimator.models[0], r) for r, side in RESOLUTIONS.items() if side is not None)]


def compare_tab(estimator: PoseEstimator, found: gr.State, tab: gr.Tab, heavy: dict[str, Any], bounds: Bounds) -> None:
    """Build the tab; it compares when it is opened, within `bounds`."""
    gr.HTML(f"<p>{HOW}</p>", padding=False)
    tiles = gr.HTML("", elem_id="tiles", apply_default_css=False, padding=False)

    @guarded(lambda sentence: f"<p class='canvas-status canvas-error'>{escape(sentence)}</p>", bounds)
    def compare(before: PicturePeople | None) -> str:
        if before is None:
            raise ItemError("There are no people to compare yet: choose a picture in Try it.")
        image = before.picture.pixels()
        box = before.poses.box_xywh.astype(np.float64)
        return f"<div class='compare'>{''.join(_tile(estimator, image, box, v) for v in variants(estimator))}</div>"

    tab.select(compare, found, tiles, **heavy)


def _tile(estimator: PoseEstimator, image: NDArray[np.uint8], box_N4: NDArray[np.float64], variant: Variant) -> str:
    poses, ms = estimator.poses(image, box_N4, variant.model, variant.resolution)
    side = RESOLUTIONS[variant.resolution]
    seen = image
    if side is not None:
        predictor = estimator.predictor(variant.model)
        for box in box_N4:
            seen = person_downscaled(seen, box, predictor, side)
    view = displayed_as(poses, "Union, 21", "COCO")
    threshold = estimator.threshold(variant.model)
    caption = f"{escape(variant.title)}<span>{int(view.shown(threshold).sum())} keypoints, {ms:.0f} ms</span>"
    return figure(draw(seen, view, threshold, POINT_SCALE), f"The people's keypoints by {variant.title}", caption)
