"""End-to-end ONNX export: preprocessing, network and decoder in one graph, from pixels to keypoints and confidences.

Two forms, from the same weights as the plain file:

| form    | inputs                                                                   |
|---------|--------------------------------------------------------------------------|
| crop    | `crop` (N, H, W, 3) uint8 RGB; `crop_to_image` (N, 2, 3) float32         |
| picture | `image` (any height, any width, 3) uint8 RGB; `boxes_xywh` (N, 4) float32 |

Both give `keypoints` (N, K, 2) image px, between the bins, and `confidence` (N, K): calibrated where the model is,
else the raw score between 0 and 1. No flip test.

The picture form samples as `models.codec.crop.cut_crop` does: the picture is halved until a crop pixel covers at most
1.5 of its pixels, then read bilinearly, black outside. Instead of halving the part that one person needs, the graph
halves the whole picture and keeps every size side by side in one atlas, so that all people are read in one go.

Shapes: N people, K keypoints, B bins of an axis, H and W crop size, L sizes of the picture, A atlas width.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention

from poseunion.export.onnx.graph import described, folded
from poseunion.export.onnx.graph_export import traced
from poseunion.models.calibration.schema import MAX_SCORE, MIN_SCORE
from poseunion.models.codec.crop import ANTIALIAS_FROM
from poseunion.models.codec.simcc import BETA, tolerance_kernels, tolerances_px
from poseunion.models.networks.inputs import normalise
from poseunion.models.runtime.description import METADATA_KEY, ModelDescription

Form = Literal["crop", "picture"]
FORMS: tuple[Form, ...] = ("crop", "picture")
# Crops of up to 24 picture pixels a crop pixel are averaged fully: a person as high as a picture of 6,000 rows.
HALVINGS = 4


class Keypoints(nn.Module):
    """Network and decoder: keypoints and confidences from crops and their pixels' size in the picture."""

    weight_KF: Tensor
    kernel_x_KCC: Tensor
    kernel_y_KCC: Tensor

    def __init__(self, network: nn.Module, description: ModelDescription) -> None:
        super().__init__()
        grid = description.grid
        self.network, self.split, self.pooled = network, grid.split, []
        tolerance_px_K = tolerances_px(description.resolved_skeleton.sigmas, grid)
        for axis, bins in zip("xy", grid.bins_wh, strict=True):
            pooled, kernel_KCC = tolerance_kernels(bins, grid.split, tolerance_px_K)
            self.pooled.append(pooled)
            self.register_buffer(f"kernel_{axis}_KCC", torch.from_numpy(kernel_KCC).float())
        calibration = description.calibration
        self.calibrated = calibration is not None
        if calibration is not None:
            weight_KF = torch.tensor(np.asarray(calibration.picture.weights), dtype=torch.float32)
            self.register_buffer("weight_KF", weight_KF)
            self.size_bounds, self.by_expected_oks = calibration.size_bounds, calibration.by_expected_oks

    def forward(self, crop_NHW3: Tensor, scale_N: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints (N, K, 2) in crop px and confidences (N, K) from uint8 crops and image px per crop px."""
        logits = self.network(normalise(crop_NHW3))
        weighed = zip(logits, (self.kernel_x_KCC, self.kernel_y_KCC), self.pooled, strict=True)
        (x_NK, like_x_NK), (y_NK, like_y_NK) = (_expected_position(*axis) for axis in weighed)
        xy_NK2 = torch.stack([x_NK, y_NK], -1) / self.split
        score_NK = torch.minimum(*(logit.amax(-1) for logit in logits)).clamp(0, 1)
        if not self.calibrated:
            return xy_NK2, score_NK
        return xy_NK2, self._confidence(like_x_NK * like_y_NK if self.by_expected_oks else score_NK, scale_N)

    def _confidence(self, score_NK: Tensor, scale_N: Tensor) -> Tensor:
        """Confidences, as `models.calibration.schema.Calibration.from_picture`."""
        score = score_NK.clamp(MIN_SCORE, MAX_SCORE)
        size = scale_N.clamp(*self.size_bounds).log()[:, None].expand_as(score)
        feature_NKF = torch.stack([torch.ones_like(score), score.log(), (1 - score).log(), size], -1)
        return torch.sigmoid((feature_NKF * self.weight_KF).sum(-1))


class CropToKeypoints(nn.Module):
    """End-to-end model of given crops, with the affine map of each back to its picture."""

    def __init__(self, network: nn.Module, description: ModelDescription) -> None:
        super().__init__()
        self.keypoints = Keypoints(network, description)

    def forward(self, crop_NHW3: Tensor, crop_to_image_N23: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints (N, K, 2) in image px and confidences (N, K) from uint8 crops and (N, 2, 3) maps."""
        linear_N22 = crop_to_image_N23[:, :, :2]
        area_N = linear_N22[:, 0, 0] * linear_N22[:, 1, 1] - linear_N22[:, 0, 1] * linear_N22[:, 1, 0]
        xy_NK2, confidence_NK = self.keypoints(crop_NHW3, area_N.abs().sqrt())
        moved = (xy_NK2[:, :, None] * linear_N22[:, None]).sum(-1)
        return moved + crop_to_image_N23[:, None, :, 2], confidence_NK


class ImageToKeypoints(nn.Module):
    """End-to-end model of a whole picture and the boxes of its people."""

    from_middle_HW2: Tensor

    def __init__(self, network: nn.Module, description: ModelDescription) -> None:
        super().__init__()
        self.keypoints = Keypoints(network, description)
        self.size_wh, self.padding = description.size_wh, description.padding
        width, height = self.size_wh
        columns, rows = torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy")
        # Crop pixels counted from the crop's middle, which lies on the box's.
        from_middle = torch.stack([columns - width / 2, rows - height / 2], -1)
        self.register_buffer("from_middle_HW2", from_middle.float())

    def forward(self, image_HW3: Tensor, boxes_xywh_N4: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints (N, K, 2) in image px and confidences (N, K) from a uint8 picture and boxes."""
        width, height = self.size_wh
        center_N2 = boxes_xywh_N4[:, :2] + boxes_xywh_N4[:, 2:] / 2
        extent_N2 = boxes_xywh_N4[:, 2:] * self.padding
        # Image px per crop px, as `crop_from_center` has it.
        scale_N = torch.maximum(extent_N2[:, 0] / width, extent_N2[:, 1] / height)
        xy_NHW2 = center_N2[:, None, None] + self.from_middle_HW2 * scale_N[:, None, None, None]
        crop_NHW3 = self._sampled(image_HW3, xy_NHW2, scale_N)
        xy_NK2, confidence_NK = self.keypoints(crop_NHW3, scale_N)
        middle = torch.tensor([width / 2, height / 2])
        return center_N2[:, None] + (xy_NK2 - middle) * scale_N[:, None, None], confidence_NK

    def _sampled(self, image_HW3: Tensor, xy_NHW2: Tensor, scale_N: Tensor) -> Tensor:
        """Sampled pixels (N, H, W, 3), whole numbers, at `xy`, from the size of the picture that each person needs."""
        halvings_N = torch.ceil(torch.log2(scale_N / ANTIALIAS_FROM)).clamp(0, HALVINGS)
        atlas_13hA, left_L, sizes_L2 = _atlas(image_HW3)
        level_N = halvings_N.long()
        # The centre of block u is at 2u + 1/2 of the size before: (x + 1/2) / 2^l - 1/2.
        xy = (xy_NHW2 + 0.5) * torch.pow(0.5, halvings_N)[:, None, None, None] - 0.5
        # Nothing but the black frame of one pixel is further out; one pixel in from the atlas's edge of this size.
        last_N2 = sizes_L2[level_N][:, None, None]
        inside = torch.minimum(xy.clamp(min=-1), last_N2) + 1
        x = inside[..., 0] + left_L[level_N][:, None, None]
        atlas_wh = torch.stack([_side(atlas_13hA, 3), _side(atlas_13hA, 2)])
        grid = torch.stack([x, inside[..., 1]], -1) * 2 / (atlas_wh - 1) - 1
        width, height = self.size_wh
        read = F.grid_sample(
            atlas_13hA, grid.reshape(1, -1, width, 2), mode="bilinear", padding_mode="zeros", align_corners=True
        )
        return _rounded(read.reshape(3, -1, height, width).permute(1, 2, 3, 0))


def twin_graph(network: nn.Module, description: ModelDescription, form: Form) -> onnx.ModelProto:
    """End-to-end ONNX model with the network's description, and its form under `preprocess`."""
    width, height = description.size_wh
    rng = torch.Generator().manual_seed(0)
    module: nn.Module
    if form == "crop":
        module = CropToKeypoints(network, description)
        crops = torch.randint(0, 256, (2, height, width, 3), generator=rng, dtype=torch.uint8)
        example = (crops, torch.eye(2, 3).expand(2, 2, 3).contiguous())
        inputs = {"crop": {0: "people"}, "crop_to_image": {0: "people"}}
    else:
        module = ImageToKeypoints(network, description)
        picture = torch.randint(0, 256, (96, 80, 3), generator=rng, dtype=torch.uint8)
        example = (picture, torch.tensor([[8.0, 8, 40, 60], [0, 0, 70, 90]]))
        inputs = {"image": {0: "height", 1: "width"}, "boxes_xywh": {0: "people"}}
    outputs = {"keypoints": {0: "people"}, "confidence": {0: "people"}}
    model = folded(traced(module.eval(), example, inputs=inputs, outputs=outputs))
    return described(model, {METADATA_KEY: description.model_dump_json(), "preprocess": form})


def _expected_position(logit_NKB: Tensor, kernel_KCC: Tensor, pooled: int) -> tuple[Tensor, Tensor]:
    """(N, K) bin of one axis and its factor of the expected OKS, as in `models.codec.simcc.decode_expected`."""
    scaled = BETA * logit_NKB
    mass = pooled * F.avg_pool1d((scaled - scaled.amax(-1, keepdim=True)).exp(), pooled)
    expected = ((mass[:, :, None] @ kernel_KCC)[:, :, 0] + torch.finfo(torch.float32).tiny).log()
    top = expected.argmax(-1)
    middle = top.clamp(1, expected.shape[-1] - 2)
    left, centre, right = (expected.gather(-1, (middle + step)[..., None])[..., 0] for step in (-1, 0, 1))
    curvature = left - 2 * centre + right
    bent = curvature < -1e-9
    offset = torch.where(bent, 0.5 * (left - right) / torch.where(bent, curvature, -torch.ones_like(curvature)), 0.0)
    offset = torch.where(top == middle, offset.clamp(-0.5, 0.5), 0.0)
    like = (expected.amax(-1) + 0.25 * (right - left) * offset).exp() / mass.sum(-1)
    return (top + offset) * pooled + (pooled - 1) / 2, like.clamp(max=1)


def _atlas(image_HW3: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Image pyramid in one atlas: all sizes of the picture beside each other, each in a black frame of one pixel.

    Returns:
        (1, 3, H + 2, A) floats; (L,) where each size's frame begins; (L, 2) width and height of each.
    """
    # So many black rows and columns more that a picture of a single pixel can be halved, too.
    least = 2**HALVINGS
    level = F.pad(image_HW3.permute(2, 0, 1)[None].float(), (0, least, 0, least))
    full_height = _side(level, 2)
    framed, sizes, left, start = [], [], [], torch.zeros(())
    for number in range(HALVINGS + 1):
        if number:
            level = _rounded(F.avg_pool2d(level, 2))
        wh = torch.stack([_side(level, 3), _side(level, 2)])
        below = (full_height - wh[1]).long()
        framed.append(F.pad(level, (1, 1, 1, 1 + below)))  # type: ignore[arg-type]  # a tensor while being traced
        sizes.append(wh)
        left.append(start)
        start = start + wh[0] + 2
    return torch.cat(framed, 3), torch.stack(left), torch.stack(sizes)


def _side(map_13hw: Tensor, axis: int) -> Tensor:
    """Length of an axis as a float that the graph computes."""
    return torch._shape_as_tensor(map_13hw)[axis].float()


def _rounded(grey: Tensor) -> Tensor:
    """Rounding to whole numbers, halves up, as in OpenCV."""
    return torch.floor(grey + 0.5)
