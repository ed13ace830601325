"""`poseunion evaluate`. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poseunion.models.command_line import paired
from poseunion.models.errors import BadArgumentError

if TYPE_CHECKING:
    from poseunion.models.inference.predictor import Predictor
    from poseunion.training.densities.joint import JointTeacher
    from poseunion.training.evaluation.evaluate import Task

EXAMPLES = (
    "Examples:  poseunion evaluate --model unified --annotations coco/test.json --images coco/test --flip  ·  "
    "poseunion evaluate --model unified --model other.onnx --annotations a.json --images a --annotations b.json "
    "--images b --plot keypoints.png --gallery worst  ·  poseunion evaluate --model unified --dataset halpe "
    "--annotations halpe_val_v1.json --images coco/val2017 --boxes detections.json  ·  poseunion evaluate "
    "--model a.onnx --model b.onnx --joint --turns disagreement --annotations coco/test.json --images coco/test --flip"
)


def evaluate(
    model: Annotated[list[str], typer.Option(help="Shipped model's name, or an .onnx file; repeat to compare.")],
    annotations: Annotated[list[Path], typer.Option(help="Annotation file of labelled people; may be repeated.")],
    images: Annotated[list[Path], typer.Option(help="Folder of its pictures, in the same order.")],
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="coco, mpii, halpe, lsp, crowdpose …, once or once a file; else recognised."),
    ] = None,
    skeleton: Annotated[str | None, typer.Option(help="Skeleton of the file, where it names none.")] = None,
    boxes: Annotated[
        list[str] | None,
        typer.Option(help="gt (the file's own) or a detector's COCO results json, once or once a file; else gt."),
    ] = None,
    head_boxes: Annotated[
        Path | None, typer.Option(help="mpii_gt_val.mat, for PCKh on MPII's json (its .mat has the head boxes itself).")
    ] = None,
    flip: Annotated[bool, typer.Option(help="Average with the mirrored crop.")] = False,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime.")] = None,
    ap_engine: Annotated[
        str, typer.Option(help="pycocotools, hotcoco or faster-coco-eval: the same AP, the latter two faster.")
    ] = "pycocotools",
    plot: Annotated[Path | None, typer.Option(help="Write a per-keypoint plot: .png, .svg or .pdf.")] = None,
    gallery: Annotated[
        Path | None, typer.Option(help="Write the worst cases as pictures into this folder: labels white, model red.")
    ] = None,
    joint: Annotated[
        bool,
        typer.Option(
            "--joint",
            help="Add a column for the joint model, the mean of their densities, and one for an oracle, the best of "
            "their predictions by the labels.",
        ),
    ] = False,
    weight: Annotated[
        list[float] | None, typer.Option(help="Weight of each model in --joint, in the same order; else equal.")
    ] = None,
    turns: Annotated[
        str,
        typer.Option(
            help="Rotations in --joint: none; disagreement: 90, 180 and 270 degrees, too, where the models disagree "
            "on a person; always: for all people."
        ),
    ] = "none",
    as_json: Annotated[bool, typer.Option("--json", help="Print json instead of a table.")] = False,
) -> None:
    """Measure models on labelled people, in the data set's own keypoint definitions.

    A model that does not describe itself needs a .toml of the same name beside it, or one in poseunion's descriptions.
    """
    from poseunion.models.inference.predictor import load_predictor
    from poseunion.training.evaluation.evaluate import GROUND_TRUTH, measure, read_task
    from poseunion.training.evaluation.joint_rows import measure_joint
    from poseunion.training.evaluation.report_plots import check_plot, plot_keypoints
    from poseunion.training.evaluation.report_table import column_heads, head_of, markdown_table, notes
    from poseunion.training.evaluation.worst_cases import write_gallery

    pairs = paired(annotations, images)
    if plot is not None:
        check_plot(plot)
    datasets = _one_a_file("--dataset", dataset or [None], len(pairs))
    sources = _one_a_file("--boxes", boxes or [GROUND_TRUTH], len(pairs))
    tasks = [
        read_task(file, folder, dataset=name, skeleton=skeleton, boxes=source, head_boxes=head_boxes, engine=ap_engine)
        for (file, folder), name, source in zip(pairs, datasets, sources, strict=True)
    ]
    predictors = [load_predictor(m, flip=flip, threads=threads) for m in model]
    joint_teacher = _joint(predictors, weight, turns, joint)
    heads = column_heads(model)
    results: list[list[dict[str, Any]]] = []
    for number, task in enumerate(tasks):
        columns = []
        found = (measure(p, task) for p in predictors) if joint_teacher is None else measure_joint(joint_teacher, task)
        for measured, head in zip_longest(found, heads):
            columns.append(measured.scores if head is None else {**measured.scores, "head": head})
            if gallery is not None:
                folder = _gallery_folder(gallery, task, number, head_of(columns[-1]), len(columns))
                write_gallery(folder, task.annotations, measured.predictions, task.images)
        results.append(columns)
    if plot is not None:
        plot_keypoints(
            plot, [(f"{t.dataset}, {c[0]['people']} people", c) for t, c in zip(tasks, results, strict=True)]
        )
    if as_json:
        print(json.dumps({str(file): columns for file, columns in zip(annotations, results, strict=True)}, indent=1))
        return
    for file, columns in zip(annotations, results, strict=True):
        print(f"{file}{', flip test' if flip else ''}\n\n{markdown_table(columns)}\n")
        print("\n".join(notes(columns[0])), end="\n\n")


def _joint(members: list[Predictor], weights: list[float] | None, turns: str, wanted: bool) -> JointTeacher | None:
    from poseunion.models.inference.joint_turns import Turns
    from poseunion.training.densities.joint import JointTeacher

    known = [one.value for one in Turns]
    if turns not in known:
        raise BadArgumentError(f"No --turns {turns!r}: choose {', '.join(known)}.")
    if not wanted:
        if weights or turns != Turns.NONE.value:
            raise BadArgumentError("--weight and --turns are settings of --joint: add it, or leave them out.")
        return None
    return JointTeacher(members, weights, turns=Turns(turns))


def _one_a_file(option: str, values: Sequence[Any], files: int) -> list[Any]:
    if len(values) not in (1, files):
        raise BadArgumentError(f"{len(values)} {option} for {files} --annotations: give one for all, or one a file.")
    return list(values) * (files if len(values) == 1 else 1)


def _gallery_folder(gallery: Path, task: Task, file: int, model: str, column: int) -> Path:
    """`2-coco-1-unified`; the numbers distinguish files of one data set, and models of one name."""
    return gallery / f"{file + 1}-{task.dataset}-{column}-{model}".replace("/", "_")
