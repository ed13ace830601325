"""Records and texts of predicted people."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from poseunion.app.pose_records import confidence_text


@given(st.floats(0, 1))
def test_no_confidence_reads_as_certain(confidence: float) -> None:
    text = confidence_text(confidence)
    assert 0 < float(text) < 1
    assert len(text) == 4
    assert abs(float(text) - confidence) <= 0.0101
