"""Review in CVAT: people go out as skeletons, and what differs when they come back are decisions.

Out: a zip of Datumaro 1.0 (see `formats.datumaro`) with the people's human points and all their proposals, accepted or
not, under the skeleton's own names; each skeleton has its record's id as attribute `annotation_id`, `accepted` of each
proposal states whether it stands. Beside it the labels, for CVAT's "Raw" tab of a new project, without which CVAT drops
these attributes. Back: CVAT's export as Datumaro 1.0, CVAT for images 1.1 or COCO Keypoints 1.0.
"""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet, read_annotations
from poseunion.annotate.formats.datumaro import datumaro_json_write as datumaro_write
from poseunion.annotate.formats.extension_view import human_view
from poseunion.annotate.formats.review_entries import HUMAN, NONE
from poseunion.annotate.review.returned import Returned, Review, compare, shown_people
from poseunion.models.errors import BadFileError
from poseunion.models.files import atomic_writer, check_unpacked, write_json
from poseunion.models.skeleton import Skeleton

INSIDE = "annotations/default.json"  # its place in CVAT's zip
ID = "annotation_id"


def export_slice(annotations: AnnotationSet, rows: list[int], out: Path) -> int:
    """Write the people `rows` as a zip for CVAT, see `shown_people`, and its labels beside it; returns their number."""
    chosen, extension = shown_people(annotations, rows)
    written = io.BytesIO()
    datumaro_write.write(written, human_view(chosen), extension)
    slice_ = json.loads(written.getvalue())
    people = _name_people(slice_, chosen)
    with atomic_writer(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(INSIDE), json.dumps(slice_, ensure_ascii=False))
    write_json(labels_path(out), labels(chosen.skeleton, _template(chosen)), indent=1)
    return people


def labels_path(out: Path) -> Path:
    """The labels beside an export."""
    return out.with_name(out.stem + ".labels.json")


def read_back(
    annotations: AnnotationSet,
    exported: Path,
    returned: Path,
    reviewer: str,
    time: str,
    *,
    human: bool = False,
    accept_unmoved: bool = False,
) -> Returned:
    """Compare what came back with what went out.

    Args:
        annotations: the extended file the export was made from; it may have got other decisions since.
        human: changed human points are decisions, too.
        accept_unmoved: proposals that came back as they were are accepted: the reviewer has looked at every point.

    Raises:
        BadFileError: a file is no export of CVAT, or of another skeleton.
    """
    before, after = (_read_export(path, annotations.skeleton) for path in (exported, returned))
    if not all(ID in record.get("attributes", {}) for record in before.records):
        raise BadFileError(f"{exported} was not written by annotate cvat-export: give the zip that went out.")
    ids = [record["attributes"][ID] for record in before.records]
    back = [(r.get("attributes") or {}).get(ID) if isinstance(r, dict) else None for r in after.records]
    keys = [str(name) for name in ids], [None if name is None else str(name) for name in back]
    review = Review(reviewer, time)
    return compare(annotations, before, after, ids, keys, lambda _: review, human=human, accept_unmoved=accept_unmoved)


def _read_export(path: Path, skeleton: Skeleton) -> AnnotationSet:
    """An export of CVAT, zipped or not, with its keypoints in the order of `skeleton`."""
    if path.suffix.lower() != ".zip":
        return _ordered(read_annotations(path, None, skeleton), skeleton)
    check_unpacked(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if _is_annotations(name)]
            content = [archive.read(name) for name in names[:2]]
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise BadFileError(f"Cannot read {path}: {error}.") from error
    if len(content) != 1:
        raise BadFileError(
            f"{path} holds {len(names)} files of annotations: export one task as Datumaro 1.0, CVAT for images 1.1 or "
            "COCO Keypoints 1.0."
        )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.with_suffix(PurePosixPath(names[0]).suffix).name
        file.write_bytes(content[0])
        return _ordered(read_annotations(file, None, skeleton), skeleton)


def _is_annotations(name: str) -> bool:
    """Whether a member of CVAT's zip holds annotations: of Datumaro and COCO, or of "CVAT for images"."""
    return (name.startswith("annotations/") and name.endswith(".json")) or name == "annotations.xml"


def _ordered(annotations: AnnotationSet, skeleton: Skeleton) -> AnnotationSet:
    order = [annotations.skeleton.index(name) for name in skeleton.keypoints]
    return dataclasses.replace(
        annotations, skeleton=skeleton, xy=annotations.xy[:, order], visibility=annotations.visibility[:, order]
    )


def _name_people(slice_: dict[str, Any], chosen: AnnotationSet) -> int:
    """Give every skeleton its record's id, every proposal `accepted`; returns the number of skeletons."""
    by_picture: dict[int, list[int]] = {}
    for row in range(len(chosen)):
        by_picture.setdefault(int(chosen.image_index[row]), []).append(row)
    names = [label["name"] for label in slice_["categories"]["label"]["labels"]]
    people = 0
    for picture, item in enumerate(slice_["items"]):
        for shape, row in zip(item["annotations"], by_picture.get(picture, []), strict=True):
            people += 1
            record = chosen.records[row]
            shape["attributes"][ID] = record["id"]
            for element in shape["elements"]:
                source = record["keypoint_source"][chosen.skeleton.index(names[element["label_id"]])]
                if source != HUMAN:
                    element["attributes"]["accepted"] = source != NONE
    labels_ = slice_["categories"]["label"]["labels"]
    labels_[0]["attributes"] = [ID]
    for label in labels_[1:]:
        label["attributes"] = ["keypoint_source", "confidence", "accepted"]
    return people


def labels(skeleton: Skeleton, place_K2: NDArray[np.float64]) -> list[dict[str, Any]]:
    """A project's labels as CVAT's "Raw" tab takes them.

    Args:
        place_K2: where the points lie in the skeleton's picture, 0 … 100.
    """
    x, y = ([f"{v:.1f}" for v in axis] for axis in place_K2.T)
    lines = [
        f'<line x1="{x[a]}" y1="{y[a]}" x2="{x[b]}" y2="{y[b]}" '
        f'data-type="edge" data-node-from="{a + 1}" data-node-to="{b + 1}"></line>'
        for a, b in ((skeleton.index(one), skeleton.index(two)) for one, two in skeleton.links)
    ]
    circles = [
        f'<circle r="0.75" cx="{x[k]}" cy="{y[k]}" data-type="element node" '
        f'data-element-id="{k + 1}" data-node-id="{k + 1}" data-label-name="{name}"></circle>'
        for k, name in enumerate(skeleton.keypoints)
    ]
    of_point = [_attribute("keypoint_source"), _attribute("confidence"), _attribute("accepted")]
    return [
        {
            "name": "person",
            "type": "skeleton",
            "attributes": [_attribute(ID)],
            "svg": "".join([*lines, *circles]),
            "sublabels": [{"name": name, "type": "points", "attributes": of_point} for name in skeleton.keypoints],
        }
    ]


def _attribute(name: str) -> dict[str, Any]:
    return {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}


def _template(chosen: AnnotationSet) -> NDArray[np.float64]:
    """(K, 2) where the slice's people have their points on the average, in a square of 100."""
    xy: NDArray[np.float64] = np.where((chosen.visibility > 0)[..., None], chosen.xy, np.nan)
    for row, record in enumerate(chosen.records):
        for proposal in record["proposals"]:
            xy[row, chosen.skeleton.index(proposal["name"])] = proposal["x"], proposal["y"]
    xy = xy[np.isfinite(xy[..., 0]).any(axis=1)]
    if not len(xy):
        return np.full((len(chosen.skeleton), 2), 50.0)
    low, high = np.nanmin(xy, 1), np.nanmax(xy, 1)
    share: NDArray[np.float64] = (xy - low[:, None]) / np.maximum((high - low).max(-1), 1e-9)[:, None, None]
    people_K = np.isfinite(share[..., 0]).sum(axis=0)[:, None]
    return np.where(people_K > 0, 5 + 90 * np.nansum(share, axis=0) / np.maximum(people_K, 1), 50.0)
