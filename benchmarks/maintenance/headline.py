"""The README's headline table, from the card of `unified`:  python benchmarks/maintenance/headline.py README.md

To be run whenever the card's tables change; a test fails until it is. Every figure is a cell of the card.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from shipped_manifests import measured

from poseunion.models.errors import BadFileError
from poseunion.models.files import write_bytes
from poseunion.models.zoo import WEIGHTS, shipped_catalogue

MODEL = "unified"
BEGIN = "<!-- headline: made by `benchmarks/maintenance/headline.py README.md` from models/weights/unified.md -->"
END = "<!-- headline: end -->"
# Columns of the card that are shown beside the model's own, where the card has them.
PEERS = {
    "tinypose-256x192": "TinyPose, COCO's 17",
    "efficientpose-rt": "EfficientPose-RT, MPII's 16",
    "movenet-thunder": "MoveNet Thunder, COCO's 17",
}
# What a line is called, the card's table, and its rows there.
LINES = (
    ("COCO, AP of all 17 keypoints", "coco/test.json", ("AP",)),
    ("COCO, AP of the 12 limb joints", "coco/test.json", ("shared 12: AP",)),
    ("LSP Extended, PCK@.2 of the 12 limb joints", "lspet/test.json", ("PCK@.2 PCK12",)),
    ("LSP Extended, PCK@.2 of upper_neck, head_top", "lspet/test.json", ("PCK@.2 upper_neck", "PCK@.2 head_top")),
)
OF_ALL = "AP"  # not a figure of a model that lacks some of the dataset's keypoints
LACKS = "–"
AFTER = (
    "`poseunion evaluate --model unified --annotations coco/test.json\n"
    "--images coco/test --annotations lspet/test.json --images lspet/test --flip`, and the same with theirs; every "
    "figure, and its limits, in\n[the card](models/weights/unified.md)."
)

Table = Mapping[str, Mapping[str, str]]


def markdown(card: str, parameters: int) -> str:
    """The table and what stands below it.

    Args:
        card: with the tables that `poseunion evaluate` printed, and a row `in short`.
        parameters: of the network.

    Raises:
        BadFileError: the card lacks one of these.
    """
    tables = measured(card)
    for _, file, rows in LINES:
        for row in rows:
            if MODEL not in tables.get(file, {}).get(row, {}):
                raise BadFileError(
                    f"The card has no figure of {MODEL} for {row} on {file}: put evaluate's table there."
                )
    short = re.search(r"^\| in short \| (.+) \|$", card, re.MULTILINE)
    if short is None:
        raise BadFileError("The card has no row `in short`: add it with a sentence on the training of the network.")
    shown = {MODEL: f"`{MODEL}`, {parameters / 1e6:.1f} M parameters, 21 keypoints"}
    there = {name for _, file, rows in LINES for row in rows for name in tables[file][row]}
    shown |= {name: title for name, title in PEERS.items() if name in there}
    lines = [f"| ground-truth boxes, flip test | {' | '.join(shown.values())} |", "|---" * (1 + len(shown)) + "|"]
    for title, file, rows in LINES:
        cells = [_cell(tables[file], rows, name) for name in shown]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{short[1]} {AFTER}"])


def _cell(table: Table, rows: tuple[str, ...], name: str) -> str:
    """The figures of a model, or a dash where it lacks what they measure."""
    found = [table[row].get(name, LACKS) for row in rows]
    lacks = any(cells.get(name) == LACKS for row, cells in table.items() if row.startswith("PCK@.2 "))
    return LACKS if LACKS in found or (rows == (OF_ALL,) and lacks) else ", ".join(found)


def renewed(text: str) -> str:
    """`text` with what stands between its marks renewed.

    Raises:
        BadFileError: it lacks the marks, or the card what belongs there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BadFileError(f"The text has no place for the headline: put {BEGIN} and {END} where it belongs.")
    (parameters,) = [model.parameters for model in shipped_catalogue() if model.name == MODEL]
    card = (WEIGHTS / f"{MODEL}.md").read_text(encoding="utf-8")
    return f"{before}{begin}\n{markdown(card, parameters)}\n{end}{after}"


if __name__ == "__main__":
    for _name in sys.argv[1:]:
        write_bytes(_name, renewed(Path(_name).read_text(encoding="utf-8")).encode())
