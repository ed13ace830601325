"""The review tab in a real browser: keyboard, mouse and fingers; what is seen without scrolling; accessibility."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseunion.annotate.formats import read_annotations
from poseunion.app.demo.review_queue import TO_FIX

PEOPLE = 10
# What a reviewer needs at every person.
NEEDED = (
    "#review .canvas-frame",
    "#review .canvas-status",
    "#keypoints .review-row:last-child",
    "#key-a",
    "#key-Enter",
    "#review-side [data-jump]",
    "#review-side .side-counts",
    "#reviewer",
)


@dataclass
class Reviewed:
    """A page with a file under review."""

    page: Any
    file: Path

    def says(self, text: str) -> None:
        """Wait until the status line has this text."""
        self.page.wait_for_function(
            "text => document.querySelector('#review .canvas-status').innerText.includes(text)", arg=text
        )

    def at(self, person: int) -> None:
        """Wait for a person of the queue."""
        self.page.wait_for_selector(f"#review-side .side-person:has-text('Person {person} of ')")

    def counts(self) -> dict[str, int]:
        """Counts beside the picture."""
        cells = self.page.locator("#review-side [data-count]").all()
        return {str(c.get_attribute("data-count")): int(c.locator("dd").inner_text()) for c in cells}

    def view(self) -> dict[str, float]:
        """The picture's place on the screen."""
        box: dict[str, float] = self.page.locator("#review .canvas-picture").bounding_box()
        return box

    def entries(self) -> list[dict[str, Any]]:
        """Decisions in the file, in the order of their times."""
        people = json.loads(self.file.read_text())["annotations"]
        return sorted((e for person in people for e in person.get("review", [])), key=lambda e: e["time"])


@pytest.fixture(scope="module")
def ten_people(extended: tuple[Path, Path]) -> dict[str, Any]:
    """The example's people again and again."""
    document: dict[str, Any] = json.loads(extended[0].read_text())
    people = document["annotations"]
    again = [{**people[i % len(people)], "id": 100 + i} for i in range(PEOPLE)]
    return {**document, "annotations": again}


@pytest.fixture
def review(
    serve_page: Callable[..., str],
    tab: Callable[..., Any],
    ten_people: dict[str, Any],
    extended: tuple[Path, Path],
    tmp_path: Path,
) -> Callable[..., Reviewed]:
    """Open a review of ten people."""

    def start(theme: str = "light", **more: Any) -> Reviewed:
        file = tmp_path / "extended.json"
        file.write_text(json.dumps(ten_people))
        address = serve_page(None, review=(file,), images=extended[1], reviewer="ann")
        page = tab(f"{address}?__theme={theme}", **{"width": 1366, "height": 768, **more})
        page.wait_for_selector("#review .canvas-picture[src^=data]")
        return Reviewed(page, file)

    return start


def test_the_keyboard_alone_reviews_ten_people(review: Callable[..., Reviewed]) -> None:
    on = review()
    keys = on.page.keyboard
    total = on.counts()["total"]
    assert on.counts() == {"undecided": total, "decided": 0, "withdrawn": 0, "total": total}
    # The page opens on the review; a key decides and goes on, an arrow moves, undo withdraws.
    for key, answer in (("r", ": rejected."), ("f", ": needs a fix."), ("ArrowRight", ": moved."), ("u", "Undone: ")):
        keys.press(key)
        on.says(answer)
    assert on.counts() == {"undecided": total - 3, "decided": 2, "withdrawn": 1, "total": total}
    for person in range(1, PEOPLE):
        on.at(person)
        keys.press("Enter")
    on.at(PEOPLE)
    keys.press("Enter")
    on.page.wait_for_selector(".review-summary h2:has-text('Every proposal is decided')")
    table = on.page.inner_text(".review-summary table").split()
    assert table[-2:] == ["total", str(total)]
    assert "annotate apply" in on.page.inner_text(".review-summary pre")
    # What needs a fix is a question of its own, chosen with the keyboard, too: each arrow chooses the one before.
    # (Not by typed letters: what a browser makes of these depends on the pause between them.)
    keys.press("q")
    keys.press("End")
    while on.page.input_value("[data-filter=question]") != TO_FIX:
        keys.press("ArrowUp")
    keys.press("Enter")
    on.page.wait_for_selector("#review-side .side-person:has-text('Person 1 of 1,')")
    keys.press("ArrowUp")
    on.says(": moved.")
    assert on.counts() == {"undecided": 0, "decided": total, "withdrawn": 0, "total": total}
    decisions = [e["decision"] for e in on.entries()]
    assert decisions[:4] == ["reject", "needs-fix", "fix", "withdraw"]
    assert decisions[-1] == "fix"
    assert {e["reviewer"] for e in on.entries()} == {"ann"}


def test_a_click_places_a_keypoint_and_letters_can_be_typed(review: Callable[..., Reviewed]) -> None:
    on = review()
    on.page.click("#keypoints [data-name=left_eye]")
    on.page.wait_for_selector("#keypoints [data-name=left_eye][aria-pressed=true]")
    box = on.view()
    on.page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.7 * box["height"])
    on.says("left eye: moved")
    (entry,) = on.entries()
    assert (entry["keypoint"], entry["decision"], entry["reviewer"]) == ("left_eye", "fix", "ann")
    annotations = read_annotations(on.file)
    row = next(i for i, p in enumerate(annotations.records) if p.get("review"))
    image = annotations.person(row).image
    assert image is not None
    expected = 0.3 * (image.width or 0) - 0.5, 0.7 * (image.height or 0) - 0.5
    np.testing.assert_allclose(entry["to"][:2], expected, atol=1.5)
    assert entry["to"][2] == 2
    on.page.keyboard.press("u")  # the list gave the keyboard back
    on.says("Undone: left eye")
    on.page.click("#key-r")
    on.says("left eye: rejected")
    on.page.fill("#reviewer input, #reviewer textarea", "art")  # letters that are shortcuts elsewhere
    on.page.fill("[data-jump]", "#104")
    on.page.press("[data-jump]", "Enter")
    on.page.wait_for_function("document.activeElement === document.body")
    assert [e["decision"] for e in on.entries()] == ["fix", "withdraw", "reject"]


def test_what_is_done_before_an_answer_comes_after_it(review: Callable[..., Reviewed]) -> None:
    on = review()
    first, second = on.page.eval_on_selector_all("[data-filter=keypoint] option", "all => all.map(o => o.value)")[1:3]
    requests: list[Any] = []

    def hold_first(route: Any) -> None:
        requests.append(route)
        if len(requests) > 1:
            route.continue_()

    on.page.route("**/queue/join*", hold_first)
    with on.page.expect_request("**/queue/join*"):
        on.page.select_option("[data-filter=keypoint]", first)
    on.page.select_option("[data-filter=keypoint]", second)
    on.page.press("[data-filter=keypoint]", "Escape")
    on.page.keyboard.press("n")
    on.page.evaluate("fetch('/config').then(response => response.text())")  # all requests before it were made, too
    assert len(requests) == 1
    requests[0].continue_()
    on.at(2)
    on.says(f"Now {second.replace('_', ' ')}: ")
    assert on.page.input_value("[data-filter=keypoint]") == second


def test_a_button_that_is_pressed_twice_confirms_one_person(review: Callable[..., Reviewed]) -> None:
    on = review()
    on.page.dblclick("#key-Enter")
    on.at(2)
    on.page.keyboard.press("u")
    on.says("Undone: ")
    on.at(1)
    assert {e["decision"] for e in on.entries()} >= {"withdraw"}
    assert on.counts()["decided"] == 0


def test_the_picture_is_enlarged_and_shifted(review: Callable[..., Reviewed]) -> None:
    on = review()
    page, frame = on.page, on.page.locator("#review .canvas-frame").bounding_box()
    person = on.view()
    page.keyboard.press("2")
    assert on.view()["width"] > 1.5 * person["width"]
    page.keyboard.press("1")
    assert on.view() == person
    page.keyboard.press("+")
    larger = on.view()
    assert larger["width"] == pytest.approx(1.25 * person["width"], rel=0.01)
    page.keyboard.press("Alt+ArrowDown")
    assert on.view()["y"] < larger["y"]
    page.keyboard.press("-")
    assert on.view()["width"] == pytest.approx(person["width"], rel=0.01)
    middle = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    page.mouse.move(*middle)
    page.mouse.wheel(0, -600)
    page.wait_for_function(f"document.querySelector('#review .canvas-picture').clientWidth > {2 * person['width']}")
    before = on.view()
    free = frame["x"] + 30, frame["y"] + frame["height"] - 30
    page.mouse.move(*free)
    page.mouse.down()
    page.mouse.move(free[0] + 40, free[1] - 25, steps=3)
    page.mouse.up()
    after = on.view()
    assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((40, -25), abs=2)
    assert on.entries() == []  # a picture that is shifted decides nothing
    page.click("#review [data-zoom=person]")
    assert on.view() == person


def test_two_fingers_enlarge_on_a_phone(review: Callable[..., Reviewed]) -> None:
    on = review(width=390, height=844, has_touch=True, is_mobile=True)
    before, frame = on.view(), on.page.locator("#review .canvas-frame").bounding_box()
    x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    touch = on.page.context.new_cdp_session(on.page)
    for kind, apart in (("touchStart", 30), ("touchMove", 60), ("touchMove", 90), ("touchEnd", 0)):
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}] if apart else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    on.page.wait_for_function(f"document.querySelector('#review .canvas-picture').clientWidth > {2 * before['width']}")
    assert on.entries() == []
    assert on.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert on.page.locator("#key-Enter").bounding_box()["y"] < 844 - 40


def test_everything_needed_is_seen_without_scrolling(review: Callable[..., Reviewed]) -> None:
    on = review()
    for selector in NEEDED:
        box = on.page.locator(selector).first.bounding_box()
        assert box["y"] >= 0, selector
        assert box["y"] + box["height"] <= 768, selector
        assert box["x"] + box["width"] <= 1366, selector
    assert on.page.locator("#review .canvas-frame").bounding_box()["height"] > 768 / 2


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(theme: str, review: Callable[..., Reviewed]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    on = review(theme)
    on.page.click(".review-help summary")
    on.page.keyboard.press("a")
    on.says(": accepted.")
    for _ in range(2):
        found = axe.run(on.page).response
        assert len(found["passes"]) > 10
        serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
        assert not serious, [(v["id"], [n["html"] for n in v["nodes"]]) for v in serious]
        on.page.select_option("[data-filter=question]", "fix")  # none: the summary
        on.page.wait_for_selector(".review-summary")


def test_a_page_keeps_its_review_when_it_is_loaded_again(review: Callable[..., Reviewed]) -> None:
    on = review()
    on.page.keyboard.press("Enter")
    on.at(2)
    decided = on.counts()["decided"]
    on.page.reload()
    on.page.wait_for_selector("#review .canvas-picture[src^=data]")
    assert on.counts()["decided"] == decided > 0
