"""Recipes: Python functions that return a complete, frozen configuration.

`poseunion train --list` prints them. A value can be overridden on the command line as `name=value`, see `overrides`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from poseunion.models.errors import BadArgumentError
from poseunion.training.augment import Augmentation
from poseunion.training.cdkd.config import Cdkd
from poseunion.training.cdkd.recipes import CDKD_RECIPES
from poseunion.training.overrides import with_overrides
from poseunion.training.recipe import Recipe, Stage

__all__ = ["RECIPES", "Recipe", "Stage", "find_recipe"]


def unified() -> Recipe:
    """The shipped student, trained on from its shipped weights: Lite-HRNet under the equivariant SimCC head.

    Labels, a joint teacher of COCO's keypoints (a data file's `members`), and for the four keypoints of MPII a teacher
    of union21. `start=FILE` starts elsewhere: `unified_branch` has the way from a public network.
    """
    augmentation = Augmentation(
        rotation_deg=60, rotation_prob=0.5, scale=(0.7, 1.3), half_body_prob=0.2, dropout_prob=0.3, low_res_prob=0.15
    )
    return Recipe(
        name="unified",
        network="lite-hrnet",
        backbone="",
        pretrained=False,
        start="unified",
        stages=(Stage((192, 256), 2.0, 1.0, 32),),
        # Of the body, a thousandth of each row's size a step: benchmarks/start_steps.py has other ways.
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

    `poseunion convert` makes the start; the body stays as it is, so that COCO's keypoints do.
    """
    return dataclasses.replace(
        unified(), name="unified_branch", start="", frozen=("backbone",), lr=2e-3, betas=(("union21", 1.0),)
    )


def unified_imagenet() -> Recipe:
    """ImageNet's efficientnet_lite0 under the translation-equivariant SimCC head, from 96x128 to 192x256.

    Milder than RTMPose's augmentation: a run of hours, not days, learns more from people that look like people.
    """
    return dataclasses.replace(
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


def _unified_rtmpose(size: str) -> Recipe:
    """RTMPose from scratch, taught by the shipped student, which knows all 21 keypoints, and by both specialists.

    Small batches: from scratch, in hours, the number of steps counts. Mixed precision: `benchmarks/step_speed.py` has
    what it saves.
    """
    return dataclasses.replace(
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
    """RTMPose-t, 96x128 to 192x256, taught by `unified`, a COCO and an MPII teacher; not shipped: needs a GPU."""
    return _unified_rtmpose("t")


def unified_s() -> Recipe:
    """RTMPose-s, 96x128 to 192x256, taught by `unified`, a COCO and an MPII teacher; not shipped: needs a GPU."""
    return _unified_rtmpose("s")


def unified_s_further() -> Recipe:
    """`unified_s` at full resolution only, from weights of it or of `unified_t` (`--init`); needs a GPU."""
    return dataclasses.replace(unified_s(), stages=(Stage((192, 256), 2.0, 1.0, 32),), warmup_steps=100)


def unified_m() -> Recipe:
    """RTMPose-m, 96x128 to 192x256, taught by `unified`, a COCO and an MPII teacher; not shipped: needs a GPU."""
    return _unified_rtmpose("m")


def _paper_a(size: str) -> Recipe:
    return Recipe(
        name=f"paper_a_{size}",
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


# 64 people each: 10 minutes of one quiet core (AVX-512) at 96x128.
ABLATION_STEPS = 400


def _ablation(name: str, **changes: Any) -> Recipe:
    """One budget for all: the equivariant student at 96x128 on both data sets' labels, unless `changes` say otherwise.

    Steps, not minutes: what else the machine does must not decide which method is better.
    """
    plain = dataclasses.replace(
        unified_imagenet(),
        name=name,
        datasets=("coco", "lspet"),
        stages=(Stage((96, 128), 4.0, 1.0, 64),),
        steps=ABLATION_STEPS,
        warmup_steps=50,
        pseudo_weight=0.0,
        alpha=1.0,
        betas=(),
        mend_sides=False,
    )
    return dataclasses.replace(plain, **changes)


PAPER_A_BOTH = {"alpha": 0.30, "betas": (("coco17", 0.45), ("mpii16", 0.25)), "agreement_mask": False}
OURS = {"pseudo_weight": 0.5, "alpha": 0.6, "betas": (("coco17", 0.7), ("mpii16", 0.3))}


def coco_only() -> Recipe:
    """Ablation: the COCO specialist."""
    return _ablation("coco_only", datasets=("coco",))


def lspet_only() -> Recipe:
    """Ablation: the LSP Extended specialist."""
    return _ablation("lspet_only", datasets=("lspet",))


def union_labels() -> Recipe:
    """Ablation: both data sets, conditional loss, no teacher."""
    return _ablation("union_labels")


def union_no_offsets() -> Recipe:
    """Ablation: `union_labels` without bringing LSP's head_top to MPII's definition."""
    return _ablation("union_no_offsets", definition_offsets=False)


def union_even_sets() -> Recipe:
    """Ablation: `union_labels`, each data set drawn equally often."""
    return _ablation("union_even_sets", sampling_power=0.0)


def union_even_keypoints() -> Recipe:
    """Ablation: `union_labels`, each keypoint weighing the same in the loss."""
    return _ablation("union_even_keypoints", balance_keypoints=True)


def union_token() -> Recipe:
    """Ablation: `union_labels`, the network told which data set a person is from, in training only."""
    return _ablation("union_token", dataset_token=True)


def union_residual() -> Recipe:
    """Ablation: `union_labels`, answers bent to each data set's habits before its labels judge them."""
    return _ablation("union_residual", dataset_residual=True)


def union_features() -> Recipe:
    """Ablation: `union_labels` and the last map of the shipped `unified` at full resolution as a lesson."""
    return _ablation("union_features", cdkd=Cdkd(teacher="unified", features="pointwise"))


def union_one_teacher() -> Recipe:
    """Ablation: both data sets and the COCO teacher alone, as in paper A."""
    return _ablation("union_one_teacher", **{**PAPER_A_BOTH, "betas": (("coco17", 0.45),)})


def union_two_teachers() -> Recipe:
    """Ablation: both data sets and both teachers, with paper A's weights."""
    return _ablation("union_two_teachers", **PAPER_A_BOTH)


def union_online() -> Recipe:
    """Ablation: `union_two_teachers`, asked about every crop instead of remembered."""
    return _ablation("union_online", **PAPER_A_BOTH, online=True)


def union_agreement() -> Recipe:
    """Ablation: pseudo-labels, and both teachers where they agree with the labels or with each other."""
    return _ablation("union_agreement", **OURS)


def union_mended() -> Recipe:
    """Ablation: `union_agreement`, left and right exchanged where teachers say that an annotator confused them."""
    return _ablation("union_mended", **OURS, mend_sides=True)


def union_cspnext() -> Recipe:
    """Ablation: `union_agreement` on RTMPose-t's backbone, from scratch, under the equivariant head."""
    return _ablation("union_cspnext", **OURS, backbone="cspnext-t", pretrained=False)


def union_rtmpose_t() -> Recipe:
    """Ablation: `union_agreement` with RTMPose-t, from scratch."""
    return _ablation("union_rtmpose_t", **OURS, network="rtmpose-t", pretrained=False)


RECIPES: dict[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe
    for recipe in (
        *(unified, unified_branch, unified_imagenet, unified_t, unified_s, unified_s_further, unified_m),
        *(paper_a_t, paper_a_s),
        *(coco_only, lspet_only, union_labels, union_no_offsets, union_even_sets, union_even_keypoints),
        *(union_token, union_residual, union_features),
        *(union_one_teacher, union_two_teachers, union_online, union_agreement, union_mended),
        *(union_cspnext, union_rtmpose_t),
        *CDKD_RECIPES,
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
