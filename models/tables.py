"""Tables as plain text: no cell is cut or wrapped, neither on a narrow terminal nor in a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

GAP = "  "


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    total: Sequence[str] | None = None,
    *,
    texts: Sequence[str] = (),
) -> str:
    """Rows below their heads, numbers to the right.

    Args:
        heads: one of several lines keeps a column of numbers narrow.
        total: last row, below a line.
        texts: heads of columns that hold text, to the left; the first does in any case.

    >>> print(table(("keypoint", "points"), [("nose", "3"), ("left_eye", "12")], ("total", "15")))
    keypoint  points
    ----------------
    nose           3
    left_eye      12
    ----------------
    total         15
    """
    split = [head.split("\n") for head in heads]
    height = max(map(len, split))
    head_rows = list(zip(*([""] * (height - len(lines)) + lines for lines in split), strict=True))
    ends = [] if total is None else [total]
    widths = [max(map(cell_len, column)) for column in zip(*head_rows, *rows, *ends, strict=True)]
    left = [n == 0 or head in texts for n, head in enumerate(heads)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell + " " * (width - cell_len(cell)) if to_left else " " * (width - cell_len(cell)) + cell
            for cell, width, to_left in zip(cells, widths, left, strict=True)
        )
        return GAP.join(padded).rstrip()

    rule = "-" * (sum(widths) + len(GAP) * (len(widths) - 1))
    lines = [*map(line, head_rows), rule, *map(line, rows)]
    return "\n".join(lines if total is None else [*lines, rule, line(total)])
