"""Gain of labelled joints for the prediction of the others.

    .venv/bin/python benchmarks/annotation/conditioning.py --data DIR > benchmarks/notes/$(date +%F)-conditioning.md

Joints with labels are hidden and predicted, from the picture alone, from the prior alone (the known joints
without the picture), and from both. DIR holds `coco/test.json`, `coco/test/`, `lspet/test.json`, `lspet/test/`, and the
fixtures `mpii/`, `samples/mhp/` and `samples/halpe/`. Prints a Markdown note.

Shapes: N people, K keypoints, S hidden joints of one kind.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from poseunion.export.timing import commit
from poseunion.models.calibration.conditioning_parameters import (
    ConditioningParameters,
    parameters_beside,
    read_conditioning_parameters,
)
from poseunion.models.conditioning.fusion import fuse
from poseunion.models.conditioning.prior import load_prior
from poseunion.models.inference.predictor import Predictor, load_predictor
from poseunion.models.keypoint_offsets import OFFSETS, apply_offsets
from poseunion.models.metrics import torso_lengths
from poseunion.training.calibration.samples import ViewPredictions, predict_views, read_views

ARMS = ("picture", "prior", "both")
LIMBS = tuple(f"{s}_{p}" for p in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for s in ("left", "right"))
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
COCO = (*FACE, *LIMBS)
BLOCK, DRAWS = 16, 1000
FILES_OF = {
    "mpii": ("mpii/annotations.json", "mpii/images"),
    "mhp": ("samples/mhp/annotations.json", "samples/mhp/images"),
    "halpe": ("samples/halpe/annotations.json", "samples/halpe/images"),
    "lspet": ("lspet/test.json", "lspet/test"),
    "coco": ("coco/test.json", "coco/test"),
}
# Files that share tables.
FILES = (("lspet",), ("mpii", "mhp"), ("halpe",), ("coco",))
HEAD = """# Known joints as evidence

- date: {date}
- command: `{command}`
- machine: {machine}, {cores} cores, load {load}; numpy {numpy}
- commit: {commit}; model {model} {sha256}

Joints with labels are hidden and predicted: from the picture alone (what the model decodes), from the prior alone
(the other joints without the picture), from both. Errors are in torso lengths, over people whose torso is labelled; OKS
is that of the one keypoint, over all people. The last column counts in how many of eight paired comparisons (median,
PCK@.1, PCK@.2, OKS; against picture, against prior) both together are better, the 95 % interval of the difference clear
of zero ({draws} bootstrap draws of pictures), and names every one in which they are worse. LSP is scored in its own
definitions.
"""


@dataclass
class Group:
    """A table: errors of hidden joints, by joint and arm.

    Attributes:
        error: joint -> (S, 3) distance in torso lengths, NaN where the torso is not labelled.
        similarity: joint -> (S, 3) OKS of this one keypoint.
        picture: joint -> (S,) number of the picture, what the bootstrap draws.
    """

    title: str
    error: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    similarity: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    picture: dict[str, list[NDArray[np.intp]]] = field(default_factory=dict)


def rounds_of(name: str, predictor: Predictor) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...], bool]]:
    """(table, asked, known, all of the known needed) of each way in which a file's joints are hidden."""
    skeleton = predictor.skeleton
    if name == "lspet":
        yield "lspet/test: neck and head from the 12 limb joints", ("upper_neck", "head_top"), LIMBS, True
    elif name == "coco":
        for joint in COCO:
            known = tuple(k for k in COCO if k != joint)
            yield "coco/test: each joint from the other labelled ones", (joint,), known, False
        yield "coco/test: the face from the limb joints, as MPII lacks it", FACE, LIMBS, False
    elif name == "halpe":
        yield "Halpe fixture: head_top from COCO's joints", ("head_top",), COCO, False
    else:
        mpii = (*LIMBS, "pelvis", "thorax", "upper_neck", "head_top")
        for joint in mpii:
            # With a midpoint its parents are hidden too, and with a parent the midpoint: the rest is no arithmetic.
            tied = {m for m, parents in skeleton.midpoints.items() if joint in parents}
            tied |= set(skeleton.midpoints.get(joint, ()))
            known = tuple(k for k in mpii if k != joint and k not in tied)
            yield "MPII and MHP fixtures: each joint from the others", (joint,), known, False


def measured(
    predictor: Predictor,
    predicted: ViewPredictions,
    name: str,
    tempering: ConditioningParameters,
    groups: dict[str, Group],
) -> None:
    """Add one file's hidden joints to the tables."""
    skeleton, prior = predictor.skeleton, load_prior()
    offsets = OFFSETS["lsp14"] if name == "lspet" else ()
    assert predicted.logits is not None
    labelled, index = predicted.labelled, {k: i for i, k in enumerate(skeleton.keypoints)}
    truth, torso = own(predicted.truth, labelled, predictor, offsets), torso_of(predicted, predictor)
    area = np.array([view.area for view in predicted.views])
    _, number = np.unique([str(view.person.image) for view in predicted.views], return_inverse=True)
    for title, asked, shown, complete in rounds_of(name, predictor):
        known = labelled & np.isin(skeleton.keypoints, shown)
        wanted = labelled & np.isin(skeleton.keypoints, asked)
        rows = np.flatnonzero(wanted.any(1) & (known.sum(1) == len(shown) if complete else known.any(1)))
        if not len(rows):
            continue
        arms = [predicted.xy[rows]]
        for use_picture in (False, True):
            parts = []
            for start in range(0, len(rows), BLOCK):
                i = rows[start : start + BLOCK]
                found = fuse(
                    predicted.logits[0][i].astype(np.float32),
                    predicted.logits[1][i].astype(np.float32),
                    predictor.metadata.grid,
                    [predicted.crops[n] for n in i],
                    predicted.truth[i],
                    known[i],
                    prior,
                    skeleton=skeleton,
                    tempering=tempering,
                    wanted_NK=wanted[i],
                    use_picture=use_picture,
                )
                parts.append(found.xy_NK2)
            arms.append(np.concatenate(parts))
        group = groups.setdefault(title, Group(title))
        placed = [own(xy, np.ones(xy.shape[:2], bool), predictor, offsets) for xy in arms]
        for joint in asked:
            k = index[joint]
            here = wanted[rows, k]
            distance = np.stack([np.linalg.norm(xy[here, k] - truth[rows[here], k], axis=-1) for xy in placed], -1)
            scale = 2 * skeleton.sigma_array[k] * np.sqrt(area[rows[here]])[:, None]
            group.error.setdefault(joint, []).append(distance / torso[rows[here], None])
            group.similarity.setdefault(joint, []).append(np.exp(-0.5 * (distance / scale) ** 2))
            group.picture.setdefault(joint, []).append(number[rows[here]] + 10**6 * len(group.picture.get(joint, [])))


def own(
    xy: NDArray[np.float64], labelled: NDArray[np.bool_], predictor: Predictor, offsets: tuple[object, ...]
) -> NDArray[np.float64]:
    """In the data set's own definitions, in which it is scored."""
    seen = np.where(labelled, 2, 0).astype(np.int8)
    return apply_offsets(xy, seen, predictor.skeleton, offsets, inverse=True)[0]  # type: ignore[arg-type]


def torso_of(predicted: ViewPredictions, predictor: Predictor) -> NDArray[np.float64]:
    """(N,) px; NaN where it is not labelled, or shorter than a pixel."""
    torso = torso_lengths(predicted.truth, np.where(predicted.labelled, 2, 0), predictor.skeleton)
    return np.where(torso > 1, torso, np.nan)


@dataclass(frozen=True)
class Row:
    """One line of a table: (4, 3) median error, PCK@.1, PCK@.2, OKS of each arm, and their bootstrap (DRAWS, 4, 3)."""

    joint: str
    count: int
    value: NDArray[np.float64]
    draws: NDArray[np.float64]


def scores(error: NDArray[np.float64], similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 3)"""
    has = error[np.isfinite(error[:, 0])]
    if not len(has):
        return np.concatenate([np.full((3, 3), np.nan), 100 * similarity.mean(0, keepdims=True)])
    rates = [100 * (has <= limit).mean(0) for limit in (0.1, 0.2)]
    return np.stack([np.median(has, 0), *rates, 100 * similarity.mean(0)])


def rows_of(group: Group) -> list[Row]:
    """Every joint, then the mean over joints."""
    rng = np.random.default_rng(0)
    rows = []
    for joint, parts in group.error.items():
        error, similarity = np.concatenate(parts), np.concatenate(group.similarity[joint])
        _, picture = np.unique(np.concatenate(group.picture[joint]), return_inverse=True)
        members = [np.flatnonzero(picture == p) for p in range(picture.max() + 1)]
        draws = []
        for _ in range(DRAWS):
            chosen = np.concatenate([members[p] for p in rng.integers(len(members), size=len(members))])
            draws.append(scores(error[chosen], similarity[chosen]))
        rows.append(Row(joint, len(error), scores(error, similarity), np.stack(draws)))
    if len(rows) > 1:
        value, draws_all = np.mean([r.value for r in rows], 0), np.mean([r.draws for r in rows], 0)
        rows.append(Row("mean", sum(r.count for r in rows), value, draws_all))
    return rows


def verdict(row: Row) -> str:
    """Where both together are better or worse than one of them beyond the 95 % interval of the paired difference."""
    words = []
    for m, (name, sign) in enumerate((("median", -1), ("@.1", 1), ("@.2", 1), ("OKS", 1))):
        for arm in (0, 1):
            gain = sign * (row.draws[:, m, 2] - row.draws[:, m, arm])
            low, high = np.nanpercentile(gain, [2.5, 97.5]) if np.isfinite(gain).any() else (0, 0)
            if low > 0 or high < 0:
                words.append((low > 0, f"{name} than {ARMS[arm]}"))
    worse = [text for better, text in words if not better]
    return f"**worse: {', '.join(worse)}**" if worse else f"better in {sum(b for b, _ in words)} of 8"


def table(group: Group) -> str:
    """Markdown."""
    lines = [
        f"## {group.title}\n",
        "| joint | n | median error (torso): picture / prior / both | both, 95 % | PCK@.1 | PCK@.2 | OKS | "
        "both against either |\n|---|---|---|---|---|---|---|---|",
    ]
    for row in rows_of(group):
        low, high = np.nanpercentile(row.draws[:, 0, 2], [2.5, 97.5])
        median = " / ".join(f"{v:.3f}" for v in row.value[0])
        rates = ["/".join(f"{v:.0f}" for v in row.value[m]) for m in (1, 2, 3)]
        change = 100 * (1 - row.value[0, 2] / row.value[0, 0])
        lines.append(
            f"| {row.joint} | {row.count} | {median} ({-change:+.0f} % of picture) | {low:.3f}–{high:.3f} | "
            f"{' | '.join(rates)} | {verdict(row)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the test sets and fixtures")
    parser.add_argument("--model", default="unified", help="shipped model's name, or an .onnx file")
    parser.add_argument("--flip", action="store_true", help="average with the mirrored crop")
    parser.add_argument("--evidence", type=Path, help="tempering; default: beside the model")
    parser.add_argument("--file", action="append", choices=tuple(FILES_OF), help="may be repeated; default: all")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    load = [f"{v:.1f}" for v in os.getloadavg()]
    predictor = load_predictor(options.model, flip=options.flip, threads=options.threads)
    print(
        HEAD.format(
            date=datetime.date.today(),
            command=shlex.join(["python", *sys.argv]),
            machine=platform.machine(),
            cores=os.cpu_count(),
            load=" ".join(load),
            numpy=np.__version__,
            commit=commit(),
            model=predictor.name,
            sha256=predictor.sha256[:12],
            draws=DRAWS,
        )
    )
    tempering = (
        read_conditioning_parameters(options.evidence) if options.evidence else parameters_beside(predictor.model.path)
    )
    for names in FILES:
        groups: dict[str, Group] = {}
        for name in names:
            if options.file and name not in options.file:
                continue
            file, images = FILES_OF[name]
            views = read_views(name, options.data / file, options.data / images, predictor.skeleton)
            measured(predictor, predict_views(predictor, views, logits=True), name, tempering, groups)
        for group in groups.values():
            print(table(group), flush=True)


if __name__ == "__main__":
    main()
