"""Keypoint names in the spellings that people use find their skeleton, and keep their own spelling."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poseunion.annotate.formats.keypoint_spelling import MISSPELLED, SIDES, canonical
from poseunion.annotate.formats.skeleton_match import skeleton_of_names
from poseunion.models.errors import SkeletonError
from poseunion.models.skeleton import load_skeleton, shipped_skeletons

STYLES: dict[str, Callable[[list[str]], str]] = {
    "space": " ".join,
    "dash": "-".join,
    "upper": lambda words: "_".join(words).upper(),
    "camel": lambda words: "".join(word.title() for word in words),
    "lower camel": lambda words: words[0] + "".join(word.title() for word in words[1:]),
    "letter": lambda words: "_".join(word[0] if word in ("left", "right") else word for word in words),
    "side last": lambda words: "_".join([*words[1:], words[0]]) if words[0] in ("left", "right") else "_".join(words),
}


@pytest.mark.parametrize("skeleton", ["coco17", "mpii16", "union21", "halpe26"])
@given(style=st.sampled_from(sorted(STYLES)))
def test_every_style_of_every_name_is_the_same_keypoint(skeleton: str, style: str) -> None:
    known = load_skeleton(skeleton)
    names = [STYLES[style](name.split("_")) for name in known.keypoints]
    found = skeleton_of_names(names)
    assert found.keypoints == known.keypoints
    assert [found.index(name) for name in names] == list(range(len(known))), "the file's own spelling is an alias"


@pytest.mark.parametrize("skeleton", shipped_skeletons())
def test_no_two_keypoints_become_one(skeleton: str) -> None:
    names = [canonical(name) for name in load_skeleton(skeleton).keypoints]
    assert len(set(names)) == len(names)


@given(st.text())
def test_any_text_has_a_canonical_form_that_stays(name: str) -> None:
    assert canonical(canonical(name)) == canonical(name)


@pytest.mark.parametrize("wrong", sorted(MISSPELLED))
def test_a_misspelled_word_is_no_side_and_no_correct_word(wrong: str) -> None:
    assert wrong not in SIDES
    assert MISSPELLED[wrong] not in MISSPELLED


def test_a_name_that_stands_for_both_sides_is_refused() -> None:
    names = ["left_right_eye", *load_skeleton("coco17").keypoints[1:]]
    with pytest.raises(SkeletonError, match="no known skeleton"):
        skeleton_of_names(names)
