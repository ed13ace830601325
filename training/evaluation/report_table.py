"""Scores as Markdown: one row a measure, one column a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from poseunion.training.evaluation.halpe import HALPE_SIGMAS

MODEL_ENDINGS = (".onnx", ".engine")
# Section of a result -> how its rows are called.
_SECTIONS = {
    "coco": "{}",
    "table5": "{} (Halpe's sigmas)",
    "pck": "PCK@.2 {}",
    "pckh": "PCKh@.5 {}",
    "pckh@.1": "PCKh@.1 {}",
    "errors": "errors: {}",
    "all": "all: {}",
    "shared12": "shared 12: {}",
}
# Sections that repeat measures of others: the table has only these rows of them, `--json` has all. The section over all
# keypoints differs only where a model lacks some.
_AGAIN = dict.fromkeys(("all", "shared12"), ("AP", "AR", "PCKh@.5", "PCKh@.1", "PCK@.2"))


def head_of(result: dict[str, Any]) -> str:
    """Head of a model's column: of a measured file its `head`, else the name inside."""
    return str(result.get("head") or result["model"])


def column_heads(models: Sequence[str]) -> list[str]:
    """Heads of models: a file's name without its ending, with as many of its folders as distinguish the files.

    >>> column_heads(["unified", "runs/unified.onnx", "runs/a/student.onnx", "runs/b/student.onnx"])
    ['unified', 'runs/unified', 'a/student', 'b/student']
    """
    parts = [Path(model).with_suffix("").parts if model.endswith(MODEL_ENDINGS) else (model,) for model in models]
    heads = ["/".join(part[-1:]) for part in parts]
    for n in range(2, max(map(len, parts), default=0) + 1):
        heads = [
            "/".join(part[-n:]) if heads.count(head) > 1 else head for part, head in zip(parts, heads, strict=True)
        ]
    return heads


def markdown_table(results: list[dict[str, Any]]) -> str:
    """The results of several models on one file; `–` where a measure does not apply to a model, or has no labels."""
    rows: dict[str, list[str]] = {}
    for column, result in enumerate(results):
        for name, value in _measures(result, repeats=_needs_all(results)).items():
            cells = rows.setdefault(name, ["–"] * len(results))
            cells[column] = "–" if value is None else str(value) if isinstance(value, int) else f"{value:.1f}"
    lines = ["| | " + " | ".join(map(head_of, results)) + " |", "|---|" + "---|" * len(results)]
    return "\n".join(lines + [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()])


def notes(result: dict[str, Any]) -> list[str]:
    """Notes beside the table: origin of the boxes and the sigmas, and what was skipped."""
    lines = [f"Boxes: {'ground truth' if result['boxes'] == 'gt' else result['boxes']}."]
    sigmas = result.get("sigmas", {})
    if "coco" in sigmas:
        lines.append(f"OKS sigmas: {sigmas['coco']}.")
    if "table5" in sigmas:
        changed = ", ".join(f"{name} {sigma:g}" for name, sigma in HALPE_SIGMAS.items())
        lines.append(f"Halpe's sigmas ({changed}), as for paper A's Table 5: {sigmas['table5']}.")
    if result["dataset"] == "mpii" and "pckh" not in result:
        lines.append("No PCKh: this file has no head boxes; give mpii_gt_val.mat with --head-boxes, or MPII's .mat.")
    if left := result.get("left_out"):
        reasons = "; ".join(f"{count}: {reason}" for reason, count in sorted(left.items()))
        total = result["people"] + sum(left.values())
        lines.append(f"{result['people']} of {total} people in the file are measured; left out: {reasons}.")
    if result["skipped"]:
        picture, reason = result["skipped"][0]
        lines.append(f"{len(result['skipped'])} skipped; the first: {picture}: {reason}.")
    return lines


def _needs_all(results: list[dict[str, Any]]) -> bool:
    return any(r["all"]["known"] < r["all"]["keypoints"] for r in results if "all" in r)


def _measures(result: dict[str, Any], *, repeats: bool) -> dict[str, float | None]:
    measures: dict[str, float | None] = {"people": result["people"]}
    for section, label in _SECTIONS.items():
        if section == "all" and not repeats:
            continue
        for name, value in {**_unmeasured(section, result), **result.get(section, {})}.items():
            if section not in _AGAIN or name in _AGAIN[section]:
                # PCKh's mean has its threshold in its name.
                measures[name if name.startswith("PCKh@") and section == "pckh" else label.format(name)] = value
    return measures


def _unmeasured(section: str, result: dict[str, Any]) -> dict[str, None]:
    """The means of a requested section, which may have no labels."""
    return dict.fromkeys(("PCK12", "PCK")) if section == "pck" and section in result else {}
