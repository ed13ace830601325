"""Training step: forward pass, losses and the optimiser's parameter groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.equivariant import STRIDE
from poseunion.models.networks.inputs import normalise
from poseunion.training.cdkd.distiller import Distiller, forward_parts
from poseunion.training.config.recipe import Recipe
from poseunion.training.loop.batch import Batch
from poseunion.training.loop.device_batch import DeviceBatch
from poseunion.training.loop.losses import (
    balanced,
    conditional_keypoint_loss,
    distillation_loss,
    heatmap_loss,
    heatmap_mse,
    position_loss,
    simcc_labels,
    total_loss,
)
from poseunion.training.loop.relative_adamw import RelativeAdamW

# Modules that are trained beside the student, as `Trained` and a checkpoint name them.
ASIDE = ("distiller",)


class StepOutput(NamedTuple):
    """Output of a training step's forward pass.

    Attributes:
        logits, heat: SimCC logits and heatmap, whichever the student has.
        distilled: parts of paper B's loss, see `Distiller`.
    """

    logits: tuple[Tensor, Tensor] | None
    heat: Tensor | None
    distilled: dict[str, Tensor]


class Trained(nn.Module):
    """The student and its distiller, if any, inside the one forward pass that DDP wraps."""

    def __init__(self, network: nn.Module, distiller: Distiller | None = None) -> None:
        super().__init__()
        self.network, self.distiller = network, distiller

    def aside(self) -> dict[str, dict[str, Tensor]]:
        """State of what is trained beside the student."""
        return {name: part.state_dict() for name in ASIDE if (part := getattr(self, name)) is not None}

    def load_aside(self, state: dict[str, dict[str, Tensor]]) -> None:
        """What `aside` gave."""
        for name, values in state.items():
            self.get_submodule(name).load_state_dict(values)

    def forward(self, image_N3HW: Tensor, wide_NHW3: Tensor | None, flip_N: Tensor, progress: float) -> StepOutput:
        """Logits and distillation losses of a batch; `flip_N`: which crops are mirrored."""
        features, logits, heat = forward_parts(self.network, image_N3HW)
        distilled = {}
        if self.distiller is not None:
            assert wide_NHW3 is not None
            distilled = self.distiller(features, logits, wide_NHW3, flip_N, progress)
        return StepOutput(logits, heat, distilled)


def losses(
    trained: nn.Module,
    batch: Batch | DeviceBatch,
    grid: SimccGrid,
    recipe: Recipe,
    device: torch.device,
    progress: float,
) -> dict[str, Tensor]:
    """The parts of a step's loss; `total` is what is minimised."""
    image = normalise(torch.as_tensor(batch.image_NHW3, device=device))
    xy, weight = torch.as_tensor(batch.xy_NK2, device=device), torch.as_tensor(batch.weight_NK, device=device)
    wide = None if batch.wide_NHW3 is None else torch.as_tensor(batch.wide_NHW3, device=device)
    if recipe.losses.balance_keypoints:
        weight = balanced(weight)
    logits, heat, distilled = trained(image, wide, torch.as_tensor(batch.flip_N, device=device), progress)
    if logits is None:
        assert heat is not None
        parts = heatmap_mse(heat, xy, weight, grid.size_wh)
        return {**parts, **distilled, "total": parts["heatmap"] + distilled.get("cdkd", 0)}
    logit_x, logit_y = logits
    if recipe.losses.task_loss == "position":
        parts = position_loss(logit_x, logit_y, xy, weight, grid)
    else:
        parts = conditional_keypoint_loss(logit_x, logit_y, *simcc_labels(xy, grid), weight)
    task = torch.stack(list(parts.values())).sum()
    if heat is not None and recipe.losses.heatmap_weight:
        parts["heatmap"] = heatmap_loss(heat, xy, weight, STRIDE, trained.network.alignment)  # type: ignore[union-attr,arg-type]
        task = task + recipe.losses.heatmap_weight * parts["heatmap"]
    distil: dict[str, Tensor] = {}
    for name, target in batch.teachers.items():
        distilling = distillation_loss(
            *(logit_x, logit_y),
            *(torch.as_tensor(a, device=device) for a in (target.x_NKW, target.y_NKH, target.weight_NK)),
        )
        parts |= {f"{part}_{name}": value for part, value in distilling.items()}
        distil[name] = distilling["distil_x"] + distilling["distil_y"]
    total = total_loss(task, distil, recipe.distillation.alpha, dict(recipe.distillation.betas))
    # Paper B's eq. 8: its two losses are added to whatever the task loss is.
    return {**parts, **distilled, "total": total + distilled["cdkd"] if distilled else total}


def optimizer_for(trained: Trained, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW for the student and the alignments; the curriculum's parameters have their own rule."""
    settings, student = recipe.optimizer, recipe.student
    return adamw(
        _descending(trained),
        lr=settings.lr,
        backbone_factor=settings.backbone_lr_factor if student.pretrained or student.start else 1.0,
        weight_decay=settings.weight_decay,
        relative_backbone=settings.relative_steps,
    )


def adamw(
    parameters: Iterable[tuple[str, nn.Parameter]],
    *,
    lr: float,
    backbone_factor: float,
    weight_decay: float,
    relative_backbone: bool = False,
) -> torch.optim.AdamW:
    """AdamW of named parameters: a `factor` for the backbone; norms, biases and scales do not decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in parameters:
        groups.setdefault((name.startswith("backbone."), parameter.ndim > 1), []).append(parameter)
    return RelativeAdamW(
        [
            {
                "params": members,
                "factor": backbone_factor if is_backbone else 1.0,
                "weight_decay": weight_decay if is_matrix else 0.0,
                "relative": is_backbone and relative_backbone,
            }
            for (is_backbone, is_matrix), members in groups.items()
        ],
        lr=lr,
    )


def _descending(trained: Trained) -> list[tuple[str, nn.Parameter]]:
    """Parameters that descend on the loss, by name: the student's first, then the alignments'."""
    result = [(name, one) for name, one in trained.network.named_parameters() if one.requires_grad]
    if trained.distiller is not None:
        aligning = trained.distiller.named_parameters()
        result += [(f"distiller.{name}", one) for name, one in aligning if not name.startswith("curriculum.")]
    return result
