"""A picture or person that cannot be used is skipped, counted and listed; too many of them end the run, resumably."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from poseunion.annotate.extend import image_reader, plan
from poseunion.annotate.extend.run import Options, extend, journal_path, run_path
from poseunion.annotate.formats import read_annotations
from poseunion.models.errors import BadFileError

PICTURE = "sub/p0.png"  # of persons 0 and 5 among 10


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _oversized(path: Path) -> None:
    """A header that claims more pixels than anyone wants to decode."""
    content = bytearray(path.read_bytes())
    content[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    path.write_bytes(bytes(content))


BAD_PICTURES: list[tuple[str, Callable[[Path], Any], str]] = [
    ("missing", lambda p: p.unlink(), "does not exist"),
    ("truncated", _truncate, "p0.png"),
    ("oversized", _oversized, "p0.png"),
    ("empty", lambda p: p.write_bytes(b""), "is empty"),
    ("text", lambda p: p.write_text("no picture"), "is not a picture"),
    ("other size", lambda p: Image.new("RGB", (30, 30)).save(p), "30x30"),
]


@pytest.mark.parametrize(("spoil", "message"), [b[1:] for b in BAD_PICTURES], ids=[b[0] for b in BAD_PICTURES])
def test_a_bad_picture_is_skipped_counted_and_listed(
    spoil: Any, message: str, folder: Any, coco: Any, fake: Any, coco_kept: Any
) -> None:
    document = coco(10)
    folder.write(document)
    spoil(folder.images / PICTURE)
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(max_bad=0.2))
    assert report.predicted == 8
    assert [b["record"] for b in report.bad] == [0, 5]
    assert report.bad[0]["id"] == 7000
    assert report.bad[0]["image"] == PICTURE
    assert message in report.bad[0]["reason"]
    assert "Traceback" not in report.bad[0]["reason"]
    assert json.loads(run_path(folder.out).read_text())["report"]["bad"] == report.bad
    result = folder.result()
    coco_kept(document, result)
    for index in (0, 5):
        record = result["annotations"][index]
        assert record["proposals"] == []
        assert set(record["keypoint_source"]) <= {"human", "none"}
        assert record["keypoints"][:51] == document["annotations"][index]["keypoints"]
        assert record["num_keypoints"] == document["annotations"][index]["num_keypoints"]
    table = report.keypoints["head_top"]
    assert table["human"] + table["derived"] + table["accepted"] + table["none"] == 8


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([500, 3, 10, 10], "outside the picture"),
        ([-50, -50, 20, 20], "outside"),
    ],
)
def test_a_bad_box_is_skipped(box: Any, message: str, folder: Any, coco: Any, fake: Any) -> None:
    document = coco(10)
    document["annotations"][3]["bbox"] = box
    folder.write(document)
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(max_bad=0.1))
    assert [(b["record"], b["id"]) for b in report.bad] == [(3, 6991)]
    assert message in report.bad[0]["reason"]


def test_too_many_bad_ones_end_the_run_and_mending_them_resumes_it(
    folder: Any, coco: Any, fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "CHUNK", 5)
    folder.write(coco(40, per_image=4))
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    expected = folder.out.read_bytes()
    folder.out.unlink()

    picture = folder.images / "sub/p3.png"  # 4 of 40 persons
    content = picture.read_bytes()
    picture.write_bytes(content[:100])
    with pytest.raises(BadFileError, match=r"of 40 persons could not be used, more than --max-bad 0.05") as caught:
        extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    assert "--resume" in str(caught.value)
    assert "p3.png" in str(caught.value)
    assert not folder.out.exists()
    assert journal_path(folder.out).exists()
    with pytest.raises(BadFileError, match="could not be used"):  # as long as nobody does anything about it
        extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(resume=True))

    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(resume=True, max_bad=0.1))
    assert len(report.bad) == 4
    folder.out.unlink()

    with pytest.raises(BadFileError):
        extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    picture.write_bytes(content)
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(resume=True))
    assert report.bad == []
    assert folder.out.read_bytes() == expected


def _person(image: dict[str, Any], identity: int, box: list[float]) -> dict[str, Any]:
    keypoints = [3, 4, 2] + [0] * 48
    return {"id": identity, "image_id": image["id"], "category_id": 4, "bbox": box, "keypoints": keypoints}


def test_rotated_and_tiny_pictures_are_simply_handled(folder: Any, coco: Any, fake: Any) -> None:
    document = coco(1)
    upright = {"id": 1, "file_name": "upright.jpg", "width": 40, "height": 60}  # labelled as a viewer shows it
    stored = {"id": 2, "file_name": "stored.jpg", "width": 60, "height": 40}  # labelled on the stored pixels
    tiny = {"id": 3, "file_name": "tiny.png", "width": 1, "height": 1}
    document["images"] = [upright, stored, tiny]
    boxes = [[5.0, 30, 20, 28], [30.0, 5, 28, 20], [0.0, 0, 1, 1]]
    document["annotations"] = [_person(i, i["id"], b) for i, b in zip(document["images"], boxes, strict=True)]
    folder.write(document, pictures=False)
    folder.images.mkdir()
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 30:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("upright.jpg", "stored.jpg"):
        Image.fromarray(pixels).save(folder.images / name, exif=exif)
    Image.new("L", (1, 1), 77).save(folder.images / "tiny.png")

    predictor = fake()
    report = extend(read_annotations(folder.file), folder.images, predictor, folder.out)
    assert (report.predicted, report.bad) == (3, [])
    seen = [image for image, _ in predictor.seen]
    assert [image.shape for image in seen] == [(60, 40, 3), (40, 60, 3), (1, 1, 3)]
    # Orientation 6: the stored left edge is the upright top.
    assert seen[0][:25].max() < 60
    assert seen[1][:, :25].max() < 60
    inside = [p for p in folder.result()["annotations"][2]["proposals"] if p["accepted"]]
    assert all(0 <= p["x"] <= 0 and 0 <= p["y"] <= 0 for p in inside)


def test_mpii_pictures_that_cannot_be_read_have_no_size(folder: Any, mpii: Any, fake: Any) -> None:
    folder.write(mpii(4))
    (folder.images / "m1.png").unlink()
    report = extend(read_annotations(folder.file), folder.images, fake(), folder.out, Options(max_bad=0.5))
    assert [b["id"] for b in report.bad] == [2, 3]
    first, second = folder.result()["images"]
    assert (first["width"], first["height"]) == (70, 50)
    assert "width" not in second


def test_each_picture_is_read_once(folder: Any, coco: Any, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(coco(30, per_image=3))  # a picture's people do not follow each other in the file
    read: list[Path] = []
    real = image_reader.read_framed

    def spy(path: Path, image: Any) -> Any:
        read.append(path)
        return real(path, image)

    monkeypatch.setattr(image_reader, "read_framed", spy)
    extend(read_annotations(folder.file), folder.images, fake(), folder.out)
    assert len(read) == len(set(read)) == 10
