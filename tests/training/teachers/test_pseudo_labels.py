"""Teachers on drawn people: whose word is believed, and what is made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poseunion.models.codec.crop import affine_to_crop, apply_affine, crop_from_box
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.skeleton import Skeleton, load_skeleton, project_indices
from poseunion.training.config.augmentation import NONE, Augmentation
from poseunion.training.data.crop_store import PADDING, CropStore, open_store
from poseunion.training.data.data_file import DatasetEntry
from poseunion.training.data.read_people import read_people
from poseunion.training.densities.peaks import MODES, Peaks
from poseunion.training.loop.batch import DistillationSource, LabelledStore, draw_batch
from poseunion.training.teachers.cached_targets import TeacherPeaks, predict_peaks
from poseunion.training.teachers.pseudo_labels import agrees_with_labels, complete

UNION = load_skeleton("union21")
GRID = SimccGrid((96, 128), 4.0)


@pytest.fixture(scope="module")
def store(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> CropStore:
    entry = DatasetEntry(name="lsp", annotations=drawn_dataset / "lsp14.json", images=drawn_dataset)
    return open_store("lsp", read_people(entry, UNION), UNION, tmp_path_factory.mktemp("cache"))


def word(store: CropStore, skeleton: Skeleton, wrong: tuple[int, ...] = (), shift_px: float = 60.0) -> TeacherPeaks:
    """A teacher that is exactly right, but for the people in `wrong`."""
    xy = np.where(store.visibility[..., None] > 0, store.xy, 50.0).astype(np.float32)
    xy[list(wrong)] += shift_px
    n, k = store.visibility.shape
    modes = Peaks(
        np.repeat(xy[:, :, None], MODES, 2),
        np.zeros((n, k, MODES, 3), np.float32),
        np.tile(np.array([1, 0, 0], np.float32), (n, k, 1)),
        np.full((n, k), 0.9, np.float32),
    )
    known = project_indices(skeleton, UNION)
    return TeacherPeaks("t", skeleton.name, modes.reordered(np.where(known >= 0, np.arange(k), -1)))


def test_only_a_teacher_that_finds_the_limbs_is_believed(store: CropStore) -> None:
    coco = word(store, load_skeleton("coco17"), wrong=(2, 5))
    (beliefs,) = agrees_with_labels(store, [coco])
    assert set(np.flatnonzero(~beliefs)) == {2, 5}
    xy, weight = complete(store, [coco], [beliefs], 0.5)
    nose, knee, pelvis = (UNION.index(k) for k in ("nose", "left_knee", "pelvis"))
    assert (weight[beliefs, nose] == 0.5).all()
    assert (weight[~beliefs, nose] == 0).all()
    assert (weight[:, knee] == 1).all()
    np.testing.assert_array_equal(xy[:, knee], store.xy[:, knee])
    assert (weight[:, pelvis] == 1).all(), "derived from labelled hips"


def test_without_labels_two_teachers_vouch_for_each_other(store: CropStore) -> None:
    blank = replace(store, visibility=np.full_like(store.visibility, -1))
    one, other = word(store, load_skeleton("coco17")), word(store, load_skeleton("mpii16"), wrong=(1,))
    beliefs = agrees_with_labels(blank, [one, other])
    assert [set(np.flatnonzero(~b)) for b in beliefs] == [{1}, {1}]
    assert not agrees_with_labels(blank, [one])[0].any(), "alone, a teacher has no witness"


def test_an_annotators_no_is_not_overruled(store: CropStore) -> None:
    nose = UNION.index("nose")
    visibility = store.visibility.copy()
    visibility[3, nose] = 0
    looked = replace(store, visibility=visibility)
    coco = word(store, load_skeleton("coco17"))
    _, weight = complete(looked, [coco], agrees_with_labels(looked, [coco]), 0.5)
    assert weight[3, nose] == 0
    assert weight[4, nose] == 0.5


@pytest.mark.parametrize("strength", [NONE, Augmentation(hsv=(0, 0, 0), blur_prob=0, dropout_prob=0)])
def test_teacher_targets_turn_with_the_crop(store: CropStore, strength: Augmentation) -> None:
    """A teacher that is right says what the labels say, however the crop is turned or mirrored."""
    weight = (store.visibility > 0).astype(np.float64)
    source = DistillationSource(word(store, load_skeleton("coco17")), np.ones(len(store), bool))
    labelled = LabelledStore(store, store.xy, weight, np.arange(len(store)), 1.0, (source,))
    batch = draw_batch([labelled], np.random.default_rng(0), 16, GRID, strength)
    target = batch.teachers["coco17"]
    limbs = [UNION.index(f"{side}_{limb}") for side in ("left", "right") for limb in ("knee", "wrist", "hip")]
    both = (batch.weight_NK > 0) & (target.weight_NK > 0)
    assert both[:, limbs].any()
    for n, k in ((n, k) for n in range(16) for k in limbs if both[n, k]):
        at = np.array([target.x_NKW[n, k].argmax(), target.y_NKH[n, k].argmax()]) / GRID.split
        np.testing.assert_allclose(at, batch.xy_NK2[n, k], atol=0.6 / GRID.split + 0.2)
    assert (target.weight_NK[:, UNION.index("head_top")] == 0).all(), "what a teacher does not know it does not teach"


def test_a_teacher_is_asked_once(store: CropStore, tmp_path: Path) -> None:
    class Teacher:
        """Sees a peak where the drawn person's first keypoint is."""

        name, skeleton, flip, sha256, batch_size, size_wh = "t", load_skeleton("coco17"), False, "0" * 64, 5, (48, 64)
        calls = 0

        class metadata:  # noqa: N801
            class head:  # noqa: N801
                kind = "simcc"

            grid = SimccGrid((48, 64), 2.0, (2.4, 2.8))

        def outputs(self, crops: np.ndarray) -> list[np.ndarray]:
            from poseunion.models.codec import simcc

            rows = range(self.calls, self.calls + len(crops))
            self.calls += len(crops)
            knee = np.stack(
                [
                    apply_affine(
                        store.xy[i, UNION.index("left_knee")],
                        affine_to_crop(crop_from_box(store.box_xywh[i], self.size_wh, PADDING)),
                    )
                    for i in rows
                ]
            )
            return list(simcc.encode(np.repeat(knee[:, None], 17, 1), self.metadata.grid)[:2])

    teacher = Teacher()
    first = predict_peaks(store, teacher, UNION, tmp_path)  # type: ignore[arg-type]
    asked = teacher.calls
    again = predict_peaks(store, teacher, UNION, tmp_path)  # type: ignore[arg-type]
    assert asked == teacher.calls == len(store)
    np.testing.assert_array_equal(first.xy, again.xy)
    (kept,) = tmp_path.glob("*.modes.npz")
    kept.write_bytes(kept.read_bytes()[:-100])
    teacher.calls = 0
    np.testing.assert_array_equal(first.xy, predict_peaks(store, teacher, UNION, tmp_path).xy)  # type: ignore[arg-type]
    assert teacher.calls == len(store), "a damaged file is written anew"
    knee = UNION.index("left_knee")
    scale = store.box_xywh[:, 3].max() * PADDING / 64
    np.testing.assert_allclose(first.xy[:, knee], store.xy[:, knee], atol=scale)
    assert (first.score[:, UNION.index("head_top")] == 0).all()
