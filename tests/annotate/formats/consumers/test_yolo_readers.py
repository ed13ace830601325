"""Ultralytics and sleap-io read written YOLO-pose datasets whole; what `check` predicts is what Ultralytics does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poseunion.annotate.check.run import check
from poseunion.models.files import write_bytes

Write = Callable[[str, str], Any]
REASON = "make test-consumers brings it"


def verified(path: Path) -> list[tuple[Any, ...]]:
    """What Ultralytics' own label check says of every picture of a data.yaml."""
    utils = pytest.importorskip("ultralytics.data.utils", reason=REASON)
    data = utils.check_det_dataset(str(path), autodownload=False)
    pictures = sorted(str(p) for p in Path(data["train"]).rglob("*") if p.suffix[1:].lower() in utils.IMG_FORMATS)
    labels = utils.img2label_paths(pictures)
    k, numbers = data["kpt_shape"]
    return [
        (picture, utils.verify_image_label((picture, label, "", True, len(data["names"]), k, numbers, False)))
        for picture, label in zip(pictures, labels, strict=True)
    ]


def without_path(path: Path) -> None:
    """A data.yaml of somebody keeps its `path`, which leads nowhere here."""
    kept = [line for line in path.read_text().splitlines() if not line.startswith("path:")]
    path.write_text("\n".join(kept) + "\n")


def test_ultralytics(write: Write, name: str) -> None:
    pytest.importorskip("ultralytics", reason=REASON)
    written = write(name, "yolo-pose")
    without_path(written.path)
    found = verified(written.path)
    assert [said[9] for _, said in found if said[9]] == []
    assert sum(said[8] for _, said in found) == 0
    people = sum(len(said[1]) for _, said in found)
    points = sum(int((said[4][..., 2] > 0).sum()) for _, said in found)
    assert len(found) >= written.pictures
    assert people == written.people
    assert points + written.left_out.get("points outside the picture", 0) == written.points


def test_sleap_io(write: Write, name: str) -> None:
    sleap = pytest.importorskip("sleap_io", reason=REASON)
    if name == "yolo-pose":
        pytest.skip("its folders stay as they are, and sleap-io knows the layout SPLIT/images alone")
    written = write(name, "yolo-pose")
    labels = sleap.load_ultralytics(str(written.path.parent), split="train")
    instances = [instance for frame in labels for instance in frame.instances]
    assert len(instances) == written.people


VALUES = st.sampled_from(["0", "0.5", "1", "1.005", "1.5", "-0.005", "-2", "nan", "x", "2"])


def test_what_check_predicts_is_what_it_does(make: Any, kit: SimpleNamespace, tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason=REASON)
    path, _ = make("yolo-pose")
    without_path(path)
    label = path.parent / "labels/train/p0.txt"
    lines = label.read_text().splitlines()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(place=st.integers(0, 55), value=VALUES, longer=st.booleans())
    def damage(place: int, value: str, longer: bool) -> None:
        tokens = lines[0].split()
        tokens[place] = value
        write_bytes(label, "\n".join([" ".join(tokens[: None if not longer else -1]), lines[1]]).encode())
        said = {p.place for p in check(path, consumer="ultralytics")[1] if "drops it" in p.text}
        dropped = {f"picture images/train/{Path(p).name}" for p, found in verified(path) if found[8]}
        assert dropped <= said
        # Between 1 and 1.01 releases differ: the stricter is predicted.
        if value not in ("1.005", "-0.005"):
            assert said == dropped

    damage()
