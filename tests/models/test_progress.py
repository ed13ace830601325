"""Loops with a progress bar give the same items as without."""

from __future__ import annotations

import sys

import pytest

from poseunion.models.progress import long_range


@pytest.mark.parametrize("most", [3, 100])
@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_range_is_a_range(most: int, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert list(long_range(2, 23, 5, "items", most)) == list(range(2, 23, 5))
    assert list(long_range(0, 0, 5, "items", most)) == []
