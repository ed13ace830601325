"""The README's table of formats, made from the registry that the tests go through.

`python benchmarks/maintenance/formats_table.py README.md` renews what stands between the two marks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from poseunion.annotate.formats import FORMATS, Format
from poseunion.annotate.formats.coco.coco_json import NAME as COCO
from poseunion.models.errors import BadFileError
from poseunion.models.files import write_bytes
from poseunion.models.skeleton import Visibility

BEGIN = "<!-- formats: made by `python benchmarks/maintenance/formats_table.py README.md` -->"
END = "<!-- formats: end -->"
_STATES = {
    Visibility.VISIBLE: "visible",
    Visibility.OCCLUDED: "occluded",
    Visibility.ABSENT: "absent",
    Visibility.UNDEFINED: "undefined",
}


def markdown() -> str:
    """The table, one row a format."""
    head = (
        "| file | `--format` | reads | writes | extends | written back as | states it holds | coordinates "
        "| verified with |"
    )
    order = sorted(FORMATS.values(), key=lambda known: known.name != COCO)  # the usual one first
    tools = [name for name in FORMATS if name != COCO and all(name in known.writers for known in order)]
    lines = [head, "|---|---|---|---|---|---|---|---|---|", *map(_row, order), ""]
    lines.append(f"Extended files are COCO style (COCO results stay results) or, with `--format`, {_list(tools)}")
    lines.append("or the format that was read. MATLAB and YAML files need the extra `formats`. What to give")
    lines.append(
        "for each, and how visibility is mapped: [docs/formats.md](docs/formats.md). *Verified with*: the program"
    )
    lines.append("reads what we write in `make test-consumers`, without losing a picture, a person or a point.")
    return "\n".join(lines)


def _list(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row(known: Format) -> str:
    # Without a reader it would not be in the registry; a writer of its own name is what writing it means.
    writes, extends = ("✓" if there else "–" for there in (known.name in known.writers, COCO in known.writers))
    states = ", ".join(_STATES[state] for state in known.states)
    cells = (known.title, f"`{known.name}`", "✓", writes, extends, known.own or "–", states, known.precision)
    return f"| {' | '.join((*cells, known.verified or '–'))} |"


def renewed(text: str) -> str:
    """`text` with the table between its marks renewed.

    Raises:
        BadFileError: it lacks the marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BadFileError(f"The text has no place for the table of formats: put {BEGIN} and {END} where it belongs.")
    return f"{before}{begin}\n{markdown()}\n{end}{after}"


if __name__ == "__main__":
    for _name in sys.argv[1:]:
        write_bytes(_name, renewed(Path(_name).read_text(encoding="utf-8")).encode())
