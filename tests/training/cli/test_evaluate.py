"""The command as a user types it, with a model that needs no runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from poseunion.models.errors import BadArgumentError
from poseunion.models.inference import predictor
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.skeleton import load_skeleton
from poseunion.training.cli.main import app

UNION = load_skeleton("union21")


class Middle:
    """A model that sees everything in the middle of the box."""

    name, skeleton, padding = "some/middle", UNION, 1.25

    def __call__(self, image: np.ndarray, boxes: np.ndarray) -> Any:
        centre = boxes[:, None, :2] + boxes[:, None, 2:] / 2
        xy = np.repeat(centre, 21, 1).astype(np.float32)
        return PoseBatch(UNION, xy, np.ones((len(boxes), 21), np.float32), boxes.astype(np.float32))


@pytest.fixture
def run(drawn_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call `evaluate` on drawn people, with the model of the file m.onnx."""
    monkeypatch.setattr(predictor, "load_predictor", lambda *_, **__: Middle())

    def call(*arguments: str, sets: tuple[str, ...] = ("coco17", "lsp14")) -> Any:
        data = [w for s in sets for w in ("--annotations", f"{drawn_dataset}/{s}.json", "--images", str(drawn_dataset))]
        return CliRunner().invoke(app, ["evaluate", "--model", "m.onnx", *data, *arguments])

    return call


def test_tables_plot_and_gallery(run: Any, tmp_path: Path) -> None:
    plot, gallery = tmp_path / "keypoints.png", tmp_path / "worst"
    result = run("--plot", str(plot), "--gallery", str(gallery), "--ap-engine", "pycocotools")
    assert result.exit_code == 0, result.output
    assert "| AP | " in result.stdout
    assert "OKS sigmas: COCO's evaluation" in result.stdout
    assert plot.is_file()
    assert sorted(path.name for path in gallery.iterdir()) == ["1-coco-1-m", "2-lsp-1-m"]
    assert len(list((gallery / "2-lsp-1-m").glob("*.jpg"))) == 12


def test_columns_are_headed_by_file(run: Any, drawn_dataset: Path) -> None:
    """Not by the name inside, which two files may share."""
    more = ("--model", "unified", "--model", "runs/m.onnx", "--model", "runs/n.onnx")
    table = run(*more).stdout
    assert table.count("| | m | unified | runs/m | n |\n") == 2
    columns = json.loads(run(*more, "--json").stdout)[f"{drawn_dataset}/coco17.json"]
    assert [column["head"] for column in columns] == ["m", "unified", "runs/m", "n"]
    assert {column["model"] for column in columns} == {"some/middle"}


def test_json(run: Any, drawn_dataset: Path) -> None:
    scores = json.loads(run("--json").stdout)
    coco, lsp = (scores[f"{drawn_dataset}/{name}.json"][0] for name in ("coco17", "lsp14"))
    assert set(coco["coco"]) >= {"AP", "AR", "mean_OKS"}
    assert coco["shared12"]["PCK@.2"] == pytest.approx(coco["pck"]["PCK12"])
    assert "coco" not in lsp, "LSP is measured by PCK"
    assert (lsp["dataset"], lsp["boxes"], lsp["people"]) == ("lsp", "gt", 12)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--dataset", "coco", "--dataset", "lsp", "--dataset", "mpii"), "3 --dataset for 2 --annotations"),
        (("--plot", "keypoints.doc"), "is none of them"),
        (("--images", "elsewhere"), "give one folder a file"),
        (("--turns", "always"), "settings of --joint"),
        (("--joint", "--turns", "sometimes"), "choose none, disagreement, always"),
        (("--ap-engine", "none", "--dataset", "coco", "--dataset", "lsp"), "No AP engine"),
    ],
)
def test_mistakes_are_one_sentence(run: Any, arguments: tuple[str, ...], sentence: str) -> None:
    error = run(*arguments).exception
    assert isinstance(error, BadArgumentError)
    assert sentence in str(error)
    assert "\n" not in str(error)
