"""Plots of a release: where its points are from, how sure the model was, what reviewers found. Needs matplotlib."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from poseunion.annotate.formats import AnnotationSet
from poseunion.annotate.formats.added_fields import has_added_fields
from poseunion.annotate.formats.point_states import BY_THRESHOLD, NOT_ACCEPTED
from poseunion.annotate.release.counts import WORDS, KeypointCount
from poseunion.models.errors import MissingExtraError

# Okabe and Ito's palette: distinguished by colour-blind readers.
COLOURS = {
    "human": "#0072B2",
    "derived": "#56B4E9",
    "proposed": "#E69F00",
    "accepted": "#009E73",
    "hidden": "#66C2A5",
    "fixed": "#CC79A7",
    "rejected": "#D55E00",
    "none": "#DDDDDD",
}
STANDING = ("human", "derived", "proposed", "accepted", "hidden", "fixed")


def need_matplotlib() -> None:
    """Raise MissingExtraError before any work where plots cannot be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "evaluate")


def draw(folder: Path, annotations: AnnotationSet, counts: dict[str, KeypointCount]) -> list[str]:
    """Write the plots into `folder`; returns their names. The same file gives the same bytes."""
    written = [_sources(folder / "sources.png", counts), _confidence(folder / "confidence.png", annotations)]
    if any(c.reviewed for c in counts.values()):
        written.append(_review(folder / "review.png", counts))
    return written


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> str:
    figure.savefig(path, dpi=130, metadata={"Software": None})
    return path.name


def _stacked(axes: Any, counts: dict[str, KeypointCount], columns: tuple[str, ...]) -> None:
    from matplotlib.ticker import MaxNLocator

    names = list(counts)
    left = np.zeros(len(names))
    for column in columns:
        values = np.array([getattr(counts[name], column) for name in names], float)
        if values.any():
            axes.barh(range(len(names)), values, left=left, color=COLOURS[column], label=WORDS[column], height=0.8)
        left += values
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _sources(path: Path, counts: dict[str, KeypointCount]) -> str:
    figure = _figure(7.5, 1.4 + 0.22 * len(counts))
    axes = figure.subplots()
    _stacked(axes, counts, (*STANDING, "rejected", "none"))
    axes.set_xlabel("people")
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return _save(figure, path)


def _confidence(path: Path, annotations: AnnotationSet) -> str:
    accepted: list[float] = []
    others: list[float] = []
    for record in annotations.records:
        if isinstance(record, dict) and has_added_fields(record):
            for proposal in record["proposals"]:
                (accepted if proposal["accepted"] else others).append(proposal["confidence"])
    figure = _figure(6, 3.4)
    axes = figure.subplots()
    axes.hist(
        [accepted, others],
        bins=np.linspace(0, 1, 41),
        stacked=True,
        color=[COLOURS["accepted"], COLOURS["none"]],
        label=[f"{BY_THRESHOLD} ({len(accepted)})", f"{NOT_ACCEPTED} ({len(others)})"],
    )
    axes.set_xlabel("confidence of the proposal")
    axes.set_ylabel("proposals")
    axes.legend(frameon=False, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return _save(figure, path)


def _review(path: Path, counts: dict[str, KeypointCount]) -> str:
    reviewed = {name: c for name, c in counts.items() if c.reviewed}
    figure = _figure(7.5, 1.4 + 0.22 * len(reviewed))
    axes = figure.subplots()
    _stacked(axes, reviewed, ("accepted", "hidden", "fixed", "rejected"))
    axes.set_xlabel("decisions of reviewers")
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return _save(figure, path)
