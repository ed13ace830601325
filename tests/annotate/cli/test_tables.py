"""Closing tables add up, hold every name whole, and use one word a state."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from poseunion.annotate.cli.main import app
from poseunion.annotate.formats.point_states import DECIDED, STATES, count_states
from poseunion.annotate.review.decisions import Decision, read_extended, save
from poseunion.annotate.review.progress import STATES as PROGRESS
from poseunion.annotate.review.progress import review_progress

KINDS = ("accept", "reject", "fix", "hide", "needs-fix", "withdraw")


def printed(*words: Any) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def rows_of(text: str) -> tuple[dict[str, list[int]], list[int]]:
    """Numbers of the first table of a text by their keypoint, and its last row."""
    _head, body, total = [part.strip("\n").splitlines() for part in text.split("---\n")][:3]
    rows = {line.split()[0]: line.replace("·", "0").split()[1:] for line in body if not line.startswith("--")}
    return {name: [int(cell) for cell in cells] for name, cells in rows.items()}, [int(c) for c in total[0].split()[1:]]


def adds_up(text: str, people: int) -> None:
    rows, total = rows_of(text)
    for numbers in rows.values():
        assert sum(numbers[:-1]) == numbers[-1] == people
    assert total == [sum(column) for column in zip(*rows.values(), strict=True)]


@pytest.fixture
def reviewed(extended: Path) -> Path:
    """The same with all kinds of decisions; the last kind withdraws an acceptance."""
    decisions, kinds = [], iter(KINDS * 3)
    for record in read_extended(extended).records:
        for proposal, kind in zip(record["proposals"][:4], kinds, strict=False):
            words = ("accept", "withdraw") if kind == "withdraw" else (kind,)
            decisions += [
                Decision(
                    *(record["id"], proposal["name"], word, "ann", f"2026-01-31T12:00:0{second}+00:00"),
                    to_xyv=(20.0, 20.0, 2) if word == "fix" else None,
                )
                for second, word in enumerate(words)
            ]
    assert save(extended, decisions).refused == []
    return extended


def test_the_table_of_extend_adds_up_and_is_the_same_at_any_width(
    folder: Any, coco: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(coco(5))
    where = ("--annotations", folder.file, "--images", folder.images, "--out", folder.out, "--model", tiny_model)
    shown = set()
    for columns in ("40", "80", "120"):
        monkeypatch.setenv("COLUMNS", columns)
        shown.add(printed("extend", *where, "--fill-gaps", "--overwrite").split("Written")[0])
    (text,) = shown
    adds_up(text, 5)
    assert max(map(len, text.splitlines()[2:])) < 80
    assert "accepted" in text


def test_people_of_extend_are_all_accounted_for(folder: Any, coco: Any, tiny_model: Path) -> None:
    document = coco(8)
    document["annotations"][0]["iscrowd"] = 1
    document["annotations"][1]["category_id"] = 9
    document["annotations"][2]["bbox"] = [900, 900, 5, 5]
    document["annotations"][3]["keypoints"] = [0] * 51
    folder.write(document)
    where = ("--annotations", folder.file, "--images", folder.images, "--out", folder.out, "--model", tiny_model)
    text = printed("extend", *where, "--max-bad", "1", "--limit", "3")
    completed, people = (int(word) for word in text.split(" people in ")[0].split(" of "))
    others = [line.split(": ")[1].split(" ")[0] for line in text.splitlines() if line.startswith(("  left", "  could"))]
    assert people == 8
    assert completed + sum(map(int, others)) == people
    assert len(others) == 5


def test_a_guarantee_is_printed_for_the_proposed_keypoints_only(tmp_path: Path) -> None:
    where = ("extend", "--dataset", "example", "--risk", "0.05", "--out", tmp_path / "a.json")
    for more in (("--dry-run",), ()):
        text = printed(*where, "--keypoints", "left_ear,nose", *more)
        _, guarantee = text.split("errors on")
        assert {"left_ear", "nose"} <= set(guarantee.replace("(", " ").split())
        assert "right_ear" not in guarantee
        assert "left_shoulder" not in guarantee.split("Gaps")[0]


def test_a_point_has_one_state_and_applying_keeps_it(reviewed: Path) -> None:
    before = count_states(read_extended(reviewed))
    adds_up(printed("apply", reviewed), 6)
    after = count_states(read_extended(reviewed))
    assert before == after
    counted = sum(after.values(), Counter[str]())
    assert set(counted) <= set(STATES)
    assert counted["needs a fix"] > 0
    assert counted["moved by a reviewer"] == 3


def test_decided_withdrawn_and_undecided_proposals_add_up(reviewed: Path) -> None:
    annotations = read_extended(reviewed)
    proposals = sum(len(record["proposals"]) for record in annotations.records)
    progress = review_progress(annotations)
    assert progress.total() == proposals
    assert set(progress) <= set(PROGRESS)
    assert sum(progress[state] for state in set(DECIDED.values())) == 15
    assert progress["withdrawn"] == 3
    sentence = (
        f"{proposals} proposed: 6 accepted by a reviewer, 3 moved by a reviewer, 3 rejected, 3 needs a fix, 3 with"
    )
    for command in (("next", reviewed), ("apply", reviewed)):
        assert sentence in printed(*command)


def test_the_table_of_a_release_adds_up_and_its_card_has_the_same_words(reviewed: Path, folder: Any) -> None:
    printed("apply", reviewed)
    out = folder.root / "release"
    adds_up(printed("release", reviewed, "--images", folder.images, "--out", out), 6)
    card = (out / "README.md").read_text()
    for state in ("accepted by threshold", "accepted by a reviewer", "moved by a reviewer", "rejected"):
        assert f"- **{state}**: " in card
    heads = next(line for line in card.splitlines() if line.startswith("| keypoint |")).split("|")
    end = heads.index(" sum ")
    cells = [line.split("|") for line in card.split("| keypoint |")[1].splitlines()[2:] if line.startswith("| ")]
    assert len(cells) >= 21
    for row in cells[:21]:
        assert sum(map(int, row[2:end])) == int(row[end]) == 6


def test_the_table_of_a_certificate_adds_up(reviewed: Path) -> None:
    printed("audit", reviewed, "--budget", 1000)
    text = printed("certify", reviewed)
    lines = [line.split() for line in text.split("---\n")[1].splitlines() if not line.startswith("--")]
    total = next(line for line in text.splitlines() if line.startswith("all ")).split()
    for column in (1, 2, 3):
        assert sum(int(line[column]) for line in lines) == int(total[column])
    certified = json.loads(printed("certify", reviewed, "--json"))
    assert int(total[1]) == certified["pooled"]["points"]
