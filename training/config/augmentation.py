"""Strengths of augmentation, by default those of mmpose's RTMPose recipe.

`Augmentation()` is mmpose 1.3.2's `train_pipeline` of configs/body_2d_keypoint/rtmpose/coco/
rtmpose-t_8xb256-420e_coco-256x192.py, `Augmentation().mild()` its `train_pipeline_stage2`. What the config leaves open
are the defaults of mmpose's RandomHalfBody and RandomBBoxTransform, of mmdet's YOLOXHSVRandomAug and of albumentations'
Blur and MedianBlur. Low resolution is ours, and off.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic.dataclasses import dataclass

from poseunion.training.config.groups import CHECKED, NotNegative, Range, Share, ShareRange, Whole, WholeRange


@dataclass(frozen=True, config=CHECKED)
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

    rotation_deg: NotNegative = 80.0
    rotation_prob: Share = 0.6
    scale: Range = (0.6, 1.4)
    shift: NotNegative = 0.16
    shift_prob: Share = 0.3
    half_body_prob: Share = 0.3
    flip_prob: Share = 0.5
    hsv: tuple[Whole, Whole, Whole] = (5, 30, 30)
    blur_prob: Share = 0.1
    dropout_prob: Share = 1.0
    dropout_side: ShareRange = (0.2, 0.4)
    low_res_prob: Share = 0.0
    low_res_height_px: WholeRange = (24, 96)

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
