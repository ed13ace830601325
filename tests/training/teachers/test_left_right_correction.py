"""Confused sides are found by teachers that know them, and nothing else is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ablation_recipes import ABLATIONS
from numpy.typing import NDArray

from poseunion.models.left_right import MIN_APART_TORSO, pairs_of
from poseunion.models.skeleton import load_skeleton
from poseunion.training.config.overrides import with_overrides
from poseunion.training.data.crop_store import CropStore, open_store
from poseunion.training.data.data_file import DatasetEntry, read_data_file
from poseunion.training.data.read_people import read_people
from poseunion.training.data.splits import is_held_out
from poseunion.training.densities.peaks import MODES, Peaks
from poseunion.training.loop.prepare import prepare
from poseunion.training.teachers.cached_targets import TeacherPeaks
from poseunion.training.teachers.left_right_correction import corrected
from poseunion.training.teachers.pseudo_labels import person_length

UNION = load_skeleton("union21")
PAIRS = pairs_of(UNION)
KNEES, ELBOWS = (
    PAIRS.index((UNION.index(f"left_{joint}"), UNION.index(f"right_{joint}"))) for joint in ("knee", "elbow")
)


@pytest.fixture(scope="module")
def store(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> CropStore:
    entry = DatasetEntry(name="lsp", annotations=drawn_dataset / "lsp14.json", images=drawn_dataset)
    return open_store("lsp", read_people(entry, UNION), UNION, tmp_path_factory.mktemp("cache"))


def teacher(store: CropStore, score: float | NDArray[np.float64] = 0.9, skeleton: str = "coco17") -> TeacherPeaks:
    """One that is exactly right."""
    n, k = store.visibility.shape
    xy = np.where(store.visibility[..., None] > 0, store.xy, 1e4).astype(np.float32)
    confidence = np.broadcast_to(np.asarray(score, np.float32), (n, k)).copy()
    weight = np.tile(np.array([1, 0, 0], np.float32), (n, k, 1))
    covariance = np.zeros((n, k, MODES, 3), np.float32)
    return TeacherPeaks("t", skeleton, Peaks(xy[:, :, None].repeat(MODES, 2), covariance, weight, confidence))


def confuse(store: CropStore, person: int, pairs: list[int]) -> CropStore:
    """The store with pairs of a person exchanged, as an annotator might have."""
    xy = store.xy.copy()
    for left, right in (PAIRS[p] for p in pairs):
        xy[person, [left, right]] = xy[person, [right, left]]
    return replace(store, xy=xy)


def apart(store: CropStore, pair: int) -> NDArray[np.intp]:
    """People with a labelled pair that is far enough apart."""
    length = person_length(store.xy, store.certain, store.box_xywh, UNION)
    left, right = PAIRS[pair]
    far = np.linalg.norm(store.xy[:, left] - store.xy[:, right], axis=-1) >= MIN_APART_TORSO * length
    return np.flatnonzero(far & store.certain[:, left] & store.certain[:, right])


def test_confused_sides_are_exchanged_and_nothing_else(store: CropStore) -> None:
    person = int(apart(store, KNEES)[0])
    result, touched = corrected(confuse(store, person, [KNEES]), [teacher(store)])
    np.testing.assert_array_equal(result.xy, store.xy)
    np.testing.assert_array_equal(result.visibility, store.visibility)
    np.testing.assert_array_equal(result.weight, store.weight)
    assert {tuple(at) for at in np.argwhere(touched)} == {(person, k) for k in PAIRS[KNEES]}


def test_right_labels_stay_as_they_are(store: CropStore) -> None:
    for taught in ([], [teacher(store)], [teacher(store, 0.1)]):
        result, touched = corrected(store, taught)
        assert not touched.any()
        np.testing.assert_array_equal(result.xy, store.xy)
        np.testing.assert_array_equal(result.weight, store.weight)


def test_labels_a_teacher_is_not_sure_of_or_two_disagree_about_stay(store: CropStore) -> None:
    slipped = confuse(store, int(apart(store, KNEES)[0]), [KNEES])
    itself = teacher(store, skeleton="union21")  # learned from such labels
    for taught in ([teacher(store, 0.1)], [teacher(store), teacher(slipped)], [itself]):
        result, touched = corrected(slipped, taught)
        assert not touched.any()
        np.testing.assert_array_equal(result.xy, slipped.xy)


def test_a_pair_that_is_close_together_stays(store: CropStore) -> None:
    person, (left, right) = int(apart(store, KNEES)[0]), PAIRS[KNEES]
    xy = store.xy.copy()
    xy[person, right] = xy[person, left] + 1.0
    close = replace(store, xy=xy)
    assert not corrected(confuse(close, person, [KNEES]), [teacher(close)])[1].any()


def test_what_nobody_can_tell_of_a_confused_person_loses_its_weight(store: CropStore) -> None:
    person = int(np.intersect1d(apart(store, KNEES), apart(store, ELBOWS))[0])
    sure = np.zeros(store.visibility.shape)
    sure[:, PAIRS[KNEES]] = 0.9
    result, _ = corrected(confuse(store, person, [KNEES]), [teacher(store, sure)])
    assert (result.weight[person, list(PAIRS[ELBOWS])] == 0).all()
    assert (result.weight[person, list(PAIRS[KNEES])] == 1).all()
    others = np.arange(len(store)) != person
    np.testing.assert_array_equal(result.weight[others], store.weight[others])


@pytest.mark.parametrize("pseudo_weight", [0.0, 0.5])
@pytest.mark.parametrize("mend", [True, False])
def test_a_run_trains_on_exchanged_labels_and_validates_on_human_ones(
    drawn_dataset: Path,
    store: CropStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mend: bool,
    pseudo_weight: float,
) -> None:
    slipped = store
    for person in apart(store, KNEES):
        slipped = confuse(slipped, int(person), [KNEES])
    monkeypatch.setattr("poseunion.training.loop.prepare.open_store", lambda *_: slipped)
    monkeypatch.setattr("poseunion.training.loop.prepare.predict_peaks", lambda *_: teacher(store))
    data = tmp_path / "data.yaml"
    data.write_text(
        f"datasets:\n  - {{name: lsp, annotations: {drawn_dataset}/lsp14.json, images: {drawn_dataset}}}\n"
        "teachers:\n  - {model: unified}\n"
    )
    prepared = prepare(
        read_data_file(data),
        with_overrides(
            ABLATIONS["union_labels"](), ["datasets=lsp", f"pseudo_weight={pseudo_weight}", f"mend_sides={mend}"]
        ),
        tmp_path,
    )
    train = prepared.train[0]
    np.testing.assert_array_equal(
        train.xy[:, list(PAIRS[KNEES])], (store if mend else slipped).xy[:, list(PAIRS[KNEES])]
    )
    seen = [p for p in apart(store, KNEES) if not is_held_out(store.image_name[p])]
    assert train.exchanged == (len(seen) if mend else 0)
    np.testing.assert_array_equal(prepared.held_out[0].xy, slipped.xy)
