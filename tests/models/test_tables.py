"""Tables hold every cell whole, and their columns stand one below the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from poseunion.models.tables import table

CELL = st.text("ab[]_x漢é", min_size=1, max_size=60)


@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=5), st.booleans())
def test_no_cell_is_cut_and_columns_of_numbers_end_together(rows: list[tuple[str, str, str]], total: bool) -> None:
    lines = table(("name", "COCO\nAP", "MB"), rows, rows[0] if total else None).splitlines()
    assert len(lines) == 2 + 1 + len(rows) + 2 * total
    for row, line in zip(rows, lines[3:], strict=False):
        assert line.split() == list(row)
    assert len({cell_len(line) for line in lines[1:]}) == 1


def test_columns_of_text_begin_together() -> None:
    shown = table(("a", "MB", "title"), [("x", "10", "one"), ("yy", "7", "another")], texts=("title",))
    assert shown.splitlines() == ["a   MB  title", "---------------", "x   10  one", "yy   7  another"]
