"""Compare: the same people by several models, each at decreasing resolution."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from poseunion.app.demo.canvas import tiles
from poseunion.app.demo.guard.uploads import Bounds, guarded
from poseunion.app.demo.inference import RESOLUTIONS, PicturePeople, PoseEstimator, displayed_as, person_downscaled
from poseunion.app.demo.pictures import figure
from poseunion.app.pose_records import draw
from poseunion.models.errors import ItemError

HOW = "The people of <em>Try it</em>: a row a model, a column a resolution of each person (64 and 32 px are simulated)."
# Models compared at first: the default, and the one for small people where it is offered.
SMALL_PEOPLE = "unified-64"
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


def compared_first(models: list[str]) -> list[str]:
    """Models that are compared until the visitor chooses others: the first, beside the one for small people.

    >>> compared_first(["unified", "unified-32", "unified-64"]), compared_first(["a", "b", "c"])
    (['unified', 'unified-64'], ['a', 'b'])
    """
    first, *others = models
    return [first, *([SMALL_PEOPLE] if SMALL_PEOPLE in others else others[:1])]


def compare_tab(estimator: PoseEstimator, found: gr.State, tab: gr.Tab, heavy: dict[str, Any], bounds: Bounds) -> None:
    """Build the tab; it compares when it is opened, within `bounds`."""
    gr.HTML(f"<p>{HOW}</p>", padding=False)
    models = estimator.distinct_models()
    chosen = gr.CheckboxGroup(
        models, value=compared_first(models), label="Models", elem_id="compared", visible=len(models) > 1
    )
    shown = tiles("tiles")

    @guarded(lambda sentence: f"<p class='canvas-status canvas-error'>{escape(sentence)}</p>", bounds)
    def compare(before: PicturePeople | None, chosen: list[str]) -> str:
        if before is None:
            raise ItemError("There are no people to compare yet: choose a picture in Try it.")
        if not chosen:
            raise ItemError("No model is chosen: choose at least one.")
        image = before.picture.pixels()
        box = before.poses.box_xywh.astype(np.float64)
        variants = [Variant(model, resolution) for model in models if model in chosen for resolution in RESOLUTIONS]
        return f"<div class='compare'>{''.join(_tile(estimator, image, box, v) for v in variants)}</div>"

    gr.on([tab.select, chosen.input], compare, [found, chosen], shown, trigger_mode="always_last", **heavy)


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
