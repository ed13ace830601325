"""Training step: the forward pass and the losses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.equivariant import STRIDE
from poseunion.models.networks.inputs import normalise
from poseunion.training.cdkd.distiller import Distiller, Simcc, forward_parts
from poseunion.training.config.recipe import Recipe
from poseunion.training.loop import losses as loss
from poseunion.training.loop.batch import Batch
from poseunion.training.loop.device_batch import DeviceBatch
from poseunion.training.loop.optimizer import adamw


class StepOutput(NamedTuple):
    """Output of a training step's forward pass.

    Attributes:
        simcc, heat: SimCC logits and heatmap, whichever the student has.
        distillation: losses of the `Distiller`.
    """

    simcc: Simcc | None
    heat: Tensor | None
    distillation: dict[str, Tensor]


class Trained(nn.Module):
    """The student and its distiller, if any, inside the one forward pass that DDP wraps."""

    def __init__(self, network: nn.Module, distiller: Distiller | None = None) -> None:
        super().__init__()
        self.network, self.distiller = network, distiller

    def forward(self, image_N3HW: Tensor, wide_NHW3: Tensor | None, flip_N: Tensor, progress: float) -> StepOutput:
        """Logits and distillation losses of a batch; `flip_N`: which crops are mirrored."""
        features, simcc, heat = forward_parts(self.network, image_N3HW)
        distillation = {}
        if self.distiller is not None:
            assert wide_NHW3 is not None
            distillation = self.distiller(features, simcc, wide_NHW3, flip_N, progress)
        return StepOutput(simcc, heat, distillation)


def losses(
    trained: nn.Module,
    batch: Batch | DeviceBatch,
    grid: SimccGrid,
    recipe: Recipe,
    device: torch.device,
    progress: float,
) -> dict[str, Tensor]:
    """The parts of a step's loss; `total` is minimised."""
    image = normalise(torch.as_tensor(batch.image_NHW3, device=device))
    xy, weight = torch.as_tensor(batch.xy_NK2, device=device), torch.as_tensor(batch.weight_NK, device=device)
    wide = None if batch.wide_NHW3 is None else torch.as_tensor(batch.wide_NHW3, device=device)
    if recipe.losses.balance_keypoints:
        weight = loss.balanced(weight)
    simcc, heat, distillation = trained(image, wide, torch.as_tensor(batch.flip_N, device=device), progress)
    if simcc is None:
        assert heat is not None
        parts = loss.heatmap_mse(heat, xy, weight, grid.size_wh)
        return {**parts, **distillation, "total": parts["heatmap"] + distillation.get("cdkd", 0)}
    logit_x, logit_y = simcc
    if recipe.losses.task_loss == "position":
        parts = loss.position_loss(logit_x, logit_y, xy, weight, grid)
    else:
        parts = loss.conditional_keypoint_loss(logit_x, logit_y, *loss.simcc_labels(xy, grid), weight)
    task = torch.stack(list(parts.values())).sum()
    if heat is not None and recipe.losses.heatmap_weight:
        parts["heatmap"] = loss.heatmap_loss(heat, xy, weight, STRIDE, trained.network.alignment)  # type: ignore[union-attr,arg-type]
        task = task + recipe.losses.heatmap_weight * parts["heatmap"]
    by_teacher: dict[str, Tensor] = {}
    for name, target in batch.teachers.items():
        arrays = (torch.as_tensor(a, device=device) for a in (target.x_NKW, target.y_NKH, target.weight_NK))
        distil = loss.distillation_loss(logit_x, logit_y, *arrays)
        parts |= {f"{part}_{name}": value for part, value in distil.items()}
        by_teacher[name] = distil["distil_x"] + distil["distil_y"]
    total = loss.total_loss(task, by_teacher, recipe.distillation.alpha, dict(recipe.distillation.betas))
    # Paper B's eq. 8: its two losses are added to whatever the task loss is.
    return {**parts, **distillation, "total": total + distillation["cdkd"] if distillation else total}


def optimizer_for(trained: Trained, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW for the student, then the alignments; parameters of the curriculum have their own rule."""
    parameters = list(trained.network.named_parameters())
    if trained.distiller is not None:
        aligning = trained.distiller.named_parameters()
        parameters += [(f"distiller.{name}", one) for name, one in aligning if not name.startswith("curriculum.")]
    return adamw(
        parameters,
        recipe.optimizer,
        trained_backbone=recipe.student.pretrained or bool(recipe.student.start),
        relative="backbone." if recipe.optimizer.relative_steps else None,
    )
