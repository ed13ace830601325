"""Keypoint names as people spell them: case, separators, camel case, `L` for left, `eye_left`, known misspellings."""

from __future__ import annotations

import re

SIDES = {"l": "left", "left": "left", "lt": "left", "r": "right", "right": "right", "rt": "right"}
# Found in public annotation files; the first is mmpose's own mpii2coco output.
MISSPELLED = {
    "throax": "thorax",
    "torax": "thorax",
    "pelvic": "pelvis",
    "sholder": "shoulder",
    "shouler": "shoulder",
    "shoudler": "shoulder",
    "ebow": "elbow",
    "elbo": "elbow",
    "wirst": "wrist",
    "wrsit": "wrist",
    "ancle": "ankle",
    "anke": "ankle",
    "kneee": "knee",
}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_GLUED = re.compile(r"^(left|right)(?=[a-z])")


def canonical(name: str) -> str:
    """A keypoint's name in lower case, its side first, words joined by `_`.

    >>> [canonical(n) for n in ("LeftEye", "L-Eye", "EYE_LEFT", "left eye", "lEye", "lefteye", "throax", "Head_top")]
    ['left_eye', 'left_eye', 'left_eye', 'left_eye', 'left_eye', 'left_eye', 'thorax', 'head_top']
    """
    words = [part for word in _WORD.findall(name) for part in _GLUED.sub(r"\1 ", word.lower()).split()]
    sides = [SIDES[word] for word in words if word in SIDES]
    if len(sides) > 1:
        return name
    rest = [MISSPELLED.get(word, word) for word in words if word not in SIDES]
    return "_".join([*sides, *rest]) if rest else name
