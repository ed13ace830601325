from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import load_skeleton
from poseunion.models.zoo import model_path
from poseunion.training.config.augmentation import NONE, Augmentation
from poseunion.training.data.crop_store import CropStore, open_store
from poseunion.training.data.data_file import DatasetEntry, read_data_file
from poseunion.training.data.read_people import LABELLED, read_people
from poseunion.training.data.splits import is_held_out
from poseunion.training.loop.batch import LabelledStore, draw_batch

UNION = load_skeleton("union21")
GRID = SimccGrid((96, 128), 4.0)


@pytest.fixture(scope="module")
def store(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> CropStore:
    entry = DatasetEntry(name="drawn", annotations=drawn_dataset / "coco17.json", images=drawn_dataset)
    return open_store("drawn", read_people(entry, UNION), UNION, tmp_path_factory.mktemp("cache"))


def labelled(store: CropStore) -> LabelledStore:
    weight = (store.visibility > 0).astype(np.float64)
    return LabelledStore(store, store.xy, weight, np.arange(len(store)), 1.0)


@pytest.mark.parametrize("strength", [NONE, Augmentation(hsv=(0, 0, 0), blur_prob=0, dropout_prob=0)])
def test_labels_follow_the_pixels(store: CropStore, strength: Augmentation) -> None:
    batch = draw_batch([labelled(store)], np.random.default_rng(3), 40, GRID, strength)
    lit = []
    for image, xy, weight in zip(batch.image_NHW3, batch.xy_NK2, batch.weight_NK, strict=True):
        for (x, y), w in zip(xy[:17], weight[:17], strict=True):
            if w > 0 and 1 <= x < 94 and 1 <= y < 126:
                patch = image[round(float(y)) - 1 : round(float(y)) + 2, round(float(x)) - 1 : round(float(x)) + 2]
                lit.append(patch.max() > 120)
    assert len(lit) > 200
    assert np.mean(lit) > 0.99


def test_the_same_seed_draws_the_same_batch(store: CropStore) -> None:
    a, b = (draw_batch([labelled(store)], np.random.default_rng([1, 0, 7]), 8, GRID, Augmentation()) for _ in "ab")
    assert (a.image_NHW3 == b.image_NHW3).all()
    assert (a.xy_NK2 == b.xy_NK2).all()


def test_sampling_goes_by_people_or_by_data_sets(store: CropStore) -> None:
    """A data set of 11 people, an empty one, and one of a single person, known by having no label in the crop."""
    many = LabelledStore(store, store.xy, store.weight, np.arange(11), 1.0)
    one = LabelledStore(store, store.xy + 1000, store.weight, np.arange(11, 12), 1.0)  # its labels lie outside
    nobody = LabelledStore(store, store.xy, store.weight, np.arange(0), 1.0)
    for power, share in ((1.0, 11 / 12), (0.0, 0.5)):
        stores = [many, nobody, one]
        batch = draw_batch(stores, np.random.default_rng(0), 240, GRID, NONE, sampling_power=power)
        assert np.mean(batch.weight_NK.any(1)) == pytest.approx(share, abs=0.08)


def test_the_summary_accounts_for_everybody(store: CropStore) -> None:
    total, nobody = len(store), np.zeros((len(store), len(UNION)))
    weight = np.where(np.arange(total)[:, None] < 5, store.weight, 0)
    some = LabelledStore(store, store.xy, weight, np.arange(3), 1.0, held_out=2)
    labels = int(store.weight[:3].sum())
    left = f"(2 held out, {total - 5} without a label or a teacher's keypoint)"
    assert some.summary() == f"drawn: 3 of {total} people {left}, {labels} labels, 0 pseudo-labels, 0 skipped"
    everybody = LabelledStore(store, store.xy, nobody + 0.5, np.arange(total), 1.0).summary()
    assert everybody == f"drawn: {total} of {total} people, 0 labels, {nobody.size} pseudo-labels, 0 skipped"


def test_definition_offsets_can_be_left_out(drawn_dataset: Path) -> None:
    entry = DatasetEntry(name="drawn", annotations=drawn_dataset / "lsp14.json", images=drawn_dataset)
    head, neck = UNION.index("head_top"), UNION.index("upper_neck")
    for moved, own in zip(read_people(entry, UNION), read_people(entry, UNION, definition_offsets=False), strict=True):
        np.testing.assert_allclose(moved.xy[head] - own.xy[neck], 1.2 * (own.xy[head] - own.xy[neck]))
        others = [k for k in range(len(UNION)) if k != head]
        np.testing.assert_array_equal(moved.xy[others], own.xy[others])


def test_null_boxes_are_none(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(
        '[{"file_name": "a.png", "boxes": null}, {"file_name": "b.png"}, {"file_name": "c.png", "boxes": []}, '
        '{"file_name": "d.png", "boxes": [[1, 2, 3, 4], [5, 6, 7, 8]]}]'
    )
    people = read_people(DatasetEntry(name="street", annotations=path, images=tmp_path, kind="boxes"), UNION)
    assert [(p.image.name, p.box_xywh) for p in people] == [("d.png", (1, 2, 3, 4)), ("d.png", (5, 6, 7, 8))]


def test_a_teacher_can_be_a_shipped_model(drawn_dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(
        f"datasets: [{{name: a, annotations: {drawn_dataset}/coco17.json, images: {drawn_dataset}}}]\n"
        "teachers: [{model: unified, flip: true}]"
    )
    (teacher,) = read_data_file(path).teachers
    assert teacher.model == model_path("unified")


def test_store_px_and_image_px(store: CropStore, drawn_dataset: Path) -> None:
    entry = DatasetEntry(name="drawn", annotations=drawn_dataset / "coco17.json", images=drawn_dataset)
    for i, person in enumerate(read_people(entry, UNION)):
        np.testing.assert_allclose(store.to_image(i, store.xy[i])[:17], person.xy[:17], atol=1e-6)


def test_a_damaged_store_is_rebuilt(drawn_dataset: Path, tmp_path: Path) -> None:
    entry = DatasetEntry(name="drawn", annotations=drawn_dataset / "lsp14.json", images=drawn_dataset)
    people = read_people(entry, UNION)
    first = open_store("drawn", people, UNION, tmp_path)
    before = first.pixels(3).copy()
    pixels = next(tmp_path.glob("*.pixels"))
    content = bytearray(pixels.read_bytes())
    content[100] ^= 255
    pixels.write_bytes(bytes(content))
    assert (open_store("drawn", people, UNION, tmp_path).pixels(3) == before).all()
    (index,) = tmp_path.glob("*.npz")
    for length in (0, 10, index.stat().st_size - 50):
        index.write_bytes(index.read_bytes()[:length])
        assert (open_store("drawn", people, UNION, tmp_path).pixels(3) == before).all()


def test_a_store_whose_picture_was_exchanged_is_rebuilt(drawn_dataset: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(drawn_dataset, images)
    entry = DatasetEntry(name="drawn", annotations=images / "lsp14.json", images=images)
    people = read_people(entry, UNION)
    first = open_store("drawn", people, UNION, tmp_path)
    kept = sorted(tmp_path.glob("*.pixels"))
    open_store("drawn", people, UNION, tmp_path)
    assert sorted(tmp_path.glob("*.pixels")) == kept
    wide, high = Image.open(people[0].image).size
    Image.new("RGB", (wide, high), (250, 0, 0)).save(people[0].image)
    again = open_store("drawn", people, UNION, tmp_path)
    assert again.index_sha != first.index_sha
    assert (again.pixels(0) == (250, 0, 0)).all()
    assert not (first.pixels(0) == (250, 0, 0)).all()


def test_pictures_that_cannot_be_read_are_listed(drawn_dataset: Path, tmp_path: Path) -> None:
    entry = DatasetEntry(name="drawn", annotations=drawn_dataset / "coco17.json", images=drawn_dataset)
    people = read_people(entry, UNION)
    broken = tmp_path / "broken.png"
    broken.write_bytes(people[0].image.read_bytes()[:200])
    mixed = [people[1], type(people[0])(broken, 99, people[0].box_xywh, people[0].xy, people[0].visibility)]
    store = open_store("mixed", mixed, UNION, tmp_path)
    assert len(store) == 1
    assert [name for name, _ in store.skipped] == [str(broken)]


def test_hold_out_depends_on_the_name_alone() -> None:
    share = np.mean([is_held_out(f"/anywhere/{i}.jpg") for i in range(4000)])
    assert 0.06 < share < 0.1
    assert all(is_held_out(f"a/{i}.jpg") == is_held_out(f"b/c/{i}.jpg") for i in range(50))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("datasets: [", "not valid YAML"),
        ("datasets: []", "datasets"),
        ("datasets: [{name: a, annotations: no.json, images: .}]", "does not exist"),
        ("datasets: [{name: a, annotations: ., images: ., colour: red}]", "colour"),
    ],
)
def test_a_bad_data_file_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "data.yaml"
    path.write_text(text)
    with pytest.raises(BadFileError, match=says) as caught:
        read_data_file(path)
    assert "\n" not in str(caught.value)


def test_people_without_a_labelled_keypoint_are_boxes(drawn_dataset: Path, tmp_path: Path) -> None:
    """Of kind keypoints they are left out, and the error names reason and remedy; of kind boxes they remain."""
    content = json.loads((drawn_dataset / "coco17.json").read_text())
    for person in content["annotations"][1:]:
        person |= {"keypoints": [0] * 51, "num_keypoints": 0}
    path = tmp_path / "mixed.json"
    path.write_text(json.dumps(content))
    entry = DatasetEntry(name="mixed", annotations=path, images=drawn_dataset)
    assert [p.person_id for p in read_people(entry, UNION)] == [0]
    boxed, left_out = entry.model_copy(update={"kind": "boxes"}), Counter[str]()
    people = read_people(boxed, UNION, left_out=left_out)
    assert len(people) == 11
    assert left_out == {LABELLED: 1}
    assert all((p.visibility == -1).all() and p.box_xywh == (20, 20, 120, 160) for p in people)
    assert len(open_store("mixed", people, UNION, tmp_path)) == 11

    content["annotations"] = content["annotations"][1:]
    path.write_text(json.dumps(content))
    left_out = Counter[str]()
    with pytest.raises(BadFileError, match=r"11: no human keypoint.*kind: boxes"):
        open_store("mixed", read_people(entry, UNION, left_out=left_out), UNION, tmp_path, left_out)
