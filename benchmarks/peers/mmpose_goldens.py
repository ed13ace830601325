"""Write mmpose's own answers to the recipe to `tests/golden/mmpose*`. Runs in setup_mmpose.sh's environment.

Everything is called as mmpose calls it: networks are built from the configuration files inside its package, transforms,
codecs and metrics are its classes.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import numpy as np
import recipe

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"


class _Operators(types.ModuleType):
    """Stands for mmcv's compiled operators, which mmcv-lite lacks: there to be imported, refuses to be called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def absent(*_: Any, **__: Any) -> None:
            raise RuntimeError(f"mmcv's compiled operator {name} is not here")

        return absent


sys.modules["mmcv._ext"] = _Operators("mmcv._ext")

import mmpose  # noqa: E402
import torch  # noqa: E402
from mmdet.models.backbones import CSPNeXt  # noqa: E402, F401  registers the backbone that RTMPose's configs name
from mmengine.config import Config  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402
from mmpose.codecs import SimCCLabel  # noqa: E402
from mmpose.codecs.utils import get_simcc_maximum  # noqa: E402
from mmpose.datasets.datasets import MpiiDataset  # noqa: E402
from mmpose.datasets.transforms import GetBBoxCenterScale, RandomFlip, TopdownAffine  # noqa: E402
from mmpose.evaluation.functional.nms import oks_iou  # noqa: E402
from mmpose.evaluation.metrics import MpiiPCKAccuracy  # noqa: E402
from mmpose.models import build_pose_estimator  # noqa: E402
from mmpose.models.utils.tta import flip_vectors  # noqa: E402
from scipy.io import savemat  # noqa: E402
from xtcocotools.coco import COCO  # noqa: E402
from xtcocotools.cocoeval import COCOeval  # noqa: E402

CONFIGS = Path(mmpose.__file__).parent / ".mim" / "configs"
RTMPOSE = CONFIGS / "body_2d_keypoint" / "rtmpose"
# Our skeleton -> mmpose's description of the same data set.
DATASETS = {
    "coco17": "coco",
    "mpii16": "mpii",
    "halpe26": "halpe26",
    "crowdpose14": "crowdpose",
    "aic14": "aic",
    "posetrack17": "posetrack18",
    "jhmdb15": "jhmdb",
    "ochuman17": "ochuman",
    "mhp16": "mhp",
}


def build(config: Path, keypoints: int) -> torch.nn.Module:
    """The network of a configuration with the recipe's weights."""
    model = Config.fromfile(config).model
    model.backbone.norm_cfg = {"type": "BN"}  # SyncBN computes the same, but wants a process group
    model.head.out_channels = keypoints
    network = build_pose_estimator(model)
    state = {n: torch.from_numpy(recipe.weights(n, tuple(v.shape))) for n, v in network.state_dict().items()}
    network.load_state_dict(state, strict=True)
    return network.eval()


def networks() -> dict[str, np.ndarray]:
    """Logits, thinned, and the names and shapes of all parameters."""
    golden: dict[str, np.ndarray] = {}
    cases = [(s, k, "coco", f"rtmpose-{s}_8xb256-420e_coco-256x192.py") for s in recipe.SIZES for k in recipe.KEYPOINTS]
    cases.append(("m", 16, "mpii", "rtmpose-m_8xb64-210e_mpii-256x256.py"))
    for size, k, data, config in cases:
        network = build(RTMPOSE / data / config, k)
        pixels = torch.from_numpy(recipe.network_input(recipe.GRIDS[data][0]))
        with torch.no_grad():
            x, y = network(pixels, None, mode="tensor")
        case = f"{size}-{k}-{data}"
        golden[f"{case}-x"], golden[f"{case}-y"] = recipe.thinned(x.numpy()), recipe.thinned(y.numpy())
        shapes = [f"{n} {tuple(v.shape)}" for n, v in network.state_dict().items()]
        golden[f"{case}-names"] = np.array("\n".join(shapes))
        print(case, tuple(x.shape), tuple(y.shape), f"largest logit {max(x.abs().max(), y.abs().max()):.2f}")
    return golden


def public() -> dict[str, np.ndarray]:
    """The same of the networks whose checkpoints mmpose publishes with 26 and 133 keypoints."""
    golden: dict[str, np.ndarray] = {}
    pixels = torch.from_numpy(recipe.network_input(recipe.GRIDS["coco"][0]))
    for case, (keypoints, config) in recipe.PUBLIC.items():
        network = build(CONFIGS / config, keypoints)
        with torch.no_grad():
            x, y = network(pixels, None, mode="tensor")
        golden[f"{case}-x"], golden[f"{case}-y"] = recipe.thinned(x.numpy()), recipe.thinned(y.numpy())
        golden[f"{case}-names"] = np.array("\n".join(f"{n} {tuple(v.shape)}" for n, v in network.state_dict().items()))
        print(case, tuple(x.shape), tuple(y.shape), f"largest logit {max(x.abs().max(), y.abs().max()):.2f}")
    return golden


def codec() -> dict[str, np.ndarray]:
    """SimCCLabel's labels and weights, and decoded logits."""
    golden: dict[str, np.ndarray] = {}
    for name, (size_wh, sigma) in recipe.GRIDS.items():
        label = SimCCLabel(size_wh, sigma=sigma, simcc_split_ratio=2.0, normalize=False, use_dark=False)
        encoded = label.encode(recipe.codec_points(size_wh))
        for axis in "xy":
            bins = encoded[f"keypoint_{axis}_labels"][..., :: recipe.STRIDE]
            golden[f"{name}-label-{axis}"] = np.where(bins > 1e-12, bins, 0).astype(np.float32)
        golden[f"{name}-weight"] = encoded["keypoint_weights"]
        x, y = recipe.codec_logits(size_wh)
        golden[f"{name}-xy"], golden[f"{name}-score"] = label.decode(x.copy(), y.copy())
        locations, _ = get_simcc_maximum(x.copy(), y.copy())
        golden[f"{name}-bins"] = locations
        flipped, _ = flip_vectors(torch.from_numpy(x), torch.from_numpy(y), recipe.FLIP)
        golden[f"{name}-unflipped-x"] = flipped.numpy()[..., 1 :: recipe.STRIDE]
    return golden


def crops() -> dict[str, np.ndarray]:
    """Where TopdownAffine puts keypoints, and the pixels it cuts; with and without RandomFlip before it."""
    golden: dict[str, np.ndarray] = {}
    image = recipe.picture()
    height, width = image.shape[:2]
    for number, (box, size_wh, rotation) in enumerate(recipe.CROPS):
        x, y, w, h = box
        for flipped in (False, True):
            points = np.array([[[x, y], [x + w, y], [x, y + h], [x + w / 2, y + h / 2]]], np.float32)
            results: dict[str, Any] = {
                "img": image.copy(),
                "img_shape": (height, width),
                "bbox": np.array([[x, y, x + w, y + h]], np.float32),
                "keypoints": points,
                "keypoints_visible": np.ones((1, 4), np.float32),
                "flip_indices": [0, 1, 2, 3],
            }
            results = GetBBoxCenterScale().transform(results)
            if flipped:
                results = RandomFlip(prob=1.0)(results)
            results["bbox_rotation"] = np.array([rotation], np.float32)
            results = TopdownAffine(size_wh).transform(results)
            case = f"{number}-flip" if flipped else f"{number}"
            golden[f"{case}-points"] = results["transformed_keypoints"][0]
            if not flipped:
                golden[f"{case}-scale"] = results["input_scale"]
                golden[f"{case}-pixels"] = results["img"]
    return golden


def mpii() -> dict[str, Any]:
    """What MpiiDataset reads from a json, and MpiiPCKAccuracy's scores."""
    n = 40
    records, boxes = recipe.mpii_records(n), recipe.head_boxes(n)
    _, predicted, _ = recipe.people(n, 16)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mpii.json").write_text(json.dumps(records))
        savemat(Path(folder) / "heads.mat", {"headboxes_src": boxes.reshape(n, 2, 2).transpose(1, 2, 0)})
        dataset = MpiiDataset(
            ann_file=str(Path(folder) / "mpii.json"),
            headbox_file=str(Path(folder) / "heads.mat"),
            metainfo={"from_file": str(CONFIGS / "_base_/datasets/mpii.py")},
            test_mode=True,
        )
        rows = [dataset.get_data_info(i) for i in range(len(dataset))]
    metric = MpiiPCKAccuracy()
    for row, xy in zip(rows, predicted, strict=True):
        truth = {key: row[key] for key in ("keypoints", "keypoints_visible", "head_size")}
        metric.process([{}], [{"gt_instances": truth, "pred_instances": {"keypoints": xy[None]}}])
    return {
        "center": [row["bbox_center"][0].tolist() for row in rows],
        "scale": [row["bbox_scale"][0].tolist() for row in rows],
        "head_size": [float(row["head_size"].item()) for row in rows],
        "first_joints": rows[0]["keypoints"][0].tolist(),
        "scores": {name: float(value) for name, value in metric.compute_metrics(metric.results).items()},
    }


def oks() -> dict[str, Any]:
    """xtcocotools' OKS of each person with its own labels (area stated, and .53 of the box), and mmpose's oks_iou."""
    golden: dict[str, Any] = {}
    for name, k in (("coco", 17), ("crowdpose", 14)):
        sigmas = np.array(Config.fromfile(CONFIGS / "_base_" / "datasets" / f"{name}.py").dataset_info["sigmas"])
        truth, predicted, visibility = recipe.people(30, k)
        span = np.ptp(truth, axis=1)
        gt, dt = [], []
        for i in range(len(truth)):
            person = {"id": i + 1, "image_id": i + 1, "category_id": 1, "iscrowd": 0, "area": float(span[i].prod() / 2)}
            person["bbox"] = [*truth[i].min(0).tolist(), *span[i].tolist()]
            person["keypoints"] = np.column_stack([truth[i], visibility[i]]).ravel().tolist()
            person["num_keypoints"] = int((visibility[i] > 0).sum())
            gt.append(person)
            keypoints = np.column_stack([predicted[i], np.ones(k)]).ravel().tolist()
            dt.append({**person, "score": 1.0, "keypoints": keypoints})
        coco = COCO()
        images = [{"id": p["id"], "width": 640, "height": 640} for p in gt]
        coco.dataset = {"images": images, "annotations": gt, "categories": [{"id": 1, "name": "person"}]}
        for use_area in (True, False):
            with contextlib.redirect_stdout(io.StringIO()):
                coco.createIndex()
                evaluation = COCOeval(coco, coco.loadRes([dict(d) for d in dt]), "keypoints", sigmas, use_area=use_area)
                evaluation.evaluate()
            values = [float(np.asarray(evaluation.ious[(p["id"], 1)])[0, 0]) for p in gt]
            golden[f"{name}-{'area' if use_area else 'box'}"] = values
        golden[f"{name}-sigmas"] = sigmas.tolist()
        everyone = [
            oks_iou(np.array(g["keypoints"]), np.array([d["keypoints"]]), g["area"], np.array([g["area"]]), sigmas)
            for g, d in zip(gt, dt, strict=True)
        ]
        golden[f"{name}-oks_iou"] = np.concatenate(everyone).astype(float).tolist()
    return golden


def skeletons() -> dict[str, Any]:
    """Names in order, left/right partners and sigmas of mmpose's data sets."""
    golden = {}
    for ours, theirs in DATASETS.items():
        info = Config.fromfile(CONFIGS / "_base_" / "datasets" / f"{theirs}.py").dataset_info
        points = [info.keypoint_info[i] for i in sorted(info.keypoint_info)]
        golden[ours] = {
            "names": [p["name"] for p in points],
            "swap": [p["swap"] for p in points],
            "sigmas": list(info.sigmas),
        }
    return golden


def main() -> None:
    """Write all golden files."""
    torch.set_num_threads(1)
    DefaultScope.get_instance("mmpose", scope_name="mmpose")
    GOLDEN.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN / "mmpose_networks.npz", **networks())
    np.savez_compressed(GOLDEN / "mmpose_public.npz", **public())
    np.savez_compressed(GOLDEN / "mmpose_codec.npz", **codec())
    np.savez_compressed(GOLDEN / "mmpose_crops.npz", **crops())
    text = {"mmpose": mmpose.__version__, "mpii": mpii(), "oks": oks(), "skeletons": skeletons()}
    (GOLDEN / "mmpose.json").write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
