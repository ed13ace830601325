"""Review of a file that a visitor extended on the page: in a folder of the session, decisions in a file to be saved."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poseunion.annotate.example import example_dataset
from poseunion.app.demo.extend_upload import Extended
from poseunion.app.demo.own_review import MOST_OPEN, OwnReviews
from poseunion.models.errors import BadArgumentError

PEOPLE = {"astronaut.png": 1, "grace_hopper.jpg": 3}  # annotation ids of the example, by picture


def extend_on_page(page: Any, labels: Path, pictures: list[Path]) -> None:
    """Complete these pictures' people, and open their review."""
    page.get_by_role("tab", name="Extend").click()
    page.set_input_files("#annotations input[type=file]", labels)
    page.set_input_files("#pictures input[type=file]", pictures)
    page.wait_for_selector("#pictures .file-preview, #pictures table")
    page.click("#extend")
    page.click("#review-these")
    page.wait_for_selector("#review .canvas-picture[src^=data]")


def saved(page: Any) -> Any:
    """The file that the page gives."""
    with page.expect_download() as download:
        page.click("#save-review")
    assert download.value.suggested_filename == "labels.extended.json"
    return json.loads(Path(download.value.path()).read_text())


def test_two_visitors_review_what_each_extended(
    serve_page: Callable[..., str], tab: Callable[..., Any], tmp_path: Path
) -> None:
    labels, images = example_dataset(tmp_path / "images")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    address = serve_page(None, scratch=scratch)
    pages = {name: tab(address, width=1366, height=768) for name in PEOPLE}
    for name, page in pages.items():
        page.get_by_role("tab", name="Review").click()
        assert "press Review these" in page.inner_text("#review-tab")
        extend_on_page(page, labels, [images / name])
        assert page.inner_text("#review-side .side-person") == f"Person 1 of 1, {name}"
        assert page.locator("#key-Enter").bounding_box()["y"] < 768 - 40
    for page, (key, state) in zip(pages.values(), (("r", "rejected"), ("a", "accepted")), strict=True):
        page.keyboard.press(key)
        page.wait_for_selector(f"#review .canvas-status:has-text(': {state}.')")
        assert str(tmp_path) not in page.content()
    for (name, page), decision in zip(pages.items(), ("reject", "accept"), strict=True):
        document = saved(page)
        (person,) = [a for a in document["annotations"] if a.get("review")]
        assert document["images"][[i["id"] for i in document["images"]].index(person["image_id"])]["file_name"] == name
        assert [(e["decision"], e["reviewer"]) for e in person["review"]] == [(decision, "reviewer")]
        # The end of the queue names no folder of the server either.
        page.keyboard.press("Enter")
        page.wait_for_selector(".review-summary")
        assert "annotate apply labels.extended.json" in page.inner_text(".review-summary pre")
        assert str(tmp_path) not in page.content()


@pytest.fixture
def done(extended: tuple[Path, Path]) -> Extended:
    file, images = extended
    return Extended(file.read_bytes(), None, [], [], {p.name: p.read_bytes() for p in images.iterdir()})  # type: ignore[arg-type]


def test_a_file_lives_as_long_as_a_session_refers_to_it(done: Extended, tmp_path: Path) -> None:
    own = OwnReviews(tmp_path, 10_000_000)
    kept = own.keep("mine.json", done)
    state = own.open(kept)
    assert state.own is not None
    del kept
    gc.collect()
    state, content, *_ = state.own.show(state)
    assert content["picture"].startswith("data:")
    assert [p.name for p in tmp_path.glob("*/*.json")] == ["mine.json"]
    del state
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_and_open_is_bounded(done: Extended, tmp_path: Path) -> None:
    size = len(done.content) + sum(map(len, done.pictures.values()))
    own = OwnReviews(tmp_path, 2 * size)
    first, second = own.keep("a.json", done), own.keep("b.json", done)
    assert own.keep("c.json", done) is None
    opened = [own.open(first) for _ in range(MOST_OPEN)]
    with pytest.raises(BadArgumentError, match="reviews are open"):
        own.open(second)
    opened.clear()
    gc.collect()
    assert own.open(second).own is not None
    with pytest.raises(BadArgumentError, match="Press Extend again"):
        own.open(None)
