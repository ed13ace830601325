"""Recipes of ablations and of papers' tables: what `poseunion train` does not list.

    python benchmarks/training/ablation_recipes.py train --list
    python benchmarks/training/ablation_recipes.py train union_labels --data data.yaml --out runs/union-labels

is the `poseunion` command with these recipes added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from poseunion.training.config.cdkd import Cdkd
from poseunion.training.config.overrides import changed
from poseunion.training.config.recipe import Recipe, Stage
from poseunion.training.config.recipes import (
    RECIPES,
    unified,
    unified_32,
    unified_64,
    unified_imagenet,
    unified_rtmpose,
    unified_s,
)
from poseunion.training.config.recipes_paper_b import (
    CDKD,
    HRNET_AUGMENTATION,
    RESNET_DROPS,
    paper_b,
)


def unified_s_further() -> Recipe:
    """`unified_s` at full resolution only, from weights of it or of `unified_t` (`--init`); needs a GPU."""
    return changed(unified_s(), stages=(Stage((192, 256), 2.0, 1.0, 32),), warmup_steps=100)


def unified_m() -> Recipe:
    """RTMPose-m, 96x128 to 192x256, taught by `unified`, a COCO and an MPII teacher; not shipped: needs a GPU."""
    return unified_rtmpose("m")


# 64 people each: 10 minutes of one quiet core (AVX-512) at 96x128.
ABLATION_STEPS = 400


def _ablation(name: str, **changes: Any) -> Recipe:
    """One budget for all: the equivariant student at 96x128 on both data sets' labels, unless changed by `changes`.

    Steps, not minutes: what else the machine does must not decide which method is better.
    """
    plain = changed(
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
    return changed(plain, **changes)


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


def union_features() -> Recipe:
    """Ablation: `union_labels` and the last map of the shipped `unified` at full resolution as a target."""
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
    """Ablation: `union_agreement`, left and right exchanged where teachers predict them the other way round."""
    return _ablation("union_mended", **OURS, mend_sides=True)


def union_cspnext() -> Recipe:
    """Ablation: `union_agreement` on RTMPose-t's backbone, from scratch, under the equivariant head."""
    return _ablation("union_cspnext", **OURS, backbone="cspnext-t", pretrained=False)


def union_rtmpose_t() -> Recipe:
    """Ablation: `union_agreement` with RTMPose-t, from scratch."""
    return _ablation("union_rtmpose_t", **OURS, network="rtmpose-t", pretrained=False)


def cdkd_hrnet_w48_64() -> Recipe:
    """Paper B: HRNet-W48 with a SimCC head at 64x64, SAPE, CCA, learned tau; needs cdkd.teacher (256x256)."""
    return paper_b("cdkd_hrnet_w48_64", "simcc-4", "hrnet_w48", 64, CDKD)


def cca_resnet50_64() -> Recipe:
    """Paper B, Table IX: ResNet-50 at 64x64, classes aligned with an HRNet-W48's; needs cdkd.teacher (256x256)."""
    cdkd = Cdkd(classes="cca", learned=("tau",))
    return paper_b("cca_resnet50_64", "simcc-8", "resnet50", 64, cdkd, epochs=140, lr_drops=RESNET_DROPS)


def sape_hrnet_heatmap_64() -> Recipe:
    """Paper B, Table X: heatmap HRNet-W32 at 64x64, features aligned; needs cdkd.teacher (256x256)."""
    cdkd = Cdkd(features="sape")
    return paper_b("sape_hrnet_heatmap_64", "heatmap-4", "hrnet_w32", 64, cdkd, heatmap_weight=1.0)


def simcc_hrnet_w48_256() -> Recipe:
    """Paper B's teacher: HRNet-W48 with a SimCC head at 256x256."""
    return paper_b("simcc_hrnet_w48_256", "simcc-4", "hrnet_w48", 256, Cdkd())


def hrnet_heatmap_256() -> Recipe:
    """Paper B's teacher of Table X: heatmap HRNet-W32 at 256x256."""
    return paper_b("hrnet_heatmap_256", "heatmap-4", "hrnet_w32", 256, Cdkd(), heatmap_weight=1.0)


LABELS_ALONE: dict[str, Any] = {"alpha": 1.0, "betas": (), "pseudo_weight": 0.0}
# 1.2 passes over COCO's and LSP Extended's 8,000 people in batches of 32; 16 minutes of one quiet core at 192x256.
TUNED_STEPS = 300


def _tuned(name: str, **changes: Any) -> Recipe:
    """`unified` from a converted public network (`--init`), on labels alone unless changed by `changes`."""
    plain = changed(
        unified(), name=name, start="", steps=TUNED_STEPS, datasets=("coco", "lspet"), mend_sides=False, **LABELS_ALONE
    )
    return changed(plain, **changes)


def tuned_coco() -> Recipe:
    """Ablation: the COCO specialist from a public network; half the steps of a union, so that COCO is seen as often."""
    return _tuned("tuned_coco", datasets=("coco",), steps=TUNED_STEPS // 2)


def tuned_lspet() -> Recipe:
    """Ablation: the LSP Extended specialist from a public network; half the steps of a union."""
    return _tuned("tuned_lspet", datasets=("lspet",), steps=TUNED_STEPS // 2)


def tuned_union() -> Recipe:
    """Ablation: both data sets from a public network, labels alone."""
    return _tuned("tuned_union")


def tuned_union_joint() -> Recipe:
    """Ablation: both data sets from a public network, taught as `unified` is."""
    taught = unified()
    changes = {
        "alpha": taught.distillation.alpha,
        "betas": taught.distillation.betas,
        "pseudo_weight": taught.losses.pseudo_weight,
    }
    return _tuned("tuned_union_joint", mend_sides=True, **changes)


def labels_64() -> Recipe:
    """Ablation: `unified_64` without any teacher, from the same start."""
    return changed(unified_64(), name="labels_64", **LABELS_ALONE)


def labels_32() -> Recipe:
    """Ablation: `unified_32` without any teacher, from the same start."""
    return changed(unified_32(), name="labels_32", **LABELS_ALONE)


def _ablation_64(name: str, **changes: Any) -> Recipe:
    """One budget at 64x64 for B's tables: labels, and `unified` as the one teacher."""
    values: dict[str, Any] = {
        # Split 2, as B: 128 bins, four of the teacher's each.
        "stages": (Stage((64, 64), 2.0, 1.0, 64),),
        "steps": ABLATION_STEPS,
        "warmup_steps": 50,
        "pseudo_weight": 0.0,
        "augmentation": HRNET_AUGMENTATION,
        "cdkd": Cdkd(teacher="unified", features="sape", classes="cca", learned=("tau",), learned_rate=10.0),
    }
    return changed(Recipe(name), **{**values, **changes})


def cdkd_64() -> Recipe:
    """Ablation: all of paper B on ImageNet efficientnet_lite0 at 64x64, taught by `unified`."""
    return _ablation_64("cdkd_64")


def cdkd_same_classes() -> Recipe:
    """Ablation, Table V's "same class number": as many bins as the teacher (split 8), classes alone."""
    stages = (Stage((64, 64), 8.0, 1.0, 64),)
    return _ablation_64("cdkd_same_classes", stages=stages, cdkd=Cdkd(teacher="unified", classes="cca"))


def rtmpose_t_64() -> Recipe:
    """Ablation, the naive network: RTMPose-t from scratch at 64x64, whose head sees 2x2 cells; labels alone."""
    return _ablation_64("rtmpose_t_64", network="rtmpose-t", backbone="", pretrained=False, cdkd=Cdkd())


def rtmcc_64() -> Recipe:
    """Ablation: RTMPose's head on CSPNeXt-t's map of stride 8, 8x8 cells at 64x64, from scratch; labels alone."""
    return _ablation_64("rtmcc_64", network="rtmcc-8", backbone="cspnext-t", pretrained=False, cdkd=Cdkd())


ABLATIONS: dict[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe
    for recipe in (
        unified_s_further,
        unified_m,
        coco_only,
        lspet_only,
        union_labels,
        union_no_offsets,
        union_even_sets,
        union_even_keypoints,
        union_features,
        union_one_teacher,
        union_two_teachers,
        union_online,
        union_agreement,
        union_mended,
        union_cspnext,
        union_rtmpose_t,
        cdkd_hrnet_w48_64,
        cca_resnet50_64,
        sape_hrnet_heatmap_64,
        simcc_hrnet_w48_256,
        hrnet_heatmap_256,
        tuned_coco,
        tuned_lspet,
        tuned_union,
        tuned_union_joint,
        labels_64,
        labels_32,
        cdkd_64,
        cdkd_same_classes,
        rtmpose_t_64,
        rtmcc_64,
    )
}


if __name__ == "__main__":
    from poseunion.app.cli import main

    RECIPES.update(ABLATIONS)
    main()
