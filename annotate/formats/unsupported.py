"""Files of other tools and kinds that are not read: recognised by their content, each with the way on.

Sources of the marks: the tools' own documentation of their export formats.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from poseunion.models.errors import BadFileError
from poseunion.models.files import read_json

HEAD_BYTES = 4096
LFS_HEAD = b"version https://git-lfs.github.com/spec/"
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7-Zip", b"(\xb5/\xfd": "Zstandard"}
AS_COCO = "export it as COCO keypoints json instead"


def kind_by_head(path: Path) -> str | None:
    """Kind of a file that no reader opens, from its first bytes, and the remedy; None: a reader may try."""
    if path.is_dir():
        yamls = sorted(p.name for p in path.glob("*.y*ml"))
        return f"a folder: give the annotation file itself{f', such as {path / yamls[0]}' if yamls else ''}"
    if not path.is_file():
        return None  # the reader that opens it reports what is wrong
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.strip():
        return "empty: was its download or export cut short?"
    if head.startswith(LFS_HEAD):
        return "a Git LFS pointer and not the file itself: run git lfs pull"
    for magic, name in PACKED.items():
        if head.startswith(magic):
            return f"packed with {name}: unpack it first"
    if head.startswith(b"PK\x03\x04"):
        return "a zip archive: unpack it, and give the annotation file in it (data.yaml or a .json)"
    text = head.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n")
    lower = text[:512].lower()
    if lower.startswith(("<!doctype html", "<html")):
        return "an HTML page: the download gave a web page (a login, perhaps) in place of the file"
    if text.startswith("<"):
        return _xml(text, path)
    if text.startswith("scorer,") or "\nbodyparts," in text or text.startswith("bodyparts,"):
        return f"a DeepLabCut table of labels: {AS_COCO} (deeplabcut's and movement's converters write it)"
    if text.startswith("filename,file_size,file_attributes"):
        return f"a VGG Image Annotator table: {AS_COCO}"
    if head[:1] in b"{[" and path.suffix.lower() in (".json", ".jsonl", ".ndjson") and _is_json_lines(path, head):
        return "JSON lines, one object a line: join them into one list (jq -s . FILE) in a known format"
    return None


def _xml(text: str, path: Path) -> str | None:
    if "<annotations>" in text and ("<skeleton" in text or "<version>1.1" in text):
        return None if path.suffix.lower() == ".xml" else "CVAT's XML: give it the ending .xml"
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return "XML with a document type (DOCTYPE), which no tool that is read writes: remove it"
    if "<annotation>" in text or "<annotation " in text:
        return f"Pascal VOC XML: {AS_COCO}"
    return f"XML: {AS_COCO}"


def _is_json_lines(path: Path, head: bytes) -> bool:
    """Whether the first two lines are a JSON value each."""
    if len(head) == HEAD_BYTES and head.count(b"\n") < 2:
        with path.open("rb") as file:
            lines = [file.readline(1_000_000) for _ in range(2)]
    else:
        lines = head.splitlines()[:2]
    if len(lines) < 2:
        return False
    try:
        return all(isinstance(json.loads(line), (dict, list)) for line in lines)
    except (ValueError, RecursionError):
        return False


def kind_by_content(path: Path) -> str | None:
    """Kind of a json file that no reader recognised, and the remedy; None: unknown."""
    try:
        document = read_json(path)
    except BadFileError:
        return None
    if isinstance(document, list):
        first = next((entry for entry in document if isinstance(entry, dict)), {})
        if "img_paths" in first and "joint_self" in first:
            return (
                "MPII in the form of CPM and pytorch-pose (img_paths, joint_self): give MPII's own .mat, or the json "
                "with image, center, scale, joints, joints_vis"
            )
        if any(_is_keypoint_list(value) for value in first.values()):
            return (
                "Label Studio's JSON_MIN, which does not hold the person of a keypoint: export JSON (its first choice)"
            )
        return None
    if not isinstance(document, dict):
        return None
    if "_via_img_metadata" in document or "_via_settings" in document:
        return f"a VGG Image Annotator project: {AS_COCO}"
    if "objects" in document and "size" in document:
        return f"Supervisely's json: {AS_COCO}"
    if "labels" in document and "skeletons" in document:
        return f"a SLEAP file: {AS_COCO}"
    return None


def _is_keypoint_list(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) and "keypointlabels" in item for item in value)


def refuse_if_unread(path: Path) -> None:
    """Raise BadFileError, with the way on, for a file that is recognised by its first bytes and not read."""
    if kind := kind_by_head(path):
        raise BadFileError(f"{path} is {kind}.")
