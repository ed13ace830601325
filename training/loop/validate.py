"""Validation of a student during training: PCK on people held out by picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from poseunion.models.codec import heatmap, simcc
from poseunion.models.codec.crop import crop_from_box, cut_crop, to_image
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.inputs import normalise
from poseunion.training.data.crop_store import PADDING
from poseunion.training.loop.batch import LabelledStore
from poseunion.training.loop.losses import heatmap_output
from poseunion.training.teachers.pseudo_labels import LIMBS, person_length

BATCH = 64
# Enough for +-2 points; a validation must not cost more than a few per cent of the training.
MAX_PEOPLE = 300
# Key of a score -> its keypoints.
PARTS = {"pck12": LIMBS, "neck": ("upper_neck",), "head_top": ("head_top",)}


def held_out_table(score: Mapping[str, float], stores: Sequence[LabelledStore]) -> str:
    """Table of `held_out_pck`, a row a data set; `–` where no one has the label."""
    from poseunion.models.tables import table

    def cells(name: str) -> list[str]:
        return [f"{score[key]:.1f}" if (key := f"{name}_{part}") in score else "–" for part in PARTS]

    rows = [(s.store.dataset, str(min(len(s.rows), MAX_PEOPLE)), *cells(s.store.dataset)) for s in stores]
    return table(("PCK@.2 of held-out people", "people", "12 limb joints", "upper_neck", "head_top"), rows)


@torch.no_grad()
def held_out_pck(network: nn.Module, grid: SimccGrid, stores: Sequence[LabelledStore]) -> dict[str, float]:
    """PCK@.2 torso of the 12 limbs and of neck and head_top, per dataset, without flip test; keys `NAME_pck12` …"""
    network = network.eval().to(memory_format=torch.channels_last)
    result: dict[str, float] = {}
    for labelled in stores:
        store, rows = labelled.store, labelled.rows[:MAX_PEOPLE]
        skeleton = store.skeleton
        predicted = np.zeros((len(rows), len(skeleton), 2))
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            crops = [crop_from_box(store.box_xywh[i], grid.size_wh, PADDING) for i in part]
            pixels = np.stack([cut_crop(store.pixels(int(i)), c) for i, c in zip(part, crops, strict=True)])
            output = network(normalise(torch.from_numpy(pixels)))
            if isinstance(output, torch.Tensor):
                head = heatmap_output(grid.size_wh, grid.size_wh[0] // output.shape[-1])
                xy, _ = heatmap.decode(output.numpy(), head, grid.size_wh)
            else:
                xy, _ = simcc.decode(output[0].numpy(), output[1].numpy(), grid, refine=True)
            for j, (points, crop) in enumerate(zip(xy, crops, strict=True)):
                predicted[start + j] = to_image(points, crop)
        human = store.certain[rows]
        length = person_length(store.xy[rows], human, store.box_xywh[rows], skeleton)
        hit = np.linalg.norm(predicted - store.xy[rows], axis=-1) <= 0.2 * length[:, None]
        for label, names in PARTS.items():
            columns = [k for k, n in enumerate(skeleton.keypoints) if n in names or n.split("_")[-1] in names]
            counted = human[:, columns]
            if counted.any():
                result[f"{store.dataset}_{label}"] = round(100 * float(hit[:, columns][counted].mean()), 2)
    return result
