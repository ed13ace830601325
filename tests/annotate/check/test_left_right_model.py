"""A model's second look finds sides that were exchanged on purpose, and leaves the others alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from poseunion.annotate.check.left_right_model import exchanged_by_model
from poseunion.annotate.check.run import check
from poseunion.annotate.cli.main import app
from poseunion.annotate.example import LABELS, example_dataset
from poseunion.annotate.formats import read_annotations
from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.left_right import MIN_APART_TORSO, WITHIN_PAIR, left_right_votes, pairs_of
from poseunion.models.skeleton import load_skeleton

COCO = load_skeleton("coco17")
SAID = "finds both joints, the other way round"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return example_dataset(tmp_path_factory.mktemp("example"))[1]


@pytest.fixture(scope="module")
def model() -> Predictor:
    return load_predictor("unified", flip=True, threads=1)


def exchange(path: Path, joint: str) -> tuple[Path, set[str]]:
    """The example's labels with a joint's sides exchanged on all people, and where."""
    document: dict[str, Any] = json.loads(LABELS.read_text())
    names = document["categories"][0]["keypoints"]
    left, right = (
        slice(3 * names.index(f"{side}_{joint}"), 3 * names.index(f"{side}_{joint}") + 3) for side in ("left", "right")
    )
    touched = set()
    for i, person in enumerate(document["annotations"]):
        k = person["keypoints"]
        if k[left][2] and k[right][2]:
            k[left], k[right] = k[right], k[left]
            touched.add(f"annotations[{i}] (id {person['id']})")
    path.write_text(json.dumps(document))
    return path, touched


def test_good_labels_are_not_suspected(pictures: Path, model: Predictor) -> None:
    problems = check(LABELS, images=pictures, model=model)[1]
    assert not [p for p in problems if SAID in p.text]


def test_exchanged_shoulders_are_found(pictures: Path, model: Predictor, tmp_path: Path) -> None:
    path, touched = exchange(tmp_path / "slips.json", "shoulder")
    seen: list[tuple[int, int]] = []
    problems = check(path, images=pictures, model=model, progress=lambda *at: seen.append(at))[1]
    found = {p.place for p in problems if SAID in p.text}
    assert found
    assert found <= touched
    assert all("left/right swap of shoulder?" in p.text and not p.fatal for p in problems if SAID in p.text)
    assert seen[-1][0] == seen[-1][1]


def test_the_command_asks_and_says_so(pictures: Path, tmp_path: Path) -> None:
    path, _ = exchange(tmp_path / "slips.json", "shoulder")
    done = CliRunner().invoke(app, ["check", str(path), "--images", str(pictures), "--model", "unified"])
    assert done.exit_code == 0
    assert f"unified {SAID}" in done.output


def test_a_picture_that_cannot_be_read_is_listed_once(pictures: Path, model: Predictor, tmp_path: Path) -> None:
    annotations = read_annotations(LABELS)
    assert exchanged_by_model(annotations, tmp_path, model) == []
    problems = check(LABELS, images=tmp_path, model=model)[1]
    assert len([p for p in problems if "does not exist" in p.text]) == len(annotations.images)


def test_a_model_without_pictures_is_refused(model: Predictor) -> None:
    with pytest.raises(BadArgumentError, match="give their folder with --images"):
        check(LABELS, model=model)


def test_sides_are_told_only_of_pairs_that_lie_apart_and_that_the_model_is_sure_of() -> None:
    pairs = pairs_of(COCO)
    rng = np.random.default_rng(3)
    xy = rng.uniform(0, 1000, (40, 17, 2))
    everything, torso = np.ones((40, 17), bool), np.full(40, 200.0)
    swapped = xy[:, COCO.flip_indices]
    vote, apart = left_right_votes(xy, everything, xy, everything, torso, pairs)
    np.testing.assert_array_equal(vote, apart)
    distance = np.array([np.linalg.norm(xy[:, a] - xy[:, b], axis=-1) for a, b in pairs]).T
    np.testing.assert_array_equal(apart, distance >= MIN_APART_TORSO * 200)
    np.testing.assert_array_equal(
        left_right_votes(xy, everything, swapped, everything, torso, pairs)[0], -apart.astype(int)
    )
    assert not left_right_votes(xy, everything, swapped, ~everything, torso, pairs)[0].any()
    assert not left_right_votes(xy, ~everything, swapped, everything, torso, pairs)[1].any()
    # Halfway between the two joints a model has found neither; WITHIN_PAIR of the way, it has.
    assert not left_right_votes(xy, everything, (xy + swapped) / 2, everything, torso, pairs)[0].any()
    near = xy + (WITHIN_PAIR - 0.01) * (swapped - xy)
    np.testing.assert_array_equal(left_right_votes(xy, everything, near, everything, torso, pairs)[0], apart)
