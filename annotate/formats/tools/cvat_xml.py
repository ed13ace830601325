"""CVAT's XML 1.1 ("CVAT for images"): skeletons with their points.

    <annotations><version>1.1</version><image id="0" name="a.jpg" width="320" height="240">
      <skeleton label="person" group_id="1"><points label="nose" outside="0" occluded="0" points="160,50"/></skeleton>
      <box label="person" group_id="1" xtl="100" ytl="30" xbr="220" ybr="238"/></image></annotations>

A box in the skeleton's group is its box; else the crop is made around the labelled points. Points that are outside are
absent. Tracks of a video are not read: beside labelled pictures they are counted, a file of nothing else is refused. So
is a document type: CVAT writes none, and entities can fill the memory.
"""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

from poseunion.annotate.formats.tools.gathered import PERSON, Found, annotation_set
from poseunion.annotate.formats.types import AnnotationSet, ImageRef, Problem, Report, Source, refuse
from poseunion.models.errors import BadFileError
from poseunion.models.skeleton import Skeleton, Visibility

NAME = "cvat-xml"
TRACK = 'a track of a video: export "CVAT for images 1.1", or Datumaro 1.0'


def detect(source: Source) -> bool:
    """Whether this is XML whose root is `annotations`, as CVAT's is."""
    return source.path.suffix.lower() == ".xml" and source.document.tag == "annotations"


def read(source: Source, skeleton: Skeleton | None = None, report: Report | None = None) -> AnnotationSet:
    """Read CVAT's XML; arguments and errors as in `coco_json.read`. A record is a skeleton, or a box without one."""
    report = report or refuse(source.path)
    root = source.document
    if not isinstance(root, ElementTree.Element) or root.tag != "annotations":
        raise BadFileError(f"{source.path} is not CVAT's XML: a root element annotations is expected.")
    images: list[ImageRef] = []
    found: list[Found] = []
    for position, image in enumerate(root.iter("image")):
        name = image.get("name") or ""
        place = f"image {image.get('id', position)} ({name})"
        images.append(ImageRef(image.get("id", position), name, *_size(image, place, report)))
        if not name:
            report(Problem(place, "an image needs a name"))
        boxes = {box.get("group_id"): box for box in image.iter("box") if box.get("group_id", "0") != "0"}
        used = set()
        for number, element in enumerate(image.iter("skeleton")):
            person = Found(position, f"{place}, skeleton {number}", element.get("label") or PERSON)
            person.record = {"image": name, "skeleton": number, **_attributes(element)}
            _read_points(element, person)
            if (box := boxes.get(element.get("group_id"))) is not None:
                used.add(box)
                _read_box(box, person)
            found.append(person)
        for number, box in enumerate(image.iter("box")):
            if box not in used:
                person = Found(position, f"{place}, box {number}", box.get("label") or PERSON)
                person.record = {"image": name, "box": number, **_attributes(box)}
                _read_box(box, person)
                found.append(person)
    declared = [label.findtext("name") or "" for label in root.iter("label") if label.findtext("parent") is not None]
    tracks = sum(track.find("skeleton") is not None for track in root.iter("track"))
    if not found and root.find("track") is not None:
        raise BadFileError(
            f"{source.path} holds tracks of a video, which are not read, and no labelled picture: export the task from "
            'CVAT as "CVAT for images 1.1" or Datumaro 1.0, which hold the skeletons of every frame.'
        )
    if tracks:
        report(Problem("tracks", f"{tracks} {'is' if tracks == 1 else 'are'} not read: {TRACK}", False))
    unread = Counter({TRACK: tracks})
    return annotation_set(NAME, source, images, found, skeleton, report, declared=declared, unread=unread)


def _size(image: ElementTree.Element, place: str, report: Report) -> tuple[int | None, int | None]:
    width, height = image.get("width", ""), image.get("height", "")
    if not width and not height:
        return None, None
    if not all(side.isdecimal() and len(side) < 8 and int(side) > 0 for side in (width, height)):
        report(Problem(place, f"width {width!r} and height {height!r} are not a picture's size"))
        return None, None
    return int(width), int(height)


def _attributes(element: ElementTree.Element) -> dict[str, dict[str, str]]:
    attributes = {a.get("name") or "": a.text or "" for a in element.findall("attribute")}
    return {"attributes": attributes} if attributes else {}


def _read_points(element: ElementTree.Element, person: Found) -> None:
    for point in element.findall("points"):
        label = point.get("label") or ""
        xy = _numbers(point.get("points", "").split(","))
        if len(xy) != 2:
            person.problem = f"the point {label} is not x,y"
            return
        if point.get("outside") == "1":
            state = Visibility.ABSENT
        else:
            state = Visibility.OCCLUDED if point.get("occluded") == "1" else Visibility.VISIBLE
        person.add(label, xy[0], xy[1], state)


def _read_box(box: ElementTree.Element, person: Found) -> None:
    edges = _numbers([box.get(key, "") for key in ("xtl", "ytl", "xbr", "ybr")])
    if len(edges) != 4:
        person.problem = "its box is not xtl, ytl, xbr, ybr"
    else:
        person.box_xywh = (edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1])


def _numbers(texts: list[str]) -> list[float]:
    try:
        return [float(text) for text in texts]
    except ValueError:
        return []
