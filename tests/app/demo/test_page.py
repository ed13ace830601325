"""The page in a real browser: what a visitor does, and what is seen then."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from poseunion.annotate.example import example_dataset
from poseunion.annotate.extend.run import extend
from poseunion.annotate.formats import read_annotations
from poseunion.app.demo.guard.hosts import CONTENT_POLICY
from poseunion.app.demo.inference import PoseEstimator
from poseunion.models import load_predictor
from poseunion.models.inference.conditioned import ConditionedPredictor, supports_labels
from poseunion.models.zoo import shipped_models

WAIT_S = 300  # patience for a busy machine
RESULT = {"Try it": "#result .canvas", "Compare": "#tiles .compare", "Extend": "#overlays .compare"}
OPAQUE = """selector => {
  let node = document.querySelector(selector);
  for (; node; node = node.parentElement) if (getComputedStyle(node).opacity !== "1") return false;
  return true;
}"""
PEOPLE = np.array([[20, 10, 330, 490], [150, 20, 200, 300], [300, 40, 180, 460]], np.float32)


@pytest.fixture(scope="module")
def with_detector(serve_page: Callable[..., str], fixed_detector: Any) -> str:
    return serve_page(fixed_detector(PEOPLE))


@pytest.fixture(scope="module")
def by_hand(serve_page: Callable[..., str]) -> str:
    return serve_page(None)


def upload(page: Any, path: Path) -> str:
    """Give a file to the page and wait for what it says."""
    before = page.inner_text("#result .canvas-status")
    page.set_input_files("#upload input[type=file]", path)
    page.wait_for_function(
        "before => document.querySelector('#result .canvas-status').innerText !== before", arg=before
    )
    return str(page.inner_text("#result .canvas-status"))


def status_starts(page: Any, text: str) -> None:
    """Wait for a status line."""
    page.wait_for_function(
        "text => document.querySelector('#result .canvas-status').innerText.startsWith(text)", arg=text
    )


def saved(page: Any, kind: str) -> bytes:
    """What the button saves."""
    with page.expect_download() as download:
        page.click(f"#result .canvas-downloads a:has-text('Save {kind}')")
    return Path(download.value.path()).read_bytes()


def test_an_upload_shows_everybody_and_saves_them(
    with_detector: str, tab: Callable[..., Any], photo: bytes, upload_file: Callable[..., Path]
) -> None:
    page = tab(with_detector)
    assert upload(page, upload_file("people.png", photo)).startswith("3 people, ")
    assert page.locator("#result .canvas-box").count() == 3
    document = json.loads(saved(page, "JSON"))
    np.testing.assert_allclose([a["bbox"] for a in document["annotations"]], PEOPLE, atol=0.1)
    assert len(document["categories"][0]["keypoints"]) == 21
    drawn = Image.open(io.BytesIO(saved(page, "JPG")))
    assert drawn.size == (512, 512)
    assert np.abs(np.asarray(drawn).astype(int) - np.asarray(Image.open(io.BytesIO(photo)))).max() > 100
    # Everything came from the page's own address, or from the page itself.
    assert {url for url in page.asked if not url.startswith((with_detector, "data:", "blob:"))} == set()


def draw_box(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag a box with the mouse; corners in shares of the picture."""
    frame = page.locator("#result .canvas-frame")
    frame.scroll_into_view_if_needed()
    state = frame.bounding_box()
    at = lambda x, y: (state["x"] + x * state["width"], state["y"] + y * state["height"])  # noqa: E731
    page.mouse.move(*at(*start))
    page.mouse.down()
    page.mouse.move(*at(*end), steps=4)
    page.mouse.up()


def test_boxes_are_drawn_and_removed_by_hand(
    by_hand: str, tab: Callable[..., Any], photo: bytes, upload_file: Callable[..., Path]
) -> None:
    page = tab(by_hand)
    said = upload(page, upload_file("one.png", photo))
    assert said.startswith("1 person, ")
    assert "No person detector" in said
    shown = "document.querySelector('#result .canvas-status').innerText"
    for start, end, said in (
        ((0.1, 0.1), (0.5, 0.9), f"!{shown}.includes('No person detector')"),  # it replaces the whole picture's box
        ((0.9, 0.8), (0.6, 0.2), f"{shown}.startsWith('2 people')"),
    ):
        draw_box(page, start, end)
        page.wait_for_function(said)
    boxes = np.array([a["bbox"] for a in json.loads(saved(page, "JSON"))["annotations"]])
    expected = np.array([[0.1, 0.1, 0.4, 0.8], [0.6, 0.2, 0.3, 0.6]]) * 512
    np.testing.assert_allclose(boxes, expected, atol=3)
    page.locator("#result .canvas-close").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#result .canvas-status').innerText.startsWith('1 person')")
    (left,) = json.loads(saved(page, "JSON"))["annotations"]
    np.testing.assert_allclose(left["bbox"], expected[1], atol=3)


def test_a_box_drawn_while_another_is_computed_is_computed_after_it(
    by_hand: str, tab: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tab(by_hand)
    page.click("#result .canvas-clear")
    status_starts(page, "No person was found")
    started, goes_on = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]
    find = PoseEstimator.find

    def waits(self: PoseEstimator, picture: Any, model: str, resolution: str, boxes: Any) -> Any:
        started[len(boxes) - 1].set()
        assert goes_on[len(boxes) - 1].wait(WAIT_S)
        return find(self, picture, model, resolution, boxes)

    monkeypatch.setattr(PoseEstimator, "find", waits)
    draw_box(page, (0.1, 0.1), (0.5, 0.9))
    assert started[0].wait(WAIT_S)
    draw_box(page, (0.9, 0.8), (0.6, 0.2))
    assert page.locator("#result .canvas-box").count() == 2
    goes_on[0].set()
    status_starts(page, "1 person, ")
    assert page.locator("#result .canvas-box").count() == 2  # the first one's answer does not take the second away
    goes_on[1].set()
    status_starts(page, "2 people, ")
    assert page.locator("#result .canvas-box").count() == 2


def test_all_controls_are_above_the_fold_of_a_small_laptop(with_detector: str, tab: Callable[..., Any]) -> None:
    page = tab(with_detector, width=1366, height=768)
    for needed in (
        *("#upload", "#examples", "#view", "#known", "#threshold", "#model", "#resolution"),
        "#result",
        ".legend",
    ):
        box = page.locator(needed).first.bounding_box()
        assert box["y"] + box["height"] <= 768, needed
        assert box["x"] >= 0, needed
        assert box["x"] + box["width"] <= 1366, needed


def test_a_finger_draws_only_after_the_button(
    by_hand: str, tab: Callable[..., Any], photo: bytes, upload_file: Callable[..., Path]
) -> None:
    page = tab(by_hand, width=390, height=844, has_touch=True, is_mobile=True)
    upload(page, upload_file("one.png", photo))
    button = page.locator("#result .canvas-draw")
    assert page.evaluate("getComputedStyle(document.querySelector('#result .canvas-overlay')).touchAction") != "none"
    button.tap()
    assert button.get_attribute("aria-pressed") == "true"
    assert page.evaluate("getComputedStyle(document.querySelector('#result .canvas-overlay')).touchAction") == "none"
    # Nothing is wider than the phone.
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_selector("#tiles figure")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def huge_png() -> bytes:
    """20,000 x 20,000 pixels in half a megabyte."""
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    return buffer.getvalue()


def test_broken_uploads_are_a_sentence_each(
    by_hand: str, tab: Callable[..., Any], photo: bytes, upload_file: Callable[..., Path]
) -> None:
    page = tab(by_hand)
    for name, content, said in (
        ("text.jpg", b"This is a text.", "text.jpg is not a picture"),
        ("cut.png", photo[: len(photo) // 2], "cut.png is truncated"),
        ("shape.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "shape.svg is not a picture"),
        ("huge.png", huge_png(), "huge.png is 20000x20000, over the limit"),
    ):
        assert said in upload(page, upload_file(name, content))
        assert page.locator("#result .canvas-error").count() == 1
    # The page lives on.
    assert upload(page, upload_file("good.png", photo)).startswith("1 person")
    assert page.locator("#result .canvas-error").count() == 0


def test_settings_change_what_is_shown(
    with_detector: str, tab: Callable[..., Any], photo: bytes, upload_file: Callable[..., Path]
) -> None:
    page = tab(with_detector)
    upload(page, upload_file("people.png", photo))
    page.click("#view input")
    page.get_by_role("option", name="COCO, 17").click()
    page.wait_for_function("document.querySelector('#result .canvas-status').innerText.includes(' 0 of them new')")
    assert len(json.loads(saved(page, "JSON"))["categories"][0]["keypoints"]) == 17
    page.get_by_label("32 px").check()
    page.wait_for_function("document.querySelector('#result .canvas-status').innerText.includes('32 px')")
    assert "32 px" in json.loads(saved(page, "JSON"))["info"]["description"]


def test_compare_shows_each_variant_with_its_time(
    with_detector: str, tab: Callable[..., Any], photo: bytes, upload_file: Callable[..., Path]
) -> None:
    page = tab(with_detector)
    upload(page, upload_file("people.png", photo))
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_selector("#tiles figure")
    captions = page.locator("#tiles figcaption").all_inner_texts()
    assert len(captions) == 3
    assert all(" ms" in caption for caption in captions)
    assert "64 px" in captions[1]
    tile = page.locator("#tiles .tile").first
    tile.click()
    large = page.locator("dialog.enlarged img")
    large.wait_for()
    assert large.bounding_box()["width"] > 1.5 * tile.bounding_box()["width"]
    page.keyboard.press("Escape")
    large.wait_for(state="detached")


def test_people_are_found_again_after_boxes_were_changed(with_detector: str, tab: Callable[..., Any]) -> None:
    page = tab(with_detector)
    again = page.locator("#result .canvas-again")
    assert not again.is_visible()
    page.click("#result .canvas-clear")
    status_starts(page, "No person was found")
    again.click()
    status_starts(page, "3 people, ")
    assert not again.is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(theme: str, with_detector: str, tab: Callable[..., Any], tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    labels, images = example_dataset(tmp_path / "images")
    page = tab(f"{with_detector}?__theme={theme}")
    for name in ("Try it", "Compare", "Extend"):
        page.get_by_role("tab", name=name).click()
        if name == "Compare":
            page.wait_for_selector("#tiles figure")
        if name == "Extend":
            page.set_input_files("#annotations input[type=file]", labels)
            page.set_input_files("#pictures input[type=file]", [images / "astronaut.png"])
            page.wait_for_selector("#pictures .file-preview, #pictures table")
            page.click("#extend")
            page.wait_for_selector("#overlays figure")
        # A result fades in: its contrast counts at the end.
        page.wait_for_function(OPAQUE, arg=RESULT[name])
        found = axe.run(page).response
        assert len(found["passes"]) > 10
        serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
        assert not serious, [(name, v["id"], [n["html"] for n in v["nodes"]]) for v in serious]


def test_the_page_opens_with_an_example_and_another_is_one_click(with_detector: str, tab: Callable[..., Any]) -> None:
    page = tab(with_detector)
    assert "astronaut" in page.get_attribute("#result .canvas-picture", "alt")
    assert page.inner_text("#result .canvas-status").startswith("1 person, ")
    page.click("#examples button >> nth=2")
    page.wait_for_selector("#result .canvas-picture[alt*=grace_hopper]")
    assert "grace_hopper" in page.get_attribute("#result .canvas-picture", "alt")


def test_the_browser_is_told_to_fetch_nothing_from_elsewhere(by_hand: str, tab: Callable[..., Any]) -> None:
    page = tab(by_hand)
    assert "connect-src 'self'" in CONTENT_POLICY
    refused = page.evaluate("fetch('http://192.0.2.1/').then(() => 'fetched', (error) => 'refused')")
    assert refused == "refused"
    violations = [m for m in page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")]
    assert all(url.startswith((by_hand, "data:", "blob:")) for url in violations)


def test_an_annotation_file_is_extended(by_hand: str, tab: Callable[..., Any], tmp_path: Path) -> None:
    labels, images = example_dataset(tmp_path / "images")
    page = tab(by_hand)
    page.get_by_role("tab", name="Extend").click()
    page.set_input_files("#annotations input[type=file]", labels)
    page.set_input_files("#pictures input[type=file]", [images / "astronaut.png", images / "grace_hopper.jpg"])
    page.wait_for_selector("#pictures .file-preview, #pictures table")
    page.click("#extend")
    page.wait_for_selector("#overlays figure")
    page.wait_for_selector("#extended .canvas-status:has-text('2 of 3 people completed')")
    assert "1 passed through: picture not given" in page.inner_text("#overlays")
    legend = page.inner_text("#overlays .legend")
    assert all(word in legend for word in ("labelled", "derived", "proposed"))
    with page.expect_download() as download:
        page.click("#extended .canvas-save")
    by_page = json.loads(Path(download.value.path()).read_text())
    # What the command line makes of the same pictures, to the digit.
    out = tmp_path / "extended.json"
    predictor = load_predictor(shipped_models()[0], threads=1)
    told = ConditionedPredictor(predictor) if supports_labels(predictor) else predictor
    extend(read_annotations(labels), images, told, out)
    by_command = {a["id"]: a for a in json.loads(out.read_text())["annotations"]}
    completed = [a for a in by_page["annotations"] if a.get("proposals")]
    assert len(completed) == 2
    for person in completed:
        assert person == by_command[person["id"]]
