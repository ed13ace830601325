"""Distillation of a low-resolution student from one full-resolution torch teacher (paper B, eq. 8).

The teacher reads the same region as the student, on as many pixels as it was trained for, without the student's
disturbances. It runs in every step: its features cannot be cached and then rotated.

Shapes: N people, K keypoints, H and W the teacher's input.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from poseunion.models.codec.heads import SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadArgumentError
from poseunion.models.networks.build import build_network
from poseunion.models.networks.equivariant import MarginalSimcc
from poseunion.models.networks.inputs import normalise
from poseunion.models.networks.weights import read_weights
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import Skeleton, load_skeleton, project_indices
from poseunion.models.zoo import shipped_models, trainable_models, weights_path
from poseunion.training.cdkd.cca import ClassAlignment
from poseunion.training.cdkd.etht import Curriculum, difficulty
from poseunion.training.cdkd.sape import FeatureAlignment, Shape
from poseunion.training.config.cdkd import Cdkd

Simcc = tuple[Tensor, Tensor]

# Networks without layers over positions read crops of any size and aspect.
ANY_SIZE = ("equivariant", "lite-hrnet", "lite-hrnet-pair")

# Maps of so many people fit into a CPU's caches: at 256x256, 8 people at a time take two thirds of the time of 32.
TEACHER_BATCH = 8


class Teacher:
    """A frozen teacher network; no torch module, so that no optimiser or checkpoint holds its weights.

    Attributes:
        size_wh: of its input.
        grid: its bins; None for a heatmap network.
        skeleton: of its output.
    """

    def __init__(self, network: nn.Module, description: ModelDescription, size_wh: tuple[int, int]) -> None:
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.size_wh, self.skeleton = size_wh, description.resolved_skeleton
        head = description.head
        self.grid = SimccGrid(size_wh, head.split, head.sigma_bins) if isinstance(head, SimccOutput) else None

    @torch.no_grad()
    def __call__(self, image_N3HW: Tensor) -> tuple[Tensor, Simcc | None]:
        """Normalised crops -> the last map before the head, and the logits of a SimCC network."""
        at_once = TEACHER_BATCH if image_N3HW.device.type == "cpu" else max(len(image_N3HW), 1)
        features, logits, _ = zip(
            *(forward_parts(self.network, part) for part in image_N3HW.split(at_once)), strict=True
        )
        axes = [simcc for simcc in logits if simcc is not None]
        return torch.cat(features), (torch.cat([x for x, _ in axes]), torch.cat([y for _, y in axes])) if axes else None


def forward_parts(network: nn.Module, image_N3HW: Tensor) -> tuple[Tensor, Simcc | None, Tensor | None]:
    """Last map, SimCC logits and heatmap of a network, whichever it has."""
    features: Tensor = network.features(image_N3HW)  # type: ignore[operator]
    if isinstance(network, MarginalSimcc):
        heat = network.heatmaps(features)
        return features, network.axes(heat), heat
    output = network.head(features)  # type: ignore[operator]
    if isinstance(output, Tensor):
        return features, None, output
    x, y = output
    return features, (x, y), None


def teacher_file(name_or_path: str) -> Path:
    """The weights of a shipped model's name, or a path that ends in `.safetensors` or `.onnx`.

    Raises:
        BadArgumentError: neither.
    """
    if name_or_path.endswith((".safetensors", ".onnx")) or name_or_path in shipped_models():
        path = weights_path(name_or_path)
        if path.is_file():
            return path
    raise BadArgumentError(
        f"No teacher {name_or_path!r}: set cdkd.teacher to a .safetensors of a training run or to a shipped model "
        f"({', '.join(trainable_models())}), or cdkd.features=off and cdkd.classes=off to train without one."
    )


def teacher_view(description: ModelDescription, network: str, student_wh: tuple[int, int]) -> tuple[int, int]:
    """The teacher's input size for a student's region: its own height, the student's aspect.

    Raises:
        BadArgumentError: the network reads one aspect only, and it is another.
    """
    width, height = description.size_wh
    wanted = (round(height * student_wh[0] / student_wh[1]), height)
    if wanted != (width, height) and network not in ANY_SIZE:
        raise BadArgumentError(
            f"Teacher {description.name} reads crops of {width}x{height}, the student {student_wh[0]}x{student_wh[1]}: "
            "take a teacher of the same aspect, or an equivariant one, which reads any."
        )
    return wanted


def load_teacher(name_or_path: str, student_wh: tuple[int, int]) -> Teacher:
    """A teacher for students of an input size.

    Raises:
        BadArgumentError: no such teacher, or it cannot read the student's aspect. BadFileError, ModelError: as
            `read_weights`.
    """
    state, spec, description = read_weights(teacher_file(name_or_path))
    size_wh = teacher_view(description, spec.network, student_wh)
    split = description.head.split if isinstance(description.head, SimccOutput) else 1.0
    network = build_network(spec.network, spec.backbone, len(description.resolved_skeleton), SimccGrid(size_wh, split))
    network.load_state_dict(state)
    return Teacher(network, description, size_wh)


class Distiller(nn.Module):
    """Alignments and curriculum of a training with a teacher; no export has them.

    Args:
        student: the network that is trained; it runs once here, for the shape of its last map.
        grid: its bins.

    Raises:
        BadArgumentError: the teacher or the student has no classes to align, or they share no keypoint.
    """

    def __init__(self, config: Cdkd, teacher: Teacher, student: nn.Module, skeleton: Skeleton, grid: SimccGrid) -> None:
        super().__init__()
        self.config, self.teacher = config, teacher
        self.curriculum = Curriculum(config)
        self.features = self.classes = None
        student_shape, has_classes = _probe(student, grid.size_wh)
        if config.features != "off":
            self.features = FeatureAlignment(config, student_shape, _probe(teacher.network, teacher.size_wh)[0])
        if config.classes != "off":
            if teacher.grid is None or not has_classes:
                raise BadArgumentError("A heatmap network has no classes to align: set cdkd.classes=off.")
            self.classes = ClassAlignment(grid, teacher.grid, learned=config.classes == "linear")
        index = project_indices(teacher.skeleton, skeleton)
        if not (index >= 0).any():
            raise BadArgumentError(f"Teacher and student share no keypoint: {teacher.skeleton.name}, {skeleton.name}.")
        self.register_buffer("index_K", torch.from_numpy(index), persistent=False)

    def forward(
        self, features: Tensor, simcc: Simcc | None, wide_NHW3: Tensor, flip_N: Tensor, progress: float
    ) -> dict[str, Tensor]:
        """Distillation losses of one step.

        Args:
            features, simcc: the student's last map and logits.
            wide_NHW3: uint8 RGB, the teacher's crops of the same regions; `flip_N`: which of them are mirrored.
            progress: share of the budget that is spent.

        Returns:
            `cdkd`, which is added to the loss (alpha L_fea + beta L_logit), and its parts.
        """
        self.teacher.network.to(wide_NHW3.device)
        # Teachers run in autocast's precision; losses are computed in 32 bits.
        half = torch.autocast(wide_NHW3.device.type, torch.bfloat16) if self.config.half_teacher else nullcontext()
        with half:
            teacher = _in_32_bits(*self.teacher(normalise(wide_NHW3)))
        with torch.autocast(features.device.type, enabled=False):
            return self._losses(_in_32_bits(features, simcc), teacher, flip_N, progress)

    def _losses(
        self,
        student: tuple[Tensor, Simcc | None],
        teacher: tuple[Tensor, Simcc | None],
        flip_N: Tensor,
        progress: float,
    ) -> dict[str, Tensor]:
        now = self.curriculum(difficulty(progress), flip_N.device)
        parts: dict[str, Tensor] = {}
        total = student[0].new_zeros(())
        if self.features is not None:
            parts["cdkd_features"] = self.features(student[0], teacher[0])
            total = total + now["alpha"] * parts["cdkd_features"]
        if self.classes is not None:
            assert student[1] is not None
            assert teacher[1] is not None
            index = self.get_buffer("index_K")
            theirs = teacher[1][0][:, index], teacher[1][1][:, index]
            weight = (index >= 0).float().expand(len(flip_N), -1)
            if self.config.confidence:
                peak = torch.minimum(theirs[0].amax(-1), theirs[1].amax(-1))
                weight = weight * peak.clamp(0, 1)
            parts["cdkd_classes"] = self.classes(student[1], theirs, flip_N, weight, now["tau"])
            total = total + now["beta"] * parts["cdkd_classes"]
        learned = {f"cdkd_{name}": now[name].detach() for name in self.curriculum.raw}
        return {**parts, **learned, "cdkd": total}


def distiller_for(config: Cdkd, student: nn.Module, skeleton: str, grid: SimccGrid) -> Distiller | None:
    """Distiller of a recipe for one stage; None without distillation."""
    if not config.is_on:
        return None
    return Distiller(config, load_teacher(config.teacher, grid.size_wh), student, load_skeleton(skeleton), grid)


def _in_32_bits(features: Tensor, simcc: Simcc | None) -> tuple[Tensor, Simcc | None]:
    return features.float(), None if simcc is None else (simcc[0].float(), simcc[1].float())


@torch.no_grad()
def _probe(network: nn.Module, size_wh: tuple[int, int]) -> tuple[Shape, bool]:
    """(C, h, w) of the last map, and whether there are SimCC logits; the network stays as it was."""
    was_training = network.training
    features, simcc, _ = forward_parts(network.eval(), torch.zeros(1, 3, size_wh[1], size_wh[0]))
    network.train(was_training)
    c, h, w = features.shape[1:]
    return (c, h, w), simcc is not None
