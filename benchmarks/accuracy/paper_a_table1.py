"""Paper A's Table 1 from what `poseunion evaluate --json` measured on an MPII and a COCO file.

    poseunion evaluate --json --flip --model unified --annotations mpii_val.json --images mpii/images \\
      --annotations person_keypoints_val2017.json --images val2017 > measured.json
    python benchmarks/accuracy/paper_a_table1.py measured.json

The paper's rows with a star restrict only the foreign data set to the shared 12; its own stands in the row over all.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

MPII = ("PCKh@.5", "PCKh@.1")
COCO = ("AP", "AP50", "AP75", "AR", "AR50", "AR75")


def table1(results: list[list[dict[str, Any]]]) -> str:
    """The table as Markdown; empty unless one file is MPII's, measured by PCKh, and one COCO's.

    Args:
        results: for each file, one result a model, the models in the same order.
    """
    mpii = next((file for file in results if file[0]["dataset"] == "mpii" and "pckh" in file[0]), None)
    coco = next((file for file in results if file[0]["dataset"] == "coco"), None)
    if mpii is None or coco is None:
        return ""
    columns = ["model", "keypoints", *MPII, *COCO, "mean"]
    lines = ["| " + " | ".join(columns) + " |", "|---|---|" + "---|" * (len(columns) - 2)]
    for ours, theirs in zip(mpii, coco, strict=True):
        for row in ("all", "shared12"):
            values = [ours[row].get(key) for key in MPII] + [theirs[row].get(key) for key in COCO]
            pair = (ours[row].get("PCKh@.5"), theirs[row].get("AP"))
            mean = None if None in pair else sum(pair) / 2
            label = f"all: {ours[row]['keypoints']} and {theirs[row]['keypoints']}" if row == "all" else "shared 12"
            cells = ["–" if v is None else f"{v:.2f}" for v in (*values, mean)]
            lines.append("| " + " | ".join([ours["model"], label, *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path, help="output of `poseunion evaluate --json`")
    measured = json.loads(parser.parse_args().measured.read_text())
    table = table1(list(measured.values()))
    if not table:
        parser.error("an MPII file measured by PCKh and a COCO file are needed.")
    print(table)


if __name__ == "__main__":
    main()
