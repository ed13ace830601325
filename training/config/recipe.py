"""Recipe: all settings of a training run, without the data."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from poseunion.training.config import groups
from poseunion.training.config.augmentation import Augmentation
from poseunion.training.config.cdkd import Cdkd
from poseunion.training.config.groups import CHECKED, Count, NotNegative, Positive, Records, Share, Whole, one_of

NETWORKS = (
    *("equivariant", "lite-hrnet", "lite-hrnet-pair"),
    *(f"rtmpose-{size}" for size in "tsml"),
    *(f"{head}-{stride}" for head in ("simcc", "rtmcc", "heatmap") for stride in (4, 8, 16, 32)),
)


@dataclass(frozen=True, config=CHECKED)
class Stage:
    """Part of a training at one resolution. The bins stay the same: `split` halves when the size doubles.

    Attributes:
        until: share of the budget at which it ends.
        batch_size: people a step, over all devices.
    """

    size_wh: tuple[Count, Count]
    split: Positive
    until: Share
    batch_size: Count


@dataclass(frozen=True, config=CHECKED)
class Student:
    """The network that is trained, and where its weights begin.

    Attributes:
        network: `equivariant` (pyramid head on a backbone), `lite-hrnet`, `rtmpose-t|s|m|l`, or a head on
            a backbone's map of a stride of 4, 8, 16 or 32: `simcc-8` (SimCC's), `rtmcc-8` (RTMPose's), `heatmap-4` ….
        backbone: of all but `lite-hrnet` and `rtmpose-…`: a timm name, or `cspnext-t|s|m|l`.
        start: shipped model or weights file that the run starts from, where the command names none (`--init`).
        frozen: names of the network's parts that stay as they are, as in `frozen=backbone.conv_stem,backbone.blocks.0`;
            worth it where a run goes on from trained weights, see `freeze`.
        compiled: compile the network's backbone by `torch.compile`.
        precision: of the network's forward and backward pass, as lightning Fabric names them; weights, losses and the
            optimiser have 32 bits always. `bf16-mixed` pays on GPUs and on some CPUs with avx512_bf16; on others it
            is slow.
    """

    network: Annotated[str, one_of(NETWORKS)] = "equivariant"
    backbone: str = "efficientnet_lite0"
    pretrained: bool = True
    start: str = ""
    frozen: tuple[str, ...] = ()
    compiled: bool = False
    precision: Literal["32-true", "bf16-mixed"] = "32-true"


@dataclass(frozen=True, config=CHECKED)
class Schedule(groups.Schedule):
    """Budget and learning-rate schedule of a student.

    Attributes:
        epochs: passes over the people, counted with the last stage's batch size.
        lr_drops: shares of the budget at which the learning rate falls to a tenth, instead of the cosine.
    """

    epochs: NotNegative = 0.0
    lr_drops: tuple[Share, ...] = ()


@dataclass(frozen=True, config=CHECKED)
class Optimizer(groups.Optimizer):
    """Optimiser of a student.

    Attributes:
        relative_steps: steps of the backbone count in shares of each row's size, see `RelativeAdamW`.
    """

    relative_steps: bool = False


@dataclass(frozen=True, config=CHECKED)
class Losses:
    """Losses on labels and pseudo-labels.

    Attributes:
        task_loss: `kl` on SimCC, or `position`: paper A's squared distance.
        heatmap_weight: of the two-dimensional cross-entropy of the equivariant head.
        pseudo_weight: weight of an accepted pseudo-label; 0 turns them off.
        balance_keypoints: all labels of a keypoint together have the same weight, for rare and common keypoints.
        mend_sides: exchange left and right labels where the teachers find them exchanged, see `left_right_correction`.
    """

    task_loss: Literal["kl", "position"] = "kl"
    heatmap_weight: NotNegative = 0.3
    pseudo_weight: Share = 0.5
    balance_keypoints: bool = False
    mend_sides: bool = False


@dataclass(frozen=True, config=CHECKED)
class Distillation:
    """Distillation from teachers' distributions (paper A, eq. 8).

    Attributes:
        alpha: weight of the labels' loss; 1 does not distil.
        betas: weights of the teachers, by the skeleton that each was trained on.
        agreement_mask: distil only from teachers that agree with the labels, or with each other where there are none.
        online: run the teachers on every augmented crop, instead of caching their peaks.
    """

    alpha: Share = 1.0
    betas: tuple[tuple[str, float], ...] = ()
    agreement_mask: bool = True
    online: bool = False


@dataclass(frozen=True, config=CHECKED)
class Sampling:
    """Which people are drawn, and where.

    Attributes:
        datasets: names to train on; empty: all of the data file.
        sampling_power: a data set of n people is drawn from n^power times its weight; 1: every person equally often,
            0: every data set.
        definition_offsets: bring a data set's keypoints to the union's definitions (`keypoint_offsets.OFFSETS`).
        augment_on: `cpu`, or `device`: pixels lie on the GPU and are augmented there, see `device_batch`. The
            distributions are the same, the draws are not.
        draw_ahead: batches that are drawn beside a step, each by a thread of its own. Which people they hold does not
            depend on it. For a GPU, about as many as there are cores.
    """

    datasets: tuple[str, ...] = ()
    sampling_power: Share = 1.0
    definition_offsets: bool = True
    augment_on: Literal["cpu", "device"] = "cpu"
    draw_ahead: Count = 1
    seed: Whole = 0

    def takes(self, dataset: str) -> bool:
        """Whether people of a data set are drawn."""
        return not self.datasets or dataset in self.datasets


@dataclass(frozen=True, config=CHECKED)
class Recipe:
    """All settings of a training run, without the data.

    Attributes:
        cdkd: distillation of features and classes from a network of full resolution (paper B).
    """

    name: str
    skeleton: str = "union21"
    student: Student = field(default_factory=Student)
    stages: tuple[Stage, ...] = (Stage((96, 128), 4.0, 0.6, 64), Stage((192, 256), 2.0, 1.0, 32))
    schedule: Schedule = field(default_factory=Schedule)
    optimizer: Optimizer = field(default_factory=Optimizer)
    losses: Losses = field(default_factory=Losses)
    distillation: Distillation = field(default_factory=Distillation)
    sampling: Sampling = field(default_factory=Sampling)
    augmentation: Augmentation = field(default_factory=Augmentation)
    cdkd: Cdkd = field(default_factory=Cdkd)
    records: Records = field(default_factory=Records)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.distillation.online and self.sampling.augment_on == "device":
            raise ValueError("online=true runs the teachers on crops that the CPU cut: set augment_on=cpu")
        ends = [stage.until for stage in self.stages]
        if not ends or ends != sorted(set(ends)) or ends[-1] != 1:
            raise ValueError(f"the stages of recipe {self.name} end at {ends}: ends rise, and the last is 1")
        return self
