"""`annotate check` finds no more to look at after `extend` than before."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from poseunion.annotate.check.run import check
from poseunion.annotate.example import example_dataset
from poseunion.annotate.extend.run import Options, extend
from poseunion.annotate.formats import read_annotations
from poseunion.models.inference.conditioned import ConditionedPredictor, supports_labels
from poseunion.models.inference.predictor import Predictor, load_predictor


def predictor() -> Predictor:
    """As the command line takes it."""
    plain = load_predictor("unified", threads=1)
    return ConditionedPredictor(plain) if supports_labels(plain) else plain


def places(file: Path) -> Counter[str]:
    """How often `check` names each record."""
    annotations, problems = check(file)
    assert annotations is not None
    return Counter(problem.place for problem in problems)


def assert_no_more(file: Path, images: Path, out: Path, model: Predictor, **options: bool | float) -> None:
    extend(read_annotations(file), images, model, out, Options(overwrite=True, **options))  # type: ignore[arg-type]
    assert not places(out) - places(file)


@pytest.mark.parametrize("fill_gaps", [False, True])
def test_of_the_example(tmp_path: Path, fill_gaps: bool) -> None:
    labels, images = example_dataset(tmp_path)
    assert_no_more(labels, images, tmp_path / "out.json", predictor(), fill_gaps=fill_gaps)
    assert_no_more(labels, images, tmp_path / "out.json", predictor(), fill_gaps=fill_gaps, threshold=0.0)


@pytest.mark.data
@pytest.mark.parametrize("fill_gaps", [False, True])
def test_of_coco(shared: Path, tmp_path: Path, fill_gaps: bool) -> None:
    file, images = shared / "data/coco/test.json", shared / "data/coco/test"
    assert_no_more(file, images, tmp_path / "out.json", predictor(), fill_gaps=fill_gaps)
    # Whatever is accepted, even without confidence.
    assert_no_more(file, images, tmp_path / "out.json", predictor(), fill_gaps=fill_gaps, threshold=0.0)


@pytest.mark.data
def test_of_mpii(shared: Path, tmp_path: Path) -> None:
    file, images = shared / "data/mpii/annotations.json", shared / "data/mpii/images"
    assert_no_more(file, images, tmp_path / "out.json", predictor(), fill_gaps=True, threshold=0.0)
