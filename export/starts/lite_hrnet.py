"""Conversion of PP-TinyPose's published network (PaddleDetection) to our Lite-HRNet.

Differences: the order of channels inside a module and behind the stem, whose shuffles are absorbed (see
`models.networks.lite_hrnet`); factors of two, where the published graph adds a map to itself, become part of the
weights. Then pairs of layers are equalised: folded batch norm leaves rows of very different scale (rms .17 to 131 in
one depthwise layer), for which no single learning rate works.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from poseunion.export.starts.reader import Start, State
from poseunion.models.networks.lite_hrnet import STAGES, LiteHrnet

# Passes over all pairs; after the third the scales move by less than a percent.
EQUALISING_PASSES = 3
# Heatmaps peak at 1, logits of a distribution over 3,072 cells must be larger. 12 to 26 gave the same COCO AP
# (66.5 to 66.7, coco/train people); training keeps 20.
HEATMAP_GAIN = 20.0


def graph_order() -> list[str]:
    """Names of `LiteHrnet`'s convolutions in the order of the published graph."""

    def separable(prefix: str) -> list[str]:
        return [f"{prefix}.depthwise", f"{prefix}.pointwise"]

    def module(prefix: str, branches: int) -> Iterator[str]:
        for branch in range(branches):
            for unit in ("first", "second"):
                yield f"{prefix}.branches.{branch}.{unit}.expand"
                yield from separable(f"{prefix}.branches.{branch}.{unit}.separable")
        for to in range(branches):
            for source in (other for other in range(branches) if other != to):
                path = f"{prefix}.exchange.{'up' if source > to else 'down'}.{source}_to_{to}"
                if source > to:
                    yield path
                for step in range(to - source):
                    yield from separable(f"{path}.{step}")

    names = ["stem.conv", *separable("stem.left"), "stem.expand", *separable("stem.right"), *separable("to_stride_4")]
    for stage, (branches, modules) in enumerate(STAGES):
        names += separable(f"begin.{stage}")
        for number in range(modules):
            names += module(f"stages.{stage}.{number}", branches)
    return [*names, *(one for step in range(4) for one in separable(f"top_down.steps.{step}")), "heatmap"]


def to_lite_hrnet(read: State) -> State:
    """Equivalent weights of `LiteHrnet` from published weights under our names."""
    state = {name: value.copy() for name, value in read.items()}
    for name, value in read.items():
        layer, _, kind = name.rpartition(".")
        reordered_inputs = ("second.expand", "to_stride_4.pointwise", "begin.0.pointwise")
        if layer.endswith(("second.separable.pointwise", "to_stride_4.depthwise", "begin.0.depthwise")):
            state[name] = np.concatenate([value[0::2], value[1::2]], 0)
        elif kind == "weight" and layer.endswith(reordered_inputs):
            state[name] = np.concatenate([value[:, 0::2], value[:, 1::2]], 1)
        elif ".exchange.down.0_to_" in layer and layer.endswith(".pointwise") and _is_last(layer):
            state[name] = 2 * value
    return equalised(state)


def _is_last(layer: str) -> bool:
    """Whether `….0_to_<to>.<step>.pointwise` is the last step of its path."""
    path, step = layer.split(".")[-3:-1]
    return int(step) == int(path[-1]) - 1


def equalised(state: State) -> State:
    """Cross-layer equalisation: the same function with even scales in consecutive layers (Nagel et al., 2019, eq. 11).

    A channel between two convolutions, with nothing or a ReLU between them, may be divided in the first and multiplied
    in the second.
    """
    state = {name: value.copy() for name, value in state.items()}
    pairs = [
        (f"{name}.depthwise", f"{name}.pointwise")
        for name in (one.removesuffix(".depthwise.weight") for one in state if one.endswith(".depthwise.weight"))
    ]
    pairs += [
        (one.removesuffix(".weight"), f"{one.removesuffix('.expand.weight')}.separable.depthwise")
        for one in state
        if one.endswith(".expand.weight") and "branches" in one
    ]
    for _ in range(EQUALISING_PASSES):
        for first, second in pairs:
            before, after = state[f"{first}.weight"], state[f"{second}.weight"]
            is_depthwise = after.shape[1] == 1 and after.shape[0] == before.shape[0] and second.endswith("depthwise")
            high = np.abs(before).max((1, 2, 3))
            low = np.abs(after).max((1, 2, 3)) if is_depthwise else np.abs(after).max((0, 2, 3))
            scale = np.where((high > 0) & (low > 0), np.sqrt(high / np.maximum(low, 1e-12)), 1.0).astype(np.float32)
            state[f"{first}.weight"] = before / scale[:, None, None, None]
            state[f"{first}.bias"] = state[f"{first}.bias"] / scale
            spread = scale[:, None, None, None] if is_depthwise else scale[None, :, None, None]
            state[f"{second}.weight"] = after * spread
    return state


def _shapes() -> dict[str, tuple[int, ...]]:
    body = LiteHrnet(17).state_dict()
    return {name: tuple(body[f"{name}.weight"].shape) for name in graph_order()}


TINYPOSE = Start(
    name="PP-TinyPose 256x192",
    network="lite-hrnet",
    skeleton="coco17",
    size_wh=(192, 256),
    shapes=_shapes(),
    convert=to_lite_hrnet,
    gain=HEATMAP_GAIN,
    licence="Apache-2.0 (Copyright (c) 2021 PaddlePaddle Authors, PaddleDetection); the weights are linked from the "
    "README of that repository, without a statement of their own",
    published={
        "ca3d0379d1aae07510ef371cac3d12bdfbe8a9aeb9fa1af4cfcf5825e0364526": "PaddlePaddle/PaddleDetection, 2021, "
        "ONNX made from the ncnn files of FeiGeChuanShu/ncnn_Android_PP-TinyPose @1a8515f",
        "4cf53c142239089b6c26bac359fc1ae69ced7e189292131fe52e41cbd2372d68": "PaddlePaddle/PaddleDetection, 2022, as "
        "ONNX from guojin-yan/Csharp_and_OpenVINO_deploy_PP-TinyPose @0f6a4845",
    },
)
