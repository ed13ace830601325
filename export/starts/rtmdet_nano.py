"""Conversion of the published RTMDet-nano of people (OpenMMLab) to our person detector.

The same layers in the same order; only the colours differ: the published network reads BGR, ours RGB.
"""

from __future__ import annotations

from torch import nn

from poseunion.export.starts.reader import Start, State
from poseunion.models.networks.person_detector import PersonDetector

_STEM = "backbone.stem.0.weight"


def to_rgb(read: State) -> State:
    """Weights with the stem's input channels in the order RGB."""
    return {**read, _STEM: read[_STEM][:, ::-1].copy()}


def _shapes() -> dict[str, tuple[int, ...]]:
    modules = PersonDetector().named_modules()
    return {name: tuple(one.weight.shape) for name, one in modules if isinstance(one, nn.Conv2d)}


RTMDET_NANO = Start(
    name="RTMDet-nano of people",
    network="rtmdet-nano",
    skeleton="",
    size_wh=(320, 320),
    shapes=_shapes(),
    convert=to_rgb,
    licence="Apache-2.0 (OpenMMLab, mmpose's projects/rtmpose); the repository of the file that was converted states "
    "none",
    published={
        "e3c765ccc379bb47e3d776d834a1acb85f7349855d99a30d1c1d4e4e58d8f2e8": "OpenMMLab, mmpose projects/rtmpose, "
        "rtmdet_nano_8xb32-100e_coco-obj365-person, as ONNX from zhouweigogogo/RTMPose-NCNN @2545bbb",
    },
)
