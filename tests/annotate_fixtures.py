"""Synthetic data and a model without a network, for all tests of annotate."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from poseunion.models.codec.crop import Crop, crop_from_box, cut_crop
from poseunion.models.codec.heads import SimccOutput
from poseunion.models.errors import ItemError
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.pose_batch import PoseBatch
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import load_skeleton

COUNTING = threading.Lock()  # several workers share one predictor


class FakePredictor:
    """Answers from the crop's pixels and, on purpose, from the batch: a run whose batches differ gives other bytes."""

    def __init__(self, fail_at: int | None = None, skeleton: str = "union21", shift_px: float = 0.0) -> None:
        self.name, self.sha256, self.provider = "fake", "0" * 64, "none"
        self.skeleton = load_skeleton(skeleton)
        self.size_wh, self.padding, self.batch_size = (12, 16), 1.25, 32
        self.flip = self.refine = self.antialias = False
        self.metadata = ModelDescription(
            name="fake", skeleton=skeleton, size_wh=self.size_wh, head=SimccOutput(), score_threshold=0.3
        )
        self.uses_labels, self.calibration_part, self.prior_sha256 = False, None, None
        self.route: list[dict[str, Any]] = []
        self.fail_at, self.calls, self.shift_px = fail_at, 0, shift_px
        self.seen: list[tuple[NDArray[np.uint8], Crop]] = []  # pictures and regions, as they were cut

    def cut(self, image: NDArray[np.uint8], box_xywh: Any) -> tuple[NDArray[np.uint8], Crop]:
        """As a real predictor."""
        x, y, w, h = (float(v) for v in box_xywh)
        crop = crop_from_box((x, y, w, h), self.size_wh, self.padding)
        if x >= image.shape[1] or y >= image.shape[0] or x + w <= 0 or y + h <= 0:
            raise ItemError("box lies outside the picture")
        self.seen.append((image, crop))
        return cut_crop(image, crop), crop

    def assign(self, crops: Sequence[Crop]) -> list[tuple[PosePredictor, NDArray[np.intp]]]:
        """All to this one."""
        return [(self, np.arange(len(crops)))]

    def __call__(
        self, image: NDArray[np.uint8], boxes_xywh: Any, labels_NK3: NDArray[np.floating] | None = None
    ) -> PoseBatch:
        """As a real predictor."""
        return self.predict([image], [boxes_xywh])[0]

    def predict(
        self, images: Sequence[NDArray[np.uint8]], boxes_xywh: Sequence[Any], labels: Any = None
    ) -> list[PoseBatch]:
        """As a real predictor."""
        found = []
        for image, boxes in zip(images, boxes_xywh, strict=True):
            pixels, crops = zip(*(self.cut(image, box) for box in boxes), strict=True)
            found.append(self.predict_crops(np.stack(pixels), crops))
        return found

    def predict_crops(
        self, crop_NHW3: NDArray[np.uint8], crops: Sequence[Crop], labels_NK3: Any = None, image_wh_N2: Any = None
    ) -> PoseBatch:
        """Keypoints on a line through the crop; raises once `fail_at` calls were answered."""
        with COUNTING:
            if self.fail_at is not None and self.calls >= self.fail_at:
                raise KeyboardInterrupt
            self.calls += 1
        n, k = len(crops), len(self.skeleton)
        brightness = crop_NHW3.reshape(n, -1).mean(1) / 255
        batch = crop_NHW3.mean() / 255 + n / 100
        centre = np.array([c.center_xy for c in crops])
        step = np.array([c.width for c in crops])[:, None] * np.linspace(-0.3, 0.3, k) * (1 + 0.01 * batch)
        xy = centre[:, None, :] + step[..., None] * [0.5, 1.0] + self.shift_px
        score = np.clip(np.linspace(0, 1, k) + 0.1 * brightness[:, None], 0, 1)
        return PoseBatch(self.skeleton, xy.astype(np.float32), score.astype(np.float32), np.zeros((n, 4), np.float32))


def write_picture(path: Path, width: int, height: int, seed: int = 0) -> None:
    """A smooth picture that differs with the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def coco_document(persons: int = 5, per_image: int = 2, skeleton: str = "coco17", seed: int = 0) -> dict[str, Any]:
    """A COCO-style file with odd ids, unknown fields and, for every person, most keypoints labelled."""
    rng = np.random.default_rng(seed)
    names = list(load_skeleton(skeleton).keypoints)
    images = [
        {"id": 900 - i, "file_name": f"sub/p{i}.png", "width": 64 + i % 3, "height": 48, "licence": {"id": i}}
        for i in range(-(-persons // per_image))
    ]
    annotations = []
    for i in range(persons):
        points = rng.uniform(5, 40, (len(names), 2)).round(2)
        v = rng.choice([0, 1, 2], len(names), p=[0.25, 0.25, 0.5])
        v[0] = 2
        triples = [[float(x), float(y), int(s)] if s else [0, 0, 0] for (x, y), s in zip(points, v, strict=True)]
        annotations.append(
            {
                "id": 7000 - 3 * i,
                "image_id": images[(i * 7) % len(images)]["id"],
                "category_id": 4,
                "iscrowd": 0,
                "bbox": [4.5, 3, 40.25, 38],
                "area": 700.125,
                "keypoints": [value for triple in triples for value in triple],
                "num_keypoints": int((v > 0).sum()),
                "segmentation": [[1, 2.5, 3e-7]],
                "my field": {"ü": [None, True]},
            }
        )
    return {
        "info": {"year": 2020, "weird": [1e16, 0.1]},
        "categories": [{"id": 9, "name": "dog"}, {"id": 4, "name": "person", "keypoints": names, "note": "kept"}],
        "images": images,
        "annotations": annotations,
        "unknown": [[]],
    }


def mpii_document(persons: int = 4, seed: int = 0) -> list[dict[str, Any]]:
    """An MPII json with both ways of saying 'no label'."""
    rng = np.random.default_rng(seed)
    records = []
    for i in range(persons):
        joints = rng.uniform(5, 40, (16, 2)).round(4).tolist()
        vis = [1] * 16
        for joint, sentinel in ((i % 16, [-1.0, -1.0]), ((i + 3) % 16, [0, 0])):
            joints[joint], vis[joint] = sentinel, 0
        records.append(
            {
                "joints_vis": vis,
                "joints": joints,
                "image": f"m{i // 2}.png",
                "scale": 0.21,
                "center": [30.0, 25.0],
                "odd": [i, {"a": None}],
            }
        )
    return records


class Folder:
    """A dataset on disk, made by a test."""

    def __init__(self, root: Path) -> None:
        self.root, self.images, self.file = root, root / "images", root / "in.json"
        self.out = root / "out.json"

    def write(self, document: Any, *, pictures: bool = True) -> Folder:
        """Write a document and the pictures it names."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(document))
        if pictures and isinstance(document, dict):
            for seed, image in enumerate(document["images"]):
                write_picture(self.images / image["file_name"], image["width"], image["height"], seed)
        elif pictures:
            for seed, name in enumerate(sorted({r["image"] for r in document})):
                write_picture(self.images / name, 70, 50, seed)
        return self

    def result(self) -> Any:
        """The extended file, parsed."""
        return json.loads(self.out.read_text())


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A described ONNX file of a few weights: bins depend on the crop's mean colour."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    width, height, k = 24, 32, 21
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["flat"]),
    ]
    weights = []
    for axis, bins in (("x", 2 * width), ("y", 2 * height)):
        table = rng.uniform(0, 0.6, (3, k * bins)).astype(np.float32)
        weights += [
            numpy_helper.from_array(table, f"w{axis}"),
            numpy_helper.from_array(np.array([0, k, bins], np.int64), f"s{axis}"),
        ]
        nodes.append(helper.make_node("MatMul", ["flat", f"w{axis}"], [f"m{axis}"]))
        nodes.append(helper.make_node("Reshape", [f"m{axis}", f"s{axis}"], [f"simcc_{axis}"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, height, width])],
        [
            helper.make_tensor_value_info("simcc_x", TensorProto.FLOAT, ["n", k, 2 * width]),
            helper.make_tensor_value_info("simcc_y", TensorProto.FLOAT, ["n", k, 2 * height]),
        ],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    description = {"name": "tiny", "skeleton": "union21", "size_wh": [width, height], "head": {"kind": "simcc"}}
    onnx.helper.set_model_props(model, {"poseunion": json.dumps(description)})
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def coco() -> Callable[..., dict[str, Any]]:
    return coco_document


@pytest.fixture
def mpii() -> Callable[..., list[dict[str, Any]]]:
    return mpii_document


@pytest.fixture
def fake() -> type[FakePredictor]:
    return FakePredictor


@pytest.fixture
def make_folder() -> type[Folder]:
    return Folder


def assert_coco_kept(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Every human number, unknown field, id and order of a COCO-style file survived `extend`."""
    changed = {"annotations", "categories", "poseunion"}
    assert [k for k in after if k != "poseunion"] == list(before)
    assert {k: v for k, v in after.items() if k not in changed} == {k: v for k, v in before.items() if k not in changed}
    person = next(c for c in before["categories"] if c.get("keypoints"))
    for old, new in zip(before["categories"], after["categories"], strict=True):
        assert {key: new[key] for key in old if key not in ("keypoints", "skeleton")} == {
            key: old[key] for key in old if key not in ("keypoints", "skeleton")
        }
    out_names = next(c for c in after["categories"] if c["id"] == person["id"])["keypoints"]
    own = [out_names.index(name) for name in person["keypoints"]]  # ValueError: a name was lost
    for old, new in zip(before["annotations"], after["annotations"], strict=True):
        if "keypoint_source" not in new:
            assert new == old
            continue
        assert [key for key in new if key in old] == list(old)
        kept = [key for key in old if key not in ("keypoints", "num_keypoints")]
        assert {key: new[key] for key in kept} == {key: old[key] for key in kept}
        assert len(new["keypoints"]) == 3 * len(out_names)
        assert len(new["keypoint_source"]) == len(new["keypoint_confidence"]) == len(out_names)
        triples = [new["keypoints"][i : i + 3] for i in range(0, len(new["keypoints"]), 3)]
        for position, i in enumerate(own):
            triple = old["keypoints"][3 * position : 3 * position + 3]
            assert (new["keypoint_source"][i] == "human") == (triple[2] > 0 and any(triple[:2]))  # (0, 0) is no label
            if triple[2] > 0:
                assert triples[i] == triple
        for source, triple in zip(new["keypoint_source"], triples, strict=True):
            assert (triple[2] == 0 or not any(triple[:2])) == (source == "none")
        if new["proposals"]:
            assert new["num_keypoints"] == sum(source != "none" for source in new["keypoint_source"])
            assert new.get("num_keypoints_original") == old.get("num_keypoints")


@pytest.fixture
def coco_kept() -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return assert_coco_kept
