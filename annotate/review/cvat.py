"""Review in CVAT: people go out as skeletons, and what differs when they come back are decisions.

Out: a zip of Datumaro 1.0 (see `formats.datumaro`) with the people's human points and all their proposals, accepted or
not, under the skeleton's own names; each skeleton has its record's id as attribute `annotation_id`, `accepted` of each
proposal states whether it stands. Beside it the labels, for CVAT's "Raw" tab of a new project, without which CVAT drops
these attributes. Back: CVAT's export as Datumaro 1.0.

Datumaro and CVAT keep two digits of a coordinate. A point that comes back within half a digit was not moved.
"""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseunion.annotate.formats import AnnotationSet, read_annotations
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.datumaro import datumaro_json_write as datumaro_write
from poseunion.annotate.formats.datumaro.datumaro_json import NAME as DATUMARO
from poseunion.annotate.formats.extension import Completion, Origin
from poseunion.annotate.formats.extension_view import extension_of, human_view, subset
from poseunion.annotate.formats.review_entries import ACCEPT, FIX, HIDE, HUMAN, NONE, REJECT, last_entries
from poseunion.annotate.review.apply import with_decisions
from poseunion.annotate.review.decisions import Decision, inside
from poseunion.models.errors import BadFileError
from poseunion.models.files import atomic_writer, check_unpacked, write_json
from poseunion.models.skeleton import Skeleton, Visibility

INSIDE = "annotations/default.json"  # its place in CVAT's zip
MOVED_PX = 0.0051  # half of the last digit that is kept, and what rounding adds
ID = "annotation_id"


@dataclass(frozen=True)
class Returned:
    """What came back.

    Attributes:
        people: that were found again.
        decisions: what was changed, as decisions.
        human: (annotation, keypoint) of human points that were changed, where that was not requested: not decided.
        lost: people of the export that did not come back, or could not be distinguished: (annotation or place, reason).
        unmoved: proposals that came back as they went out.
    """

    people: int
    decisions: list[Decision]
    human: list[tuple[Any, str]]
    lost: list[tuple[Any, str]]
    unmoved: int


def export_slice(annotations: AnnotationSet, rows: list[int], out: Path) -> int:
    """Write the people `rows` as a zip for CVAT, and its labels beside it; returns how many there are.

    Decisions that are not applied yet are shown as if they were. Rejected proposals, and those outside the picture, are
    left out.
    """
    current = with_decisions(annotations)
    chosen = subset(current, [row for row in rows if has_added_fields(current.records[row])])
    plain = extension_of(chosen, lambda _: None)

    def shown(start: int, stop: int) -> Completion:
        completion = plain.rows(start, stop)
        for row, record in enumerate(chosen.records[start:stop]):
            rejected = {k for k, e in last_entries(record).items() if e["decision"] == REJECT}
            for proposal in record["proposals"]:
                k = chosen.skeleton.index(proposal["name"])
                free = completion.origin[row, k] == Origin.NONE and proposal["name"] not in rejected
                if free and inside(chosen.person(start + row).image, proposal["x"], proposal["y"]):
                    completion.origin[row, k] = Origin.PROPOSED
                    completion.visibility[row, k] = Visibility.VISIBLE
        return completion

    extension = dataclasses.replace(plain, rows=shown, block={"skeleton": plain.block["skeleton"]})
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
        BadFileError: a file is no Datumaro export, or of another skeleton.
    """
    before, after = (_read_zip(path, annotations.skeleton) for path in (exported, returned))
    if not all(ID in record.get("attributes", {}) for record in before.records):
        raise BadFileError(f"{exported} was not written by annotate cvat-export: give the zip that went out.")
    records = {r["id"]: r for r in annotations.records if isinstance(r, dict) and has_added_fields(r)}
    matches, lost = _match(before, after)
    decisions: list[Decision] = []
    untouched: list[tuple[Any, str]] = []
    unmoved = 0
    for row, other in matches:
        name = before.records[row]["attributes"][ID]
        if name not in records:
            lost.append((name, "the file has no such annotation"))
            continue
        sources = records[name]["keypoint_source"]
        for k, keypoint in enumerate(annotations.skeleton.keypoints):
            was = (*before.xy[row, k].tolist(), int(before.visibility[row, k]))
            now = (*after.xy[other, k].tolist(), int(after.visibility[other, k]))
            what = _difference(was, now)
            by_human = sources[k] == HUMAN
            if what is None:
                if was[2] > 0 and not by_human:
                    unmoved += 1
                    what = (ACCEPT, None) if accept_unmoved else None
                if what is None:
                    continue
            elif by_human and not human:
                untouched.append((name, keypoint))
                continue
            seen = (was[0], was[1], was[2] if sources[k] != NONE else 0)
            decisions.append(Decision(name, keypoint, what[0], reviewer, time, seen, what[1], human=by_human))
    return Returned(len(matches), decisions, untouched, lost, unmoved)


def _difference(
    was: tuple[float, float, int], now: tuple[float, float, int]
) -> tuple[str, tuple[float, float, int] | None] | None:
    """The decision that a change amounts to; None where nothing changed."""
    if was[2] <= 0 and now[2] <= 0:
        return None
    if now[2] <= 0:
        return REJECT, None
    if was[2] <= 0 or max(abs(was[0] - now[0]), abs(was[1] - now[1])) > MOVED_PX:
        return FIX, now
    if was[2] == now[2]:
        return None
    return (HIDE, None) if now[2] == Visibility.OCCLUDED else (FIX, (was[0], was[1], now[2]))


def _match(before: AnnotationSet, after: AnnotationSet) -> tuple[list[tuple[int, int]], list[tuple[Any, str]]]:
    """(row out, row back) of each person: by id, else in the same picture by the points that were not moved."""
    by_id = {str(r.get("attributes", {}).get(ID)): i for i, r in enumerate(after.records)}
    free = set(range(len(after)))
    matches: list[tuple[int, int]] = []
    lost: list[tuple[Any, str]] = []
    pictures = [PurePosixPath(str(image.id)).name for image in after.images]
    for row, record in enumerate(before.records):
        name = record["attributes"][ID]
        picture = PurePosixPath(str(before.images[int(before.image_index[row])].id)).name
        other = by_id.get(str(name))
        if other is None:
            there = [i for i in free if pictures[int(after.image_index[i])] == picture]
            same = [int(_same_points(before, row, after, i).sum()) for i in there]
            points = int((before.visibility[row] > 0).sum())
            other = there[int(np.argmax(same))] if same and 2 * max(same) > points else None
        if other is None or other not in free:
            lost.append((name, "no person with its id, or with half of its points, came back"))
            continue
        free.discard(other)
        matches.append((row, other))
    return matches, lost


def _same_points(before: AnnotationSet, row: int, after: AnnotationSet, other: int) -> NDArray[np.bool_]:
    both = (before.visibility[row] > 0) & (after.visibility[other] > 0)
    near = np.abs(before.xy[row] - after.xy[other]).max(-1) <= MOVED_PX
    return np.asarray(both & near)


def _read_zip(path: Path, skeleton: Skeleton) -> AnnotationSet:
    """A Datumaro export, zipped or not, with its keypoints in the order of `skeleton`."""
    if path.suffix.lower() != ".zip":
        return _ordered(read_annotations(path, DATUMARO, skeleton), skeleton)
    check_unpacked(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.startswith("annotations/") and n.endswith(".json")]
            content = [archive.read(name) for name in names[:2]]
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise BadFileError(f"Cannot read {path}: {error}.") from error
    if len(content) != 1:
        raise BadFileError(f"{path} holds {len(names)} files annotations/*.json: export one task as Datumaro 1.0.")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.with_suffix(".json").name
        file.write_bytes(content[0])
        return _ordered(read_annotations(file, DATUMARO, skeleton), skeleton)


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
