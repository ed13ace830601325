"""Strengths of augmentation, by default those of mmpose's RTMPose recipe.

`Augmentation()` is mmpose 1.3.2's `train_pipeline` of configs/body_2d_keypoint/rtmpose/coco/
rtmpose-t_8xb256-420e_coco-256x192.py, `Augmentation().mild()` its `train_pipeline_stage2`. What the config leaves open
are the defaults of mmpose's RandomHalfBody and RandomBBoxTransform, of mmdet's YOLOXHSVRandomAug and of albumentations'
Blur and MedianBlur. Low resolution is ours, and off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from poseunion.models.errors import BadArgumentError


@dataclass(frozen=True)
class Augmentation:
    """Strengths; 0 or a probability of 0 turns a part off.

    Attributes:
        rotation_deg, scale, shift: bounds of normal distributions that are cut at one standard deviation.
        shift: share of the padded box's width and height.
        hsv: largest change of hue (of 180), saturation and value (of 255).
        blur_prob: of the box blur, and again of the median blur; kernels of 3, 5 or 7 px.
        dropout_side: sides of the one blackened rectangle, as a share of the crop's.
        low_res_prob: of shrinking the crop and enlarging it again, as if the person were small in the picture.
        low_res_height_px: lowest and highest height of the shrunken crop.
    """

    rotation_deg: float = 80.0
    rotation_prob: float = 0.6
    scale: tuple[float, float] = (0.6, 1.4)
    shift: float = 0.16
    shift_prob: float = 0.3
    half_body_prob: float = 0.3
    flip_prob: float = 0.5
    hsv: tuple[int, int, int] = (5, 30, 30)
    blur_prob: float = 0.1
    dropout_prob: float = 1.0
    dropout_side: tuple[float, float] = (0.2, 0.4)
    low_res_prob: float = 0.0
    low_res_height_px: tuple[int, int] = (24, 96)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            values = value if isinstance(value, tuple) else (value,)
            highest = 1.0 if field.name.endswith("_prob") or field.name == "dropout_side" else math.inf
            if not all(math.isfinite(v) and 0 <= v <= highest for v in values):
                raise BadArgumentError(f"augmentation.{field.name} is {value}: give numbers from 0 to {highest:g}.")
        for name in ("scale", "dropout_side", "low_res_height_px"):
            low, high = getattr(self, name)
            if low > high or (low == 0 and name != "dropout_side"):
                raise BadArgumentError(f"augmentation.{name} is {low},{high}: give the lower bound first, above 0.")

    def mild(self) -> Augmentation:
        """RTMPose's last stage: no shift, less scale and rotation, dropout half of the time; never more than before."""
        return replace(
            self,
            shift_prob=0.0,
            scale=(max(self.scale[0], 0.75), min(self.scale[1], 1.25)),
            rotation_deg=min(self.rotation_deg, 60.0),
            dropout_prob=min(self.dropout_prob, 0.5),
        )


NONE = Augmentation(0, 0, (1, 1), 0, 0, 0, 0, (0, 0, 0), 0, 0)
