"""A small file in each format's documented structure, from one description of people."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from poseunion.annotate.formats import FORMATS, AnnotationSet
from poseunion.annotate.formats.coco.coco_json_write import links_of
from poseunion.annotate.formats.extension import Completion, Extension, Origin
from poseunion.annotate.formats.matlab import cell_row, elements, fields, save_mat, struct_array
from poseunion.annotate.formats.skeleton_match import skeleton_to_json
from poseunion.models.skeleton import Visibility, load_skeleton

V, O, A, U = 2, 1, 0, -1  # the four states  # noqa: E741
SIZE = (64, 48)


@dataclass
class People:
    """What a sample file is to say.

    Attributes:
        xy: (N, K, 2) 0-based pixels.
        state: (N, K) states.
        image: (N,) index of each person's picture, in 0 … pictures - 1 and not descending.
        extra: a field that the format does not know, for formats that have room for one.
    """

    skeleton: str
    xy: np.ndarray
    state: np.ndarray
    image: list[int]
    pictures: int = 2
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """How a format's file is made.

    Attributes:
        skeleton: of its people.
        write: (folder, people) -> the file; pictures are expected by it where `pictures` says.
        picture: index -> the picture's name, relative to the folder of pictures.
        images: the folder of pictures, relative to the sample's folder.
        single: one person a picture, as many pictures as people.
        tolerance_px: how exact the file holds coordinates.
    """

    skeleton: str
    write: Callable[[Path, People], Path]
    picture: Callable[[int], str]
    images: str = "images"
    single: bool = False
    tolerance_px: float = 0.0


def write_pictures(folder: Path, sample: Sample, count: int) -> Path:
    """The pictures of a sample file, all grey; returns their folder."""
    root = folder / sample.images
    for index in range(count):
        path = root / sample.picture(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            Image.new("RGB", SIZE, (90, 120, 40 * index % 256)).save(path)
    return root


def _box(xy: np.ndarray, state: np.ndarray) -> list[float]:
    points = xy[state > 0]
    if not len(points):
        return [1.0, 2.0, 20.0, 30.0]
    low, high = points.min(0) - 1, points.max(0) + 1
    return [*low.tolist(), *(high - low).tolist()]


def _json(folder: Path, document: Any) -> Path:
    path = folder / "labels.json"
    path.write_text(json.dumps(document))
    return path


def _coco_document(people: People, names: list[str], numbers: dict[int, int], image: dict[str, Any]) -> dict[str, Any]:
    annotations = []
    for i, (xy, state) in enumerate(zip(people.xy, people.state, strict=True)):
        triples = [[*p, numbers[s]] if s > 0 else [0, 0, 0] for p, s in zip(xy.tolist(), state.tolist(), strict=True)]
        annotations.append(
            {
                "id": 50 - i,
                "image_id": 7 + people.image[i],
                "category_id": 1,
                "bbox": _box(xy, state),
                "keypoints": [v for t in triples for v in t],
                "num_keypoints": 3,
                **people.extra,
            }
        )
    images = [
        {"id": 7 + i, "file_name": f"p{i}.png", "width": SIZE[0], "height": SIZE[1], **image}
        for i in range(people.pictures)
    ]
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": names, "skeleton": []}
    return {"images": images, "annotations": annotations, "categories": [category], "x": people.extra}


COCO_NUMBERS = {V: 2, O: 1}


def _coco(folder: Path, people: People) -> Path:
    document = _coco_document(people, list(load_skeleton("coco17").keypoints), COCO_NUMBERS, {})
    document["categories"][0]["skeleton"] = links_of(load_skeleton("coco17"))
    return _json(folder, document)


def _halpe(folder: Path, people: People) -> Path:
    document = _coco_document(people, [], COCO_NUMBERS, {"license": 4})
    for index, record in enumerate(document["annotations"]):
        record["keypoints"] += [float(index), 2.0, 0.0] * 40 + [4, 5, 2] * 70
    return _json(folder, document)


def _crowdpose(folder: Path, people: People) -> Path:
    names = [*load_skeleton("crowdpose14").keypoints[:12], "head", "neck"]
    return _json(folder, _coco_document(people, names, COCO_NUMBERS, {"crowdIndex": 0.33}))


def _posetrack(folder: Path, people: People) -> Path:
    names = list(load_skeleton("posetrack17").keypoints)
    names[1] = "head_bottom"
    image = {"vid_id": "012834", "is_labeled": True, "nframes": 140, "frame_id": 10128340000, "ignore_regions_x": [[3]]}
    document = _coco_document(people, names, {V: 1}, image)
    for record in document["annotations"]:
        record |= {"track_id": 0, "bbox_head": [1, 2, 3, 4], "scores": []}
    return _json(folder, document)


def _jhmdb(folder: Path, people: People) -> Path:
    names = list(load_skeleton("jhmdb15").keypoints)
    names[0], names[2] = "neck", "head"
    document = _coco_document(people, names, COCO_NUMBERS, {"vid_id": "00228", "is_labeled": True, "frame_id": 2280001})
    return _json(folder, document)


def _mpii(folder: Path, people: People) -> Path:
    records = []
    for i, (xy, state) in enumerate(zip(people.xy, people.state, strict=True)):
        joints = [[x + 1, y + 1] if s > 0 else [-1.0, -1.0] for (x, y), s in zip(xy.tolist(), state, strict=True)]
        records.append(
            {
                "joints_vis": [int(s == V) for s in state],
                "joints": joints,
                "image": f"p{people.image[i]}.png",
                "scale": 0.2,
                "center": [30.0, 25.0],
                **people.extra,
            }
        )
    return _json(folder, records)


def mpii_release(people: People, spellings: tuple[Any, ...] = (1, "1")) -> dict[str, Any]:
    """The variables of MPII's .mat: several people a picture, head points without is_visible, a test picture.

    Args:
        spellings: how "visible" is written, in turn; MPII uses numbers and characters.
    """
    annolist = []
    for position in range(people.pictures):
        rects = []
        for i in [i for i, image in enumerate(people.image) if image == position]:
            points = []
            for k, (x, y) in enumerate(people.xy[i].tolist()):
                visible: Any = {V: spellings[k % len(spellings)], O: "0" if k % 2 else 0}.get(int(people.state[i, k]))
                if people.state[i, k] > 0:
                    said = None if k in (8, 9) and people.state[i, k] == V else visible
                    points.append({"x": x + 1, "y": y + 1, "id": k, "is_visible": said})
            rect: dict[str, Any] = {"x1": 20, "y1": 5, "x2": 30, "y2": 17, "scale": 0.2}
            rect["objpos"] = struct_array([{"x": 30.0, "y": 25.0}])
            if (people.state[i] != U).all():
                point = struct_array(points, ("x", "y", "id", "is_visible")) if points else np.zeros((0, 0))
                if not points:  # a struct array without elements
                    point = struct_array([], ("x", "y", "id", "is_visible"))
                rect["annopoints"] = struct_array([{"point": point}])
            rects.append(rect)
        columns = ("x1", "y1", "x2", "y2", "annopoints", "scale", "objpos")
        name = struct_array([{"name": f"p{position}.png"}])
        annolist.append(
            {
                "image": name,
                "annorect": struct_array(rects, columns) if rects else np.zeros((0, 0)),
                "frame_sec": np.zeros((0, 0)) if position else 11,
                "vididx": 1,
            }
        )
    act = struct_array([{"act_name": "curling", "cat_name": "sports", "act_id": 1}] * people.pictures)
    release = {
        "annolist": struct_array(annolist),
        "img_train": np.ones((1, people.pictures), np.uint8),
        "version": "12",
        "single_person": cell_row([np.array([[1]])] * people.pictures),
        "act": act,
        "video_list": cell_row(["abc"]),
        "unknown": struct_array([{"x": np.array([[1.5, np.pi]]), "note": "kept"}]),
    }
    return {"RELEASE": struct_array([release])}


def _mat(folder: Path, variables: dict[str, Any]) -> Path:
    path = folder / "labels.mat"
    with path.open("wb") as file:
        save_mat(file, variables)
    return path


def _mpii_mat(folder: Path, people: People) -> Path:
    return _mat(folder, mpii_release(people))


def _lsp(folder: Path, people: People) -> Path:
    """(3, 14, N): the third row is 1 where occluded."""
    flag = (people.state == O).astype(float)[..., None]
    xy = np.where(people.state[..., None] > 0, people.xy, -5.0)
    return _mat(folder, {"joints": np.concatenate([xy, flag], -1).transpose(2, 1, 0), "unknown": "kept"})


def lspet(folder: Path, people: People) -> Path:
    """(14, 3, N): the third row is 1 where labelled."""
    flag = (people.state > 0).astype(float)[..., None]
    xy = np.where(people.state[..., None] > 0, people.xy, 0.0)
    return _mat(folder, {"joints": np.concatenate([xy, flag], -1).transpose(1, 2, 0)})


def _aic(folder: Path, people: People) -> Path:
    pictures = []
    for position in range(people.pictures):
        boxes, points = {}, {}
        for number, i in enumerate([i for i, image in enumerate(people.image) if image == position], 1):
            x, y, w, h = _box(people.xy[i], people.state[i])
            boxes[f"human{number}"] = [x, y, x + w, y + h]
            rows = zip(people.xy[i].tolist(), people.state[i].tolist(), strict=True)
            points[f"human{number}"] = [v for xy, s in rows for v in ([*xy, {V: 1, O: 2}[s]] if s > 0 else [0, 0, 3])]
        entry = {"image_id": f"p{position}", "url": "http://x", "human_annotations": boxes, **people.extra}
        pictures.append({**entry, "keypoint_annotations": points})
    return _json(folder, pictures)


def _yolo(folder: Path, people: People) -> Path:
    names = load_skeleton("coco17")
    lines: dict[int, list[str]] = {}
    for i, (xy, state) in enumerate(zip(people.xy, people.state, strict=True)):
        x, y, w, h = _box(xy, state)
        values = [(x + w / 2) / SIZE[0], (y + h / 2) / SIZE[1], w / SIZE[0], h / SIZE[1]]
        for (px, py), s in zip(xy.tolist(), state.tolist(), strict=True):
            values += [px / SIZE[0], py / SIZE[1], s] if s > 0 else [0, 0, 0]
        lines.setdefault(people.image[i], []).append(
            "0 " + " ".join(f"{v:.8f}".rstrip("0").rstrip(".") for v in values)
        )
    for position, content in lines.items():
        path = folder / f"labels/train/p{position}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(content) + "\n")
    (folder / "images/train").mkdir(parents=True, exist_ok=True)
    path = folder / "data.yaml"
    extra = f"x: {json.dumps(people.extra)}\n"
    path.write_text(
        "path: ../datasets/nowhere\ntrain: images/train\nval: images/train\nnames:\n  0: person\n"
        f"kpt_shape: [17, 3]\nflip_idx: {names.flip_indices.tolist()}\n{extra}"
    )
    return path


def _datumaro(folder: Path, people: People) -> Path:
    names = list(load_skeleton("coco17").keypoints)
    labels = [
        {"name": "dog", "parent": "", "attributes": []},
        {"name": "person", "parent": "", "attributes": ["occluded"]},
    ]
    labels += [{"name": name, "parent": "person", "attributes": []} for name in names]
    items: list[dict[str, Any]] = [
        {
            "id": f"p{i}",
            "annotations": [
                {"id": 0, "type": "bbox", "label_id": 0, "bbox": [1, 2, 3, 4], "group": 0, "attributes": {}}
            ],
            "attr": {"frame": i},
            "image": {"path": f"p{i}.png", "size": [SIZE[1], SIZE[0]]},
            **people.extra,
        }
        for i in range(people.pictures)
    ]
    for i, (xy, state) in enumerate(zip(people.xy, people.state, strict=True)):
        shapes = items[people.image[i]]["annotations"]
        elements = [
            {
                "id": 0,
                "type": "points",
                "attributes": {"note": "kept"},
                "group": 0,
                "label_id": 2 + k,
                "points": point,
                "z_order": 0,
                "visibility": [int(s)],
            }
            for k, (point, s) in enumerate(zip(xy.tolist(), state.tolist(), strict=True))
            if s > 0 or k % 2  # CVAT writes points that are outside, other tools leave them out
        ]
        shapes.append(
            {
                "id": 0,
                "type": "skeleton",
                "attributes": {"occluded": False, **people.extra},
                "group": i + 1,
                "label_id": 1,
                "elements": elements,
            }
        )
        box = {"id": 0, "type": "bbox", "attributes": {}, "group": i + 1, "label_id": 1, "bbox": _box(xy, state)}
        shapes.append(box)
    points = {"label_id": 1, "labels": names, "joints": [[1, 2]]}
    categories = {
        "label": {"labels": labels, "attributes": []},
        "points": {"items": [points]},
        "mask": {"colormap": []},
    }
    return _json(folder, {"info": {}, "categories": categories, "items": items})


def _results(folder: Path, people: People) -> Path:
    records = []
    for i, (xy, state) in enumerate(zip(people.xy, people.state, strict=True)):
        points = [
            [*p, 0.125 + k / 32] if s > 0 else [0, 0, 0]
            for k, (p, s) in enumerate(zip(xy.tolist(), state.tolist(), strict=True))
        ]
        flat = [v for point in points for v in point]
        records.append({"image_id": people.image[i], "category_id": 1, "keypoints": flat, "score": 0.5, **people.extra})
    return _json(folder, records)


def _wholebody(folder: Path, people: People) -> Path:
    document = _coco_document(people, list(load_skeleton("coco17").keypoints), COCO_NUMBERS, {})
    for record in document["annotations"]:
        record |= {"foot_kpts": [1, 2, 2] * 6, "face_kpts": [0.5, 2, 1] * 68, "lefthand_kpts": [0] * 63}
        record |= {"righthand_kpts": [0] * 63, "foot_valid": True, "lefthand_box": [1, 2, 3, 4]}
    return _json(folder, document)


def _cvat_xml(folder: Path, people: People) -> Path:
    names = load_skeleton("coco17").keypoints
    pictures = []
    for position in range(people.pictures):
        shapes = []
        for i in [i for i, image in enumerate(people.image) if image == position]:
            points = "".join(
                f'<points label="{name}" source="manual" outside="{int(s == A)}" occluded="{int(s == O)}" '
                f'points="{x!r},{y!r}"></points>'
                for name, (x, y), s in zip(names, people.xy[i].tolist(), people.state[i].tolist(), strict=True)
            )
            shapes.append(
                f'<skeleton label="person" source="manual" z_order="0" group_id="{i + 1}">{points}</skeleton>'
            )
            x, y, w, h = _box(people.xy[i], people.state[i])
            box = f'xtl="{x!r}" ytl="{y!r}" xbr="{x + w!r}" ybr="{y + h!r}"'
            shapes.append(f'<box label="person" occluded="0" {box} group_id="{i + 1}"></box>')
        size = f'width="{SIZE[0]}" height="{SIZE[1]}"'
        pictures.append(f'<image id="{position}" name="p{position}.png" {size}>{"".join(shapes)}</image>')
    path = folder / "annotations.xml"
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta/>'
    path.write_text(f"{head}{''.join(pictures)}</annotations>")
    return path


def _label_studio(folder: Path, people: People) -> Path:
    names = load_skeleton("coco17").keypoints
    tasks = []
    for position in range(people.pictures):
        items: list[dict[str, Any]] = []
        for i in [i for i, image in enumerate(people.image) if image == position]:
            shared = {"original_width": SIZE[0], "original_height": SIZE[1], "to_name": "image", **people.extra}
            shares = [v / side * 100 for v, side in zip(_box(people.xy[i], people.state[i]), SIZE * 2, strict=True)]
            value: dict[str, Any] = dict(zip(("x", "y", "width", "height"), shares, strict=True))
            value |= {"rotation": 0, "rectanglelabels": ["person"]}
            items.append({"id": f"b{i}", "type": "rectanglelabels", "from_name": "bbox", "value": value, **shared})
            for name, (x, y), s in zip(names, people.xy[i].tolist(), people.state[i].tolist(), strict=True):
                place = {"x": x / SIZE[0] * 100, "y": y / SIZE[1] * 100, "width": 0.2}
                head = {"id": f"{i}{name}", "parentID": f"b{i}", **shared}
                if s > 0:
                    point = {**place, "keypointlabels": [name]}
                    items.append({**head, "type": "keypointlabels", "from_name": "kp", "value": point})
                if s == O:
                    hidden = {**place, "choices": ["Hidden"]}
                    items.append({**head, "type": "choices", "from_name": "seen", "value": hidden})
        annotation = {"id": 7 + position, "was_cancelled": False, "ground_truth": False, "result": items}
        tasks.append({"id": 3 + position, "data": {"image": f"p{position}.png"}, "annotations": [annotation]})
    return _json(folder, tasks)


def _labelme(folder: Path, people: People) -> Path:
    names = load_skeleton("coco17").keypoints
    (folder / "labels").mkdir(exist_ok=True, parents=True)
    for position in range(people.pictures):
        shapes: list[dict[str, Any]] = []
        for i in [i for i, image in enumerate(people.image) if image == position]:
            x, y, w, h = _box(people.xy[i], people.state[i])
            shared = {"group_id": i, "flags": {}, **people.extra}
            box = {"label": "person", "points": [[x, y], [x + w, y + h]], "shape_type": "rectangle"}
            shapes.append({**box, **shared})
            for name, point, s in zip(names, people.xy[i].tolist(), people.state[i].tolist(), strict=True):
                if s > 0:
                    shapes.append(
                        {"label": name, "points": [point], "shape_type": "point", "difficult": s == O, **shared}
                    )
        page: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": f"p{position}.png",
            "imageData": None,
        }
        page |= {"imageWidth": SIZE[0], "imageHeight": SIZE[1]}
        (folder / f"labels/p{position}.json").write_text(json.dumps(page))
    return folder / "labels"


def _openpose(folder: Path, people: People) -> Path:
    (folder / "poses").mkdir(exist_ok=True, parents=True)
    for position in range(people.pictures):
        found = []
        for i in [i for i, image in enumerate(people.image) if image == position]:
            points = [
                [*p, 0.125 + k / 32] if s > 0 else [0, 0, 0]
                for k, (p, s) in enumerate(zip(people.xy[i].tolist(), people.state[i].tolist(), strict=True))
            ]
            hand = {"hand_left_keypoints_2d": [1.5, 2.5, 0.5] * 21, **people.extra}
            found.append({"person_id": [-1], "pose_keypoints_2d": [v for p in points for v in p], **hand})
        page: dict[str, Any] = {"version": 1.3, "people": found, **people.extra}
        (folder / f"poses/p{position}_keypoints.json").write_text(json.dumps(page))
    return folder / "poses"


def _png(index: int) -> str:
    return f"p{index}.png"


SAMPLES: dict[str, Sample] = {
    "coco": Sample("coco17", _coco, _png),
    "halpe": Sample("halpe26", _halpe, _png),
    "crowdpose": Sample("crowdpose14", _crowdpose, _png),
    "posetrack18": Sample("posetrack17", _posetrack, _png),
    "jhmdb": Sample("jhmdb15", _jhmdb, _png),
    "mpii": Sample("mpii16", _mpii, _png),
    "mpii-mat": Sample("mpii16", _mpii_mat, _png),
    "lsp-mat": Sample("lsp14", _lsp, lambda i: f"im{i + 1:04d}.jpg", single=True),
    "aic": Sample("aic14", _aic, lambda i: f"p{i}.jpg"),
    "yolo-pose": Sample("coco17", _yolo, lambda i: f"images/train/p{i}.png", ".", tolerance_px=SIZE[0] * 1e-8),
    "datumaro": Sample("coco17", _datumaro, _png),
    "wholebody": Sample("coco17", _wholebody, _png),
    "cvat-xml": Sample("coco17", _cvat_xml, _png),
    "label-studio": Sample("coco17", _label_studio, _png, tolerance_px=1e-12 * SIZE[0]),
    "labelme": Sample("coco17", _labelme, _png),
    "openpose": Sample("openpose25", _openpose, lambda i: f"p{i}.jpg"),
    "coco-results": Sample("coco17", _results, lambda i: f"{i:012d}.jpg"),
}

# Other layouts of a format: LSP extended's joints.mat, which tells labelled points and not occluded ones.
VARIANTS = {"lspet": Sample("lsp14", lspet, lambda i: f"im{i + 1:05d}.jpg", single=True)}
VARIANT_STATES = {"lspet": (Visibility.VISIBLE, Visibility.ABSENT)}


def format_of(name: str) -> str:
    """The registry's name of a sample."""
    return {"lspet": "lsp-mat"}.get(name, name)


def nothing_added(annotations: AnnotationSet) -> Extension:
    """What `extend` would give a writer if no model had anything to say."""

    def rows(start: int, stop: int) -> Completion:
        labelled = annotations.visibility[start:stop] > 0
        shape = labelled.shape
        origin = np.where(labelled, Origin.HUMAN, Origin.NONE).astype(np.int8)
        return Completion(start, origin, np.zeros((*shape, 2)), np.zeros(shape, np.int8), np.full(shape, np.nan))

    block = {"version": "test", "skeleton": skeleton_to_json(annotations.skeleton)}
    return Extension(annotations.skeleton, block, lambda index: SIZE, rows)


def contains(new: Any, old: Any) -> bool:
    """Is everything of `old` in `new`, at its place and to the digit? New fields are allowed, new items are not."""
    if fields(old):
        same = new.shape == old.shape and set(fields(old)) <= set(fields(new))
        pairs = zip(elements(new), elements(old), strict=True)
        return bool(same and all(contains(n[name], o[name]) for n, o in pairs for name in fields(old)))
    if isinstance(old, np.ndarray) and old.dtype == object:
        return bool(new.shape == old.shape and all(map(contains, elements(new), elements(old))))
    if isinstance(old, np.ndarray):
        return bool(new.shape == old.shape and new.dtype == old.dtype and np.array_equal(new, old))
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and contains(new[key], old[key]) for key in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(contains, new, old))
    return type(new) is type(old) and bool(new == old)


def unpacked(path: Path) -> Path:
    """A written file as one that can be read: YOLO's zip is unpacked beside itself, OpenPose's into a folder."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        archive.extractall(path.parent / path.stem if "data.yaml" not in archive.namelist() else path.parent)
        return path.parent / ("data.yaml" if "data.yaml" in archive.namelist() else path.stem)


def written_name(folder: Path, output: str) -> Path:
    """A file name that fits a format."""
    return folder / f"out{FORMATS[output].ending}"


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """Everything of this file, for test modules, which cannot import it."""
    return SimpleNamespace(**globals())


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., tuple[Path, Any]]:
    """(name of a format) -> its sample file of three people, and what they are."""

    def build(name: str, state: int = 2) -> tuple[Path, Any]:
        sample = SAMPLES[name]
        k = len(load_skeleton(sample.skeleton))
        xy = np.arange(3 * k * 2).reshape(3, k, 2) % 37 + 4.5
        image = [0, 1, 2] if sample.single else [0, 0, 1]
        wanted = People(sample.skeleton, xy, np.full((3, k), state), image, 3 if sample.single else 2)
        write_pictures(tmp_path, sample, wanted.pictures)
        return sample.write(tmp_path, wanted), wanted

    return build
