"""The README's headline table is the card's, figure by figure."""

from __future__ import annotations

from pathlib import Path

import pytest
from headline import markdown, renewed

from poseunion.models.errors import BadFileError

README = Path(__file__).resolve().parents[2] / "README.md"
CARD = """
| in short | Fine-tuned for an hour. |

coco/test.json, flip test

| | unified | unified-int8 | tinypose-256x192 | efficientpose-rt | other |
|---|---|---|---|---|---|
| people | 9 | 9 | 9 | 9 | 9 |
| AP | 65.1 | 64.0 | 66.9 | 10.0 | 1.0 |
| PCK@.2 nose | 99.0 | 99.0 | 99.9 | – | 1.0 |
| shared 12: AP | 64.2 | 64.1 | 67.0 | 24.3 | 1.0 |

lspet/test.json, flip test

| | unified | tinypose-256x192 | efficientpose-rt |
|---|---|---|---|
| PCK@.2 PCK12 | 70.3 | 64.9 | 47.6 |
| PCK@.2 upper_neck | 84.4 | – | 65.5 |
| PCK@.2 head_top | 80.5 | – | 53.1 |
"""


def test_the_readme_is_not_stale() -> None:
    text = README.read_text(encoding="utf-8")
    assert renewed(text) == text, "make it anew: python benchmarks/maintenance/headline.py README.md"


def test_figures_are_the_cards_and_a_dash_stands_for_what_a_model_lacks() -> None:
    head, _, *rows = markdown(CARD, 1_300_000).splitlines()[:6]
    assert head.split(" | ")[1:] == [
        "`unified`, 1.3 M parameters, 21 keypoints",
        "TinyPose, COCO's 17",
        "EfficientPose-RT, MPII's 16 |",
    ]
    assert [row.strip("| ").split(" | ")[1:] for row in rows] == [
        ["65.1", "66.9", "–"],
        ["64.2", "67.0", "24.3"],
        ["70.3", "64.9", "47.6"],
        ["84.4, 80.5", "–", "65.5, 53.1"],
    ]
    assert "\nFine-tuned for an hour. `poseunion evaluate" in markdown(CARD, 1)


@pytest.mark.parametrize(("lost", "said"), [("| PCK@.2 head_top", "head_top"), ("| in short", "in short")])
def test_a_card_that_lacks_something_is_refused(lost: str, said: str) -> None:
    with pytest.raises(BadFileError, match=said):
        markdown(CARD.replace(lost, "| gone"), 1)


def test_a_text_without_a_place_for_it() -> None:
    with pytest.raises(BadFileError, match="no place"):
        renewed("# nothing")
