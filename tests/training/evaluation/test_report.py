"""The plot and the gallery of `evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from poseunion.annotate.formats import read_annotations
from poseunion.models.errors import BadArgumentError
from poseunion.models.images import image_size, read_image
from poseunion.training.evaluation.predictions import Predictions
from poseunion.training.evaluation.report_plots import plot_keypoints
from poseunion.training.evaluation.worst_cases import draw_case, worst_cases, write_gallery

RESULTS = [{"model": f"m{i}", "pck": {"PCK12": 50.0, "nose": 40.0 + i, "left_knee": 60.0}} for i in range(3)]


@pytest.fixture
def predictions(drawn_dataset: Path) -> Predictions:
    """Everybody is right but for the fourth person, whose right wrist is 60 px off, and the second: all 15 px off."""
    annotations = read_annotations(drawn_dataset / "coco17.json")
    n, k = annotations.visibility.shape
    xy = annotations.xy.copy()
    wrist = xy[3, annotations.skeleton.index("right_wrist")]
    wrist[0] += 60 if wrist[0] < 80 else -60
    xy[1] += 15
    return Predictions(np.arange(n), xy, np.ones((n, k)), np.ones(k, bool), ())


def test_the_worst_come_first(drawn_dataset: Path, predictions: Predictions) -> None:
    cases = worst_cases(read_annotations(drawn_dataset / "coco17.json"), predictions, 2)
    assert [case.row for case in cases] == [1, 3]
    assert next(iter(cases[1].errors.items())) == ("right_wrist", 60.0)


def test_a_gallery(drawn_dataset: Path, predictions: Predictions, tmp_path: Path) -> None:
    annotations = read_annotations(drawn_dataset / "coco17.json")
    written = write_gallery(tmp_path, annotations, predictions, drawn_dataset, 3)
    assert [path.name[:3] for path in written] == ["01-", "02-", "03-"]
    assert all(max(image_size(path)) == 720 for path in written)
    index = json.loads((tmp_path / "gallery.json").read_text())
    assert index[0]["picture"] == "coco17-1.png"
    assert index[0]["overlay"] == written[0].name
    nowhere = write_gallery(tmp_path / "none", annotations, predictions, tmp_path / "elsewhere", 3)
    assert nowhere == []
    assert "reason" in json.loads((tmp_path / "none" / "gallery.json").read_text())[0]


def test_white_is_the_label_and_red_the_prediction(drawn_dataset: Path, predictions: Predictions) -> None:
    annotations = read_annotations(drawn_dataset / "coco17.json")
    picture = read_image(drawn_dataset / "coco17-3.png")
    drawn = draw_case(picture, annotations, predictions, 3).astype(int)
    red = (drawn[..., 0] > 200) & (drawn[..., 1:] < 90).all(-1)
    white = (drawn > 240).all(-1)
    assert red.any()
    assert white.any()
    assert not ((picture[..., 0] > 200) & (picture[..., 1] < 90)).any(), "the picture itself is left alone"


@pytest.mark.parametrize("name", ["plot.png", "plot.svg", "plot.pdf"])
def test_a_plot(tmp_path: Path, name: str) -> None:
    plot_keypoints(tmp_path / name, [("coco", RESULTS), ("lsp", RESULTS[:1])])
    content = (tmp_path / name).read_bytes()
    assert len(content) > 2000
    if name.endswith("png"):
        assert min(image_size(tmp_path / name)) > 200


def test_a_plot_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError, match=r"\.png, \.svg, \.pdf"):
        plot_keypoints(tmp_path / "plot.doc", [("coco", RESULTS)])
    with pytest.raises(BadArgumentError, match="no keypoint to plot"):
        plot_keypoints(tmp_path / "plot.png", [("coco", [{"model": "m", "pck": {}}])])
