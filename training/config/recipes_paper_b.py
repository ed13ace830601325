"""Recipes of paper B's low-resolution students; ours are `unified_64` and `unified_32` in `recipes`.

B gives learning rates, epochs and where the rate falls; augmentation is HRNet's and SimCC's. Batch size and what `Cdkd`
holds are ours. The students need a teacher: `cdkd.teacher=runs/NAME/weights.safetensors`, trained by one of the recipes
that end in 256.
"""

from __future__ import annotations

from typing import Any

from poseunion.training.config.augmentation import Augmentation
from poseunion.training.config.cdkd import Cdkd
from poseunion.training.config.overrides import changed
from poseunion.training.config.recipe import Recipe, Stage

# HRNet's and SimCC's on COCO: rotation 45 degrees for 60 %, scale .65 to 1.35, half bodies for 30 %, mirroring.
HRNET_AUGMENTATION = Augmentation(
    rotation_deg=45,
    scale=(0.65, 1.35),
    shift_prob=0.0,
    half_body_prob=0.3,
    hsv=(0, 0, 0),
    blur_prob=0.0,
    dropout_prob=0.0,
)
# Where the rate falls to a tenth in B: HRNet's epochs 170 and 200 of 210, SimpleBaseline's 90 and 120 of 140.
HRNET_DROPS, RESNET_DROPS = (170 / 210, 200 / 210), (90 / 140, 120 / 140)
CDKD = Cdkd(features="sape", classes="cca", learned=("tau",))


def paper_b(name: str, network: str, backbone: str, side: int, cdkd: Cdkd, **changes: Any) -> Recipe:
    """B's training: Adam 1e-3 (AdamW without decay), 210 epochs, split 2."""
    values: dict[str, Any] = {
        "network": network,
        "backbone": backbone,
        "pretrained": False,
        "stages": (Stage((side, side), 2.0, 1.0, 64),),
        "epochs": 210,
        "lr": 1e-3,
        "lr_drops": HRNET_DROPS,
        "weight_decay": 0.0,
        "warmup_steps": 0,
        "mild_from": 1.0,
        "ema_decay": 0.0,
        "pseudo_weight": 0.0,
        "heatmap_weight": 0.0,
        "augmentation": HRNET_AUGMENTATION,
        "cdkd": cdkd,
    }
    return changed(Recipe(name), **{**values, **changes})


def cdkd_hrnet_w32_64() -> Recipe:
    """Paper B: HRNet-W32 with a SimCC head at 64x64, SAPE, CCA, learned tau; needs cdkd.teacher (256x256)."""
    return paper_b("cdkd_hrnet_w32_64", "simcc-4", "hrnet_w32", 64, CDKD)


def cdkd_hrnet_w32_32() -> Recipe:
    """Paper B: HRNet-W32 with a SimCC head at 32x32, SAPE, CCA, learned tau; needs cdkd.teacher (256x256)."""
    return paper_b("cdkd_hrnet_w32_32", "simcc-4", "hrnet_w32", 32, CDKD)


def simcc_hrnet_w32_256() -> Recipe:
    """Paper B's teacher: HRNet-W32 with a SimCC head at 256x256."""
    return paper_b("simcc_hrnet_w32_256", "simcc-4", "hrnet_w32", 256, Cdkd())


PAPER_B_RECIPES = (cdkd_hrnet_w32_64, cdkd_hrnet_w32_32, simcc_hrnet_w32_256)
