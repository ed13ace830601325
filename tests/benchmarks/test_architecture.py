"""The picture of the architecture is what the imports are."""

from __future__ import annotations

import architecture


def test_the_picture_is_up_to_date() -> None:
    assert architecture.PICTURE.read_text(encoding="utf-8") == architecture.picture(), (
        "make it anew: python benchmarks/maintenance/architecture.py"
    )
