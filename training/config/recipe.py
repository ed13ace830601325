"""What a recipe is: everything that a training run depends on, but for the data."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from poseunion.models.errors import BadArgumentError
from poseunion.training.config.augmentation import Augmentation
from poseunion.training.config.cdkd import Cdkd

NETWORKS = (
    *("equivariant", "lite-hrnet", "rtmpose-t", "rtmpose-s", "rtmpose-m", "rtmpose-l"),
    *(f"{head}-{stride}" for head in ("simcc", "rtmcc", "heatmap") for stride in (4, 8, 16, 32)),
)
TASK_LOSSES = ("kl", "position")
PRECISIONS = ("32-true", "bf16-mixed")
AUGMENT_ON = ("cpu", "device")
_POSITIVE = ("steps", "lr", "clip_norm", "log_every", "draw_ahead")
_SHARES = (
    *("decay_from", "mild_from", "alpha", "pseudo_weight", "final_lr_factor", "warmup_factor", "ema_decay"),
    "sampling_power",
)


@dataclass(frozen=True)
class Stage:
    """A stretch of training at one resolution. The bins stay the same: `split` halves when the size doubles.

    Attributes:
        until: share of the budget at which it ends.
        batch_size: people a step, over all devices.
    """

    size_wh: tuple[int, int]
    split: float
    until: float
    batch_size: int

    def __post_init__(self) -> None:
        if self.batch_size < 1 or min(self.size_wh) < 1 or self.split <= 0:
            raise BadArgumentError(
                f"A stage has {self}: give a batch of at least 1, a size of at least 1x1 px and a split above 0."
            )


@dataclass(frozen=True)
class Recipe:
    """Everything a training run depends on, but for the data.

    Attributes:
        network: `equivariant` (pyramid head on a backbone), `lite-hrnet`, `rtmpose-t|s|m|l`, or a head on a
            backbone's map of a stride of 4, 8, 16 or 32: `simcc-8` (SimCC's), `rtmcc-8` (RTMPose's), `heatmap-4` ….
        start: shipped model or weights file that the run starts from, where the command names none (`--init`).
        backbone: of all but `lite-hrnet` and `rtmpose-…`: a timm name, or `cspnext-t|s|m|l`.
        datasets: names to train on; empty: all of the data file.
        steps: optimiser steps of the whole run; ignored when `epochs` or `minutes` is given.
        epochs: passes over the people, counted with the last stage's batch size.
        minutes: wall-clock budget; the schedule then follows the clock, and the run is not exactly repeatable.
        lr: of the head; the backbone's is `lr * backbone_lr_factor`.
        relative_steps: steps of the backbone count in shares of each row's size, see `relative_adamw`.
        decay_from: share of the budget from which the learning rate falls along a cosine to `lr * final_lr_factor`.
        lr_drops: shares of the budget at which the learning rate falls to a tenth, instead of the cosine.
        mild_from: share of the budget from which augmentation is milder.
        pseudo_weight: weight of a believed pseudo-label; 0 turns them off.
        heatmap_weight: of the two-dimensional cross-entropy of the equivariant head.
        task_loss: `kl` on SimCC, or `position`: paper A's squared distance.
        sampling_power: a data set of n people is drawn from n^power times its weight; 1: every person equally often,
            0: every data set.
        balance_keypoints: each keypoint's labels weigh the same in all, so that the rare ones count as the common.
        definition_offsets: bring a data set's keypoints to the union's definitions (`labels.OFFSETS`).
        alpha, betas: of paper A's eq. 8; betas by the skeleton a teacher was trained on. alpha 1 does not distil.
        agreement_mask: distil only from teachers that agree with the labels, or with each other where there are none.
        mend_sides: exchange left and right where the teachers say that an annotator confused them, see `slips`.
        online: ask the teachers about every augmented crop, instead of the cache of their modes.
        draw_ahead: batches that are drawn beside a step, each by a thread of its own. Which people they hold does not
            depend on it. A GPU wants about as many as there are cores.
        cdkd: what a network of full resolution teaches a student of small pictures, see `cdkd.config.Cdkd`.
        augment_on: `cpu`, or `device`: pixels lie on the GPU and are augmented there, see `device_batch`. The
            distributions are the same, the draws are not.
        compiled: the network's backbone goes through `torch.compile`.
        frozen: names of the network's parts that stay as they are, as in `frozen=backbone.conv_stem,backbone.blocks.0`;
            worth it where a run goes on from trained weights, see `freezing`.
        precision: of the network's forward and backward pass, in lightning Fabric's words; weights, losses and the
            optimiser have 32 bits always. `bf16-mixed` pays on GPUs and on some CPUs with avx512_bf16; on others it
            is slow.
        ema_decay: of the averaged weights, which are what is evaluated and exported.
        log_every: steps between two rows of the log.
    """

    name: str
    skeleton: str = "union21"
    network: str = "equivariant"
    backbone: str = "efficientnet_lite0"
    start: str = ""
    pretrained: bool = True
    datasets: tuple[str, ...] = ()
    stages: tuple[Stage, ...] = (Stage((96, 128), 4.0, 0.6, 64), Stage((192, 256), 2.0, 1.0, 32))
    steps: int = 10_000
    epochs: float = 0.0
    minutes: float = 0.0
    lr: float = 1.5e-3
    backbone_lr_factor: float = 0.4
    relative_steps: bool = False
    weight_decay: float = 0.01
    warmup_steps: int = 200
    warmup_factor: float = 0.0
    decay_from: float = 0.5
    final_lr_factor: float = 0.02
    lr_drops: tuple[float, ...] = ()
    mild_from: float = 0.75
    clip_norm: float = 20.0
    ema_decay: float = 0.998
    pseudo_weight: float = 0.5
    heatmap_weight: float = 0.3
    task_loss: str = "kl"
    sampling_power: float = 1.0
    balance_keypoints: bool = False
    definition_offsets: bool = True
    alpha: float = 1.0
    betas: tuple[tuple[str, float], ...] = ()
    agreement_mask: bool = True
    mend_sides: bool = False
    online: bool = False
    cdkd: Cdkd = field(default_factory=Cdkd)
    augmentation: Augmentation = field(default_factory=Augmentation)
    augment_on: str = "cpu"
    compiled: bool = False
    frozen: tuple[str, ...] = ()
    precision: str = "32-true"
    seed: int = 0
    draw_ahead: int = 1
    log_every: int = 20
    checkpoint_minutes: float = 3.0
    validate_minutes: float = 10.0

    def __post_init__(self) -> None:
        for field_ in dataclasses.fields(self):
            key, value = field_.name, getattr(self, field_.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            if not math.isfinite(value) or value < 0 or (key in _POSITIVE and value == 0):
                raise BadArgumentError(f"{key} is {value}: give a number {'above' if key in _POSITIVE else 'from'} 0.")
            if key in _SHARES and value > 1:
                raise BadArgumentError(f"{key} is {value}: it is a share, from 0 to 1.")
        for key, known in (
            *(("network", NETWORKS), ("task_loss", TASK_LOSSES)),
            *(("precision", PRECISIONS), ("augment_on", AUGMENT_ON)),
        ):
            if getattr(self, key) not in known:
                raise BadArgumentError(f"{key} is {getattr(self, key)!r}: choose among {', '.join(known)}.")
        if not all(isinstance(share, float) and 0 <= share <= 1 for share in self.lr_drops):
            raise BadArgumentError(f"lr_drops is {self.lr_drops}: give shares of the budget in a recipe, from 0. to 1.")
        if self.online and self.augment_on == "device":
            raise BadArgumentError("online=true asks the teachers about crops that the CPU cut: set augment_on=cpu.")
        ends = [stage.until for stage in self.stages]
        if not ends or ends != sorted(set(ends)) or ends[-1] != 1:
            raise BadArgumentError(f"The stages of recipe {self.name} end at {ends}: ends rise, and the last is 1.")
