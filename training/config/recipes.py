"""Recipes: Python functions that return a complete, frozen configuration.

`poseunion train --list` prints them; those of ablations are in `benchmarks/training/ablation_recipes.py`. A value is
overridden on the command line as `name=value`, see `overrides`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from poseunion.models.errors import BadArgumentError
from poseunion.training.config.augmentation import Augmentation
from poseunion.training.config.overrides import changed, with_overrides
from poseunion.training.config.recipe import Recipe, Stage
from poseunion.training.config.recipes_paper_b import PAPER_B_RECIPES

__all__ = ["RECIPES", "Recipe", "Stage", "find_recipe"]


def unified() -> Recipe:
    """The shipped student, trained further from its shipped weights: Lite-HRNet with the equivariant SimCC head.

    Labels, a joint teacher of COCO's keypoints (a data file's `members`), and for the four keypoints of MPII a teacher
    of union21. `start=FILE` starts elsewhere: `unified_branch` has the way from a public network.
    """
    augmentation = Augmentation(
        rotation_deg=60, rotation_prob=0.5, scale=(0.7, 1.3), half_body_prob=0.2, dropout_prob=0.3, low_res_prob=0.15
    )
    return changed(
        Recipe("unified"),
        network="lite-hrnet",
        backbone="",
        pretrained=False,
        start="unified",
        stages=(Stage((192, 256), 2.0, 1.0, 32),),
        # Of the body, a thousandth of each row's size a step: benchmarks/training/start_steps.py has other ways.
        lr=1.5e-3,
        backbone_lr_factor=0.67,
        relative_steps=True,
        weight_decay=0.0,
        warmup_steps=50,
        decay_from=0.4,
        ema_decay=0.995,
        heatmap_weight=0.3,
        alpha=0.5,
        betas=(("coco17", 0.6), ("union21", 0.4)),
        mend_sides=True,
        augmentation=augmentation,
    )


def unified_branch() -> Recipe:
    """The first part of `unified` from a converted public network: the branch of the added keypoints alone.

    `poseunion convert` makes the start; the body is frozen, so that COCO's keypoints stay the same.
    """
    return changed(unified(), name="unified_branch", start="", frozen=("backbone",), lr=2e-3, betas=(("union21", 1.0),))


def unified_fast() -> Recipe:
    """`unified` on 128x160 pixels, from its weights, for video and the demo: two fifths of its pixels."""
    return changed(unified(), name="unified_fast", stages=(Stage((128, 160), 2.0, 1.0, 64),), steps=800)


def unified_small(name: str, rows_px: tuple[int, int], **changes: Any) -> Recipe:
    """`unified` on 96x128 pixels, from its weights; taught as `unified` was.

    The input has more rows than the picture: a published body begins at a quarter of its input. On 64x96 pixels, a
    student of 32 rows found 9 limb joints of 100 fewer on COCO than on 96x128, for .7 of the time.

    Args:
        rows_px: rows of detail that nine of ten crops keep. RTMPose's blurs of 3 to 7 px would erase such a picture.
    """
    augmentation = changed(unified().augmentation, blur_prob=0.0, low_res_prob=0.9, low_res_height_px=rows_px)
    stages = (Stage((96, 128), 2.0, 1.0, 64),)
    return changed(unified(), name=name, stages=stages, augmentation=augmentation, **changes)


def unified_64() -> Recipe:
    """21 keypoints of people on 64 rows of pixels, read as 96x128; from `unified`'s weights."""
    return unified_small("unified_64", (48, 80), steps=1900)


def unified_32() -> Recipe:
    """21 keypoints of people on 32 rows of pixels, read as 96x128; from `unified_64`'s weights."""
    return unified_small("unified_32", (24, 44), start="unified-64", steps=600)


def unified_imagenet() -> Recipe:
    """ImageNet's efficientnet_lite0 with the translation-equivariant SimCC head, from 96x128 to 192x256.

    Milder than RTMPose's augmentation: a run of hours, not days, gains more from undistorted people.
    """
    return changed(
        unified(),
        name="unified_imagenet",
        network="equivariant",
        backbone="efficientnet_lite0",
        pretrained=True,
        start="",
        stages=(Stage((96, 128), 4.0, 0.4, 64), Stage((192, 256), 2.0, 1.0, 32)),
        lr=1.5e-3,
        backbone_lr_factor=0.4,
        relative_steps=False,
        weight_decay=0.01,
        warmup_steps=200,
        decay_from=0.5,
        ema_decay=0.998,
        alpha=0.6,
        betas=(("coco17", 0.7), ("mpii16", 0.3)),
    )


def unified_rtmpose(size: str) -> Recipe:
    """RTMPose from scratch, distilled from the shipped student with all 21 keypoints and from both specialists.

    Small batches: from scratch, in hours, the number of steps counts. `benchmarks/training/step_speed.py` measures the
    gain of mixed precision.
    """
    return changed(
        unified_imagenet(),
        name=f"unified_{size}",
        network=f"rtmpose-{size}",
        backbone="",
        pretrained=False,
        stages=(Stage((96, 128), 4.0, 0.6, 32), Stage((192, 256), 2.0, 1.0, 32)),
        lr=1.5e-3,
        warmup_steps=300,
        precision="bf16-mixed",
        weight_decay=0.05 if size == "m" else 0.0,
        heatmap_weight=0.0,
        alpha=0.5,
        betas=(("union21", 0.5), ("coco17", 0.4), ("mpii16", 0.1)),
    )


def unified_t() -> Recipe:
    """RTMPose-t, 96x128 to 192x256, distilled from `unified`, a COCO and an MPII teacher; not shipped: needs a GPU."""
    return unified_rtmpose("t")


def unified_s() -> Recipe:
    """RTMPose-s, 96x128 to 192x256, distilled from `unified`, a COCO and an MPII teacher; not shipped: needs a GPU."""
    return unified_rtmpose("s")


def _paper_a(size: str) -> Recipe:
    return changed(
        Recipe(f"paper_a_{size}"),
        network=f"rtmpose-{size}",
        pretrained=False,
        stages=(Stage((192, 256), 2.0, 1.0, 256),),
        epochs=420,
        lr=4e-3,
        weight_decay=0.0,
        warmup_steps=1000,
        warmup_factor=1e-5,
        decay_from=0.5,
        final_lr_factor=0.05,
        mild_from=390 / 420,
        pseudo_weight=0.0,
        heatmap_weight=0.0,
        alpha=0.30,
        betas=(("coco17", 0.45), ("mpii16", 0.25)),
        agreement_mask=False,
        # mmpose leaves the average off for t.
        ema_decay=0.0 if size == "t" else 0.9998,
    )


def paper_a_t() -> Recipe:
    """Paper A's RTMPose-t, from scratch, with its own hyper-parameters: 420 epochs, batch 256, two teachers."""
    return _paper_a("t")


def paper_a_s() -> Recipe:
    """Paper A's RTMPose-s, from scratch, with its own hyper-parameters: 420 epochs, batch 256, two teachers."""
    return _paper_a("s")


RECIPES: dict[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe
    for recipe in (
        *(
            unified,
            unified_branch,
            unified_fast,
            unified_64,
            unified_32,
            unified_imagenet,
            unified_t,
            unified_s,
            paper_a_t,
            paper_a_s,
        ),
        *PAPER_B_RECIPES,
    )
}


def find_recipe(name: str, overrides: list[str]) -> Recipe:
    """A recipe by name, with `key=value` overrides applied.

    Raises:
        BadArgumentError: unknown recipe or key, or a value of the wrong type or out of its range.
    """
    if name not in RECIPES:
        raise BadArgumentError(f"No recipe {name!r}: there are {', '.join(sorted(RECIPES))}.")
    return with_overrides(RECIPES[name](), overrides)
