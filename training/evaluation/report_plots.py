"""Plot of each model's rate of correct keypoints, by keypoint. Needs matplotlib, imported when a plot is drawn."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

from poseunion.models.errors import BadArgumentError, MissingExtraError
from poseunion.models.files import write_bytes
from poseunion.training.evaluation.report_table import head_of

KINDS = (".png", ".svg", ".pdf")
# Okabe and Ito's palette: distinct for colour-blind readers, and by shape in print without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*"


def plot_keypoints(path: Path, files: list[tuple[str, list[dict[str, Any]]]]) -> None:
    """Write the plot: one panel a file, one line a keypoint, one mark a model; the measure is PCK@.2, PCKh@.5 for MPII.

    Args:
        path: .png, .svg or .pdf.
        files: title of each panel, and the results of `evaluate`, one a model, in the same order of models.

    Raises:
        BadArgumentError: another ending, or nothing to plot. MissingExtraError: matplotlib is not installed.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    panels = [(title, results) for title, results in files if any(_rates(r)[1] for r in results)]
    if not panels:
        raise BadArgumentError("There is no keypoint to plot: no torso, or head box, is labelled.")
    tallest = max(len(_names(results)) for _, results in panels)
    figure = Figure(figsize=(1 + 4.2 * len(panels), 1.6 + 0.24 * tallest), layout="constrained")
    for axes, (title, results) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _panel(axes, title, results)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=150)
    write_bytes(path, buffer.getvalue())


def check_plot(path: Path) -> None:
    """Check the arguments of a plot before anything is computed for it; raises as `plot_keypoints`."""
    if path.suffix.lower() not in KINDS:
        raise BadArgumentError(f"A plot is written as {', '.join(KINDS)}; {path.name} is none of them.")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "evaluate")


def _panel(axes: Any, title: str, results: list[dict[str, Any]]) -> None:
    names = _names(results)
    step = 0.5 / max(1, len(results))
    for column, result in enumerate(results):
        rates = _rates(result)[1]
        heights = [i + step * (column - (len(results) - 1) / 2) for i, name in enumerate(names) if name in rates]
        axes.plot(
            [rates[name] for name in names if name in rates],
            heights,
            linestyle="none",
            marker=MARKERS[column % len(MARKERS)],
            color=COLOURS[column % len(COLOURS)],
            markersize=6,
            label=head_of(result),
        )
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(-2, 102)
    axes.set_xlabel(f"{_rates(results[0])[0]}, % of the labelled")
    axes.set_title(title, fontsize=10)
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    for line in range(len(names)):
        axes.axhline(line, color="#eeeeee", linewidth=0.8, zorder=0)
    axes.tick_params(axis="y", length=0)


def _rates(result: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """Plotted rates of a result: the measure's name, and keypoint (MPII: part) -> percent."""
    if "pckh" in result:
        return "PCKh@.5", {name: value for name, value in result["pckh"].items() if not name.startswith("PCKh")}
    return "PCK@.2", {name: value for name, value in result.get("pck", {}).items() if not name.startswith("PCK")}


def _names(results: list[dict[str, Any]]) -> list[str]:
    """Every keypoint that some model is measured on, in the data set's order."""
    return list(dict.fromkeys(name for result in results for name in _rates(result)[1]))
