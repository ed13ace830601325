"""Picture of the rooms and their parts, from the imports:  python benchmarks/maintenance/architecture.py

writes `docs/architecture.svg`. A part (a package, or a module at the top of its room) stands above all that it imports;
arrows that a longer way implies are left out. `part` is hovered to see what it imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from import_graph import ROOT, Graph, graph, parts_of

PICTURE = ROOT / "docs" / "architecture.svg"
# px: of a part's box, and between boxes.
BOX_W, BOX_H, GAP_X, GAP_Y, MARGIN = 132, 26, 12, 34, 18
# Rooms of one row stand side by side; each row imports only rows below it, and a room only rooms to its right.
ROWS = (("app",), ("export", "training"), ("annotate", "models"))
FILL = {"models": "#dbe9f6", "annotate": "#fde5cf", "training": "#dcf0dc", "export": "#ece2f4", "app": "#f9dede"}


def levels(edges: Mapping[str, set[str]]) -> dict[str, int]:
    """Part -> length of the longest chain of imports below it."""
    found: dict[str, int] = {}

    def level(part: str) -> int:
        if part not in found:
            found[part] = 1 + max((level(other) for other in edges[part]), default=-1)
        return found[part]

    for part in edges:
        level(part)
    return found


def reduced(edges: Mapping[str, set[str]]) -> Graph:
    """The edges that no longer way implies (transitive reduction)."""

    def reach(part: str) -> set[str]:
        return {part} | {far for other in edges[part] for far in reach(other)}

    return {
        part: {one for one in below if not any(one in reach(other) - {other} for other in below - {one})}
        for part, below in edges.items()
    }


def panel(room: str, edges: Mapping[str, set[str]], left: int, top: int) -> tuple[list[str], int, int]:
    """SVG elements of one room, and its width and height, px."""
    at = levels(edges)
    rows = [sorted(part for part in edges if at[part] == n) for n in range(max(at.values()) + 1)]
    widest = max(map(len, rows))
    width = 2 * MARGIN + widest * BOX_W + (widest - 1) * GAP_X
    height = 2 * MARGIN + 20 + len(rows) * BOX_H + (len(rows) - 1) * GAP_Y
    place: dict[str, tuple[float, float]] = {}
    for n, row in enumerate(rows):
        indent = (width - len(row) * BOX_W - (len(row) - 1) * GAP_X) / 2
        row_y = top + height - MARGIN - BOX_H - n * (BOX_H + GAP_Y)
        place |= {part: (left + indent + i * (BOX_W + GAP_X), row_y) for i, part in enumerate(row)}
    out = [
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="8" fill="{FILL[room]}" stroke="#999"/>',
        f'<text x="{left + width / 2:g}" y="{top + 24}" class="room">{room}</text>',
    ]
    for part, below in sorted(reduced(edges).items()):
        from_x, from_y = place[part]
        for other in sorted(below):
            to_x, to_y = place[other]
            ends = f'x1="{from_x + BOX_W / 2:g}" y1="{from_y + BOX_H:g}" x2="{to_x + BOX_W / 2:g}" y2="{to_y:g}"'
            out.append(f'<line {ends} class="arrow"/>')
    for part, (x, y) in sorted(place.items()):
        names = ", ".join(sorted(other.split(".")[1] for other in edges[part])) or "nothing of this room"
        out += [
            f"<g><title>{escape(part)} imports {escape(names)}</title>",
            f'<rect x="{x:g}" y="{y:g}" width="{BOX_W}" height="{BOX_H}" rx="4" class="part"/>',
            f'<text x="{x + BOX_W / 2:g}" y="{y + 17:g}" class="name">{part.split(".")[1]}</text></g>',
        ]
    return out, width, height


def picture() -> str:
    """The whole picture as SVG."""
    edges = graph()
    body: list[str] = []
    top, widest = MARGIN, 0
    for row in ROWS:
        left, deepest = MARGIN, 0
        for room in row:
            elements, width, height = panel(room, parts_of(room, edges), left, top)
            body += elements
            left, deepest = left + width + MARGIN, max(deepest, height)
        top, widest = top + deepest + MARGIN, max(widest, left)
    style = (
        "text{font-family:sans-serif;fill:#222}.room{font-size:16px;font-weight:bold;text-anchor:middle}"
        ".name{font-size:12px;text-anchor:middle}.part{fill:#fff;stroke:#666}"
        ".arrow{stroke:#777;stroke-width:1;marker-end:url(#head)}"
    )
    marker = (
        '<marker id="head" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0,0 L6,3 L0,6 z" fill="#777"/></marker>'
    )
    size = f'width="{widest}" height="{top}" viewBox="0 0 {widest} {top}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, f"<style>{style}</style><defs>{marker}</defs>", ground, *body, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
