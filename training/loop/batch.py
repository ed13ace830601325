"""Training batches: sampling of people, augmentation, and teachers' distributions on the student's bins.

Shapes: N people of a batch, K keypoints, H and W input size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from poseunion.models.codec.crop import Crop, affine_to_crop, apply_affine, cut_crop
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.inference.predictor import Predictor
from poseunion.training.config.augmentation import Augmentation
from poseunion.training.data.arrays import take
from poseunion.training.data.augment import jitter_pixels, random_crop
from poseunion.training.data.crop_store import PADDING, CropStore
from poseunion.training.densities.peaks import render
from poseunion.training.teachers.cached_targets import TeacherPeaks
from poseunion.training.teachers.online import online_targets


@dataclass(frozen=True)
class DistillationSource:
    """A teacher's peaks of a store's N people, and where they agree with the labels."""

    peaks: TeacherPeaks
    agrees: NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledStore:
    """A store with the labels that training uses.

    Attributes:
        xy: (N, K, 2) store px.
        weight: (N, K), 1 for labels, less for pseudo-labels, 0 for none.
        rows: people to sample from.
        sampling: relative number of draws of a person.
        distilled: teachers to distil from.
        exchanged: people to sample from whose left and right were exchanged, see `left_right_correction`.
        held_out: people that no student is trained on, see `is_held_out`.
    """

    store: CropStore
    xy: NDArray[np.float64]
    weight: NDArray[np.float64]
    rows: NDArray[np.intp]
    sampling: float
    distilled: tuple[DistillationSource, ...] = ()
    exchanged: int = 0
    held_out: int = 0

    def summary(self) -> str:
        """Counts in a line: people to train on of all, why the others not, labels and pseudo-labels."""
        people, total = len(self.rows), len(self.store)
        left = {"held out": self.held_out, "without a label or a teacher's keypoint": total - people - self.held_out}
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in left.items() if number)
        weight = self.weight[self.rows]
        return (
            f"{self.store.dataset}: {people:,} of {total:,} people{f' ({reasons})' if reasons else ''}, "
            f"{int((weight == 1).sum()):,} labels, {int(((weight > 0) & (weight < 1)).sum()):,} pseudo-labels, "
            f"{len(self.store.skipped):,} skipped"
            + (f", left and right exchanged on {self.exchanged:,} people" if self.exchanged else "")
        )


def source_of(labelled: LabelledStore, skeleton: str) -> DistillationSource | None:
    """The store's teacher that was trained on a skeleton."""
    return next((one for one in labelled.distilled if one.peaks.skeleton == skeleton), None)


def teachers_of(stores: Iterable[LabelledStore]) -> list[str]:
    """Skeletons of all teachers of some stores."""
    return sorted({one.peaks.skeleton for labelled in stores for one in labelled.distilled})


def chances(stores: Sequence[LabelledStore], sampling_power: float) -> NDArray[np.float64]:
    """Of each store, the probability that a person is drawn from it; see `Sampling`."""
    share = np.array([s.sampling * len(s.rows) ** sampling_power if len(s.rows) else 0.0 for s in stores])
    return share / share.sum()


@dataclass(frozen=True)
class TeacherTarget:
    """One teacher's distributions over the student's bins, and the weight of each keypoint's."""

    x_NKW: NDArray[np.float32]
    y_NKH: NDArray[np.float32]
    weight_NK: NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """People of one training step.

    Attributes:
        image_NHW3: uint8 RGB.
        xy_NK2: crop px.
        weight_NK: 0 where there is no label in the crop.
        flip_N: which crops are mirrored.
        dataset_N: index of the store of each.
        teachers: by the skeleton that a teacher was trained on.
        wide_NHW3: the same crops on more pixels, undisturbed, for a teacher of full resolution.
    """

    image_NHW3: NDArray[np.uint8]
    xy_NK2: NDArray[np.float32]
    weight_NK: NDArray[np.float32]
    flip_N: NDArray[np.bool_]
    dataset_N: NDArray[np.int64]
    teachers: dict[str, TeacherTarget] = field(default_factory=dict)
    wide_NHW3: NDArray[np.uint8] | None = None


def draw_batch(
    stores: Sequence[LabelledStore],
    rng: np.random.Generator,
    count: int,
    grid: SimccGrid,
    strength: Augmentation,
    *,
    agreement_mask: bool = True,
    sampling_power: float = 1.0,
    online: Sequence[Predictor] = (),
    wide_wh: tuple[int, int] | None = None,
) -> Batch:
    """Draw and augment people. Everything random comes from `rng`, so that a step can be repeated exactly.

    Args:
        agreement_mask: distil from a teacher only where it agrees with a person's labels; off is paper A.
        sampling_power: see `Sampling`.
        online: teachers to run on these crops, instead of the stores' cached peaks.
        wide_wh: size of the batch's wide crops; without it none are cut.
    """
    size_wh = grid.size_wh
    which = rng.choice(len(stores), count, p=chances(stores, sampling_power))
    images, points, weights, wide = [], [], [], []
    drawn: list[tuple[LabelledStore, int, Crop]] = []
    for s in which:
        labelled = stores[s]
        i = int(rng.choice(labelled.rows))
        store, xy, weight = labelled.store, labelled.xy[i], labelled.weight[i]
        crop = random_crop(rng, store.box_xywh[i], xy, weight > 0, store.skeleton, size_wh, PADDING, strength)
        images.append(jitter_pixels(rng, cut_crop(store.pixels(i), crop), strength))
        xy = apply_affine(xy, affine_to_crop(crop))
        if crop.flip:
            order = store.skeleton.flip_indices
            xy, weight = xy[order], weight[order]
        inside = ((xy > -0.5) & (xy < np.array(size_wh) - 0.5)).all(-1)
        points.append(xy)
        weights.append(weight * inside)
        drawn.append((labelled, i, crop))
        if wide_wh is not None:
            wide.append(cut_crop(store.pixels(i), replace(crop, size_wh=wide_wh)))
    return Batch(
        np.stack(images),
        np.stack(points).astype(np.float32),
        np.stack(weights).astype(np.float32),
        np.array([crop.flip for _, _, crop in drawn]),
        which.astype(np.int64),
        _online(drawn, grid, online, agreement_mask) if online else _cached(drawn, grid, agreement_mask),
        np.stack(wide) if wide else None,
    )


def _online(
    drawn: Sequence[tuple[LabelledStore, int, Crop]],
    grid: SimccGrid,
    teachers: Sequence[Predictor],
    use_confidence: bool,
) -> dict[str, TeacherTarget]:
    """Every teacher's distributions, predicted on the crops themselves."""
    pictures, crops = [labelled.store.pixels(i) for labelled, i, _ in drawn], [crop for _, _, crop in drawn]
    result = {}
    for teacher in teachers:
        x, y, weight = online_targets(teacher, pictures, crops, grid, drawn[0][0].store.skeleton)
        result[teacher.skeleton.name] = TeacherTarget(x, y, weight if use_confidence else np.sign(weight))
    return result


def _cached(
    drawn: Sequence[tuple[LabelledStore, int, Crop]], grid: SimccGrid, agreement_mask: bool
) -> dict[str, TeacherTarget]:
    """Every teacher's peaks of the drawn people, mapped as their crops and rendered on the student's bins."""
    bins_w, bins_h = grid.bins_wh
    result = {}
    for name in teachers_of(labelled for labelled, _, _ in drawn):
        n, k = len(drawn), len(drawn[0][0].store.skeleton)
        x, y = np.full((n, k, bins_w), 1 / bins_w, np.float32), np.full((n, k, bins_h), 1 / bins_h, np.float32)
        weight = np.zeros((n, k), np.float32)
        for row, (labelled, i, crop) in enumerate(drawn):
            source = source_of(labelled, name)
            if source is None or (agreement_mask and not source.agrees[i]):
                continue
            modes = take(source.peaks.modes, slice(i, i + 1)).mapped(affine_to_crop(crop)[None])
            if crop.flip:
                modes = modes.reordered(labelled.store.skeleton.flip_indices)
            (x[row],), (y[row],), (share,) = render(modes, grid)
            weight[row] = share * (modes.confidence[0] if agreement_mask else 1.0)
        result[name] = TeacherTarget(x, y, weight)
    return result
