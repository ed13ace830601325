"""Gain of the next student from reviewers' decisions, by the order in which people are reviewed.

    .venv/bin/python benchmarks/annotation/review_rounds.py --data lspet/train.json --images lspet/train \
      --test lspet/test.json --test-images lspet/test --seeds 0 1 2 --plot review-rounds.png > NOTE.md

LSP Extended's fully labelled people, with neck and head_top hidden from all but a few. A student trained on these few
proposes them for the others; a simulated reviewer, who has the hidden labels, inspects `--budget` people: a proposal
within half the OKS-.5 radius of the label is accepted, any other is put in its place. The student goes on training on
the reviewed file, and proposes anew; three rounds. One arm follows `annotate next`, the other draws lots; both
start from one student. Everything is done by the commands a user has: train, export, extend, apply, evaluate. What is
in `--out` already is not done again, so the script can be stopped and started. Prints a Markdown note.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from poseunion.annotate.review.decisions import Decision, read_extended, save
from poseunion.annotate.review.priority import Person, queue
from poseunion.export.timing import commit
from poseunion.models.files import read_json, write_json
from poseunion.models.metrics import oks_radius_px
from poseunion.models.skeleton import load_skeleton
from poseunion.training.data.splits import is_held_out

HIDDEN = ("upper_neck", "head_top")
ARMS = ("next", "lots")
LSP = load_skeleton("lsp14")
TOLERANCE = 0.5  # of the OKS-.5 radius: what a reviewer lets pass


def run(program: str, arguments: list[str], log: Path) -> str:
    """A command of the project; its standard output."""
    command = [sys.executable, "-m", f"poseunion.{program}", *arguments]
    with log.open("a") as errors:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=errors, text=True).stdout


def prepare(options: argparse.Namespace, seed: int, folder: Path) -> dict[int, dict[str, list[float]]]:
    """Write `original.json`, in which most people's HIDDEN keypoints are hidden; returns annotation -> name -> x, y."""
    document = read_json(options.data)
    names = {image["id"]: image["file_name"] for image in document["images"]}
    where = {name: 3 * LSP.index(name) for name in HIDDEN}
    people = [
        a
        for a in document["annotations"]
        if not is_held_out(names[a["image_id"]]) and all(v > 0 for v in a["keypoints"][2::3])
    ]
    order = np.random.default_rng(seed).permutation(len(people))[: options.labelled + options.pool]
    truth: dict[int, dict[str, list[float]]] = {}
    for number in order[options.labelled :].tolist():
        person = people[number]
        truth[person["id"]] = {name: person["keypoints"][k : k + 2] for name, k in where.items()}
        for k in where.values():
            person["keypoints"][k : k + 3] = [0, 0, 0]
        person["num_keypoints"] -= len(where)
    chosen = [people[number] for number in sorted(order.tolist())]
    pictures = {a["image_id"] for a in chosen}
    images = [image for image in document["images"] if image["id"] in pictures]
    write_json(folder / "original.json", {**document, "images": images, "annotations": chosen})
    return truth


def train(
    folder: Path, annotations: Path, options: argparse.Namespace, seed: int, steps: int, init: Path | None
) -> None:
    """weights.safetensors, model.onnx and scores.json in `folder`."""
    log = folder / "stderr.log"
    if not (folder / "weights.safetensors").is_file():
        data = {"datasets": [{"name": "lspet", "annotations": str(annotations), "images": str(options.images)}]}
        write_json(folder / "data.yaml", data)  # JSON is YAML
        again = ["--resume"] if (folder / "last.ckpt").is_file() else []
        start = ["--init", str(init)] if init is not None and not again else []
        lr = [] if init is None else [f"lr={options.lr}"]
        plain = [f"seed={seed}", "skeleton=lsp14", "minutes=0", f"steps={steps}", "validate_minutes=1e9", *lr]
        where = ["--data", str(folder / "data.yaml"), "--out", str(folder)]
        run("app.cli", ["train", "lspet_only", *plain, *where, *start, *again], log)
    if not (folder / "scores.json").is_file():
        model = folder / "model.onnx"
        if not model.is_file():
            run("app.cli", ["export", "--model", str(folder / "weights.safetensors"), "--out", str(model)], log)
        test = ["--annotations", str(options.test), "--images", str(options.test_images)]
        printed = run("app.cli", ["evaluate", "--model", str(model), *test, "--json"], log)
        write_json(folder / "scores.json", next(iter(json.loads(printed).values()))[0]["pck"])


def review(file: Path, chosen: list[Person], truth: dict[int, dict[str, list[float]]], number: int) -> dict[str, int]:
    """The simulated reviewer's decisions on these people, recorded."""
    annotations = read_extended(file)
    decisions: list[Decision] = []
    for person in chosen:
        record = annotations.records[person.row]
        radius_K = oks_radius_px(np.array([record["area"]]), annotations.skeleton.sigma_array)[0]
        for candidate in person.candidates:
            x, y = truth[record["id"]][candidate.keypoint]
            distance = float(np.hypot(candidate.xy[0] - x, candidate.xy[1] - y))
            right = distance <= TOLERANCE * radius_K[annotations.skeleton.index(candidate.keypoint)]
            seen = (*candidate.xy, 2 if candidate.accepted else 0)
            time = f"2026-01-{1 + number:02d}T00:00:00+00:00"
            said = ("accept", None) if right else ("fix", (x, y, 2))
            decisions.append(Decision(record["id"], candidate.keypoint, said[0], "simulated", time, seen, said[1]))
    recorded = save(file, decisions)
    assert not recorded.refused, recorded.refused[0]
    kinds = [d.decision for d in decisions]
    return {"people": len(chosen), "accepted": kinds.count("accept"), "fixed": kinds.count("fix")}


def quality(file: Path, truth: dict[int, dict[str, list[float]]]) -> dict[str, float]:
    """Of the hidden points of all people: the share that stands, and of these the share beyond the OKS-.5 radius."""
    annotations = read_extended(file)
    points = stands = wrong = 0
    for row, record in enumerate(annotations.records):
        if record["id"] not in truth:
            continue
        radius_K = oks_radius_px(np.array([record["area"]]), annotations.skeleton.sigma_array)[0]
        for name, (x, y) in truth[record["id"]].items():
            k = annotations.skeleton.index(name)
            points += 1
            if annotations.visibility[row, k] > 0:
                stands += 1
                wrong += bool(np.hypot(*(annotations.xy[row, k] - (x, y))) > radius_K[k])
    return {"stand": 100 * stands / points, "wrong": 100 * wrong / max(1, stands)}


def one_round(
    folder: Path, before: Path, arm: str, number: int, options: argparse.Namespace, seed: int, truth: dict[int, Any]
) -> None:
    """Propose with the student of folder `before`, review, and train the next student in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    extended, log = folder / "extended.json", folder / "stderr.log"
    if not (folder / "review.json").is_file():
        source = ["--annotations", str(folder.parent.parent / "original.json"), "--images", str(options.images)]
        model = ["--model", str(before / "model.onnx"), "--out", str(extended), "--overwrite"]
        run("annotate.cli", ["extend", *source, *model, *options.extend], log)
        if (before / "extended.json").is_file():
            run("annotate.cli", ["apply", str(extended), "--from", str(before / "extended.json")], log)
        waiting = [p for p in queue(read_extended(extended)) if p.candidates]
        if arm == "lots":
            order = np.random.default_rng(1000 * seed + number).permutation(len(waiting))
            waiting = [waiting[i] for i in order]
        found = review(extended, waiting[: options.budget], truth, number)
        run("annotate.cli", ["apply", str(extended)], log)
        write_json(folder / "review.json", {**found, **quality(extended, truth)})
    train(folder, extended, options, seed, options.steps, before / "weights.safetensors")


def measured(options: argparse.Namespace, seed: int) -> dict[str, list[dict[str, float]]]:
    """Arm -> what each round, the first being none, gave."""
    folder = options.out / str(seed)
    folder.mkdir(parents=True, exist_ok=True)
    truth = prepare(options, seed, folder)
    base = folder / "base"
    base.mkdir(exist_ok=True)
    train(base, folder / "original.json", options, seed, options.base_steps, None)
    result = {}
    for arm in ARMS:
        rows = [read_json(base / "scores.json")]
        before = base
        for number in range(1, options.rounds + 1):
            step = folder / arm / str(number)
            one_round(step, before, arm, number, options, seed, truth)
            rows.append({**read_json(step / "scores.json"), **read_json(step / "review.json")})
            before = step
        result[arm] = rows
    return result


def score(row: dict[str, float]) -> float:
    """PCK@.2 of the hidden keypoints together."""
    return statistics.mean(row[name] for name in HIDDEN)


def plot(path: Path, results: list[dict[str, list[dict[str, float]]]], options: argparse.Namespace) -> None:
    """PCK@.2 of the hidden keypoints against reviewed people: each seed faint, their mean strong."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    people = [options.budget * r for r in range(options.rounds + 1)]
    for arm, colour, label in (("next", "#0072B2", "annotate next"), ("lots", "#D55E00", "drawn by lot")):
        curves = np.array([[score(row) for row in result[arm]] for result in results])
        for curve in curves:
            axes.plot(people, curve, color=colour, alpha=0.3, linewidth=1)
        axes.plot(people, curves.mean(0), color=colour, marker="o", label=label)
    axes.set_xlabel("people reviewed")
    axes.set_ylabel("PCK@.2 of neck and head_top, %")
    axes.set_xticks(people)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=150)


def spread(values: list[float]) -> str:
    """Mean, and least to most where there are several."""
    mean = f"{statistics.mean(values):.1f}"
    return mean if len(values) < 2 else f"{mean} ({min(values):.1f}–{max(values):.1f})"


def print_note(results: list[dict[str, list[dict[str, float]]]], options: argparse.Namespace) -> None:
    """The note, Markdown."""
    print("# What reviewers' decisions teach the next student\n")
    print(f"- date: {datetime.date.today()}")
    print(f"- command: `{' '.join(['python', *sys.argv])}`")
    print(f"- machine: {platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print(f"- commit: {commit()}")
    print(
        f"- setting: {options.labelled} people with neck and head_top, {options.pool} without; {options.base_steps} "
        f"steps at 96x128, then {options.steps} a round; {options.budget} people reviewed a round; seeds "
        f"{', '.join(map(str, options.seeds))}; mean (least–most)\n"
    )
    print("| reviewed | arm | neck | head_top | both | PCK12 | fixed of reviewed | stand, % | wrong of standing, % |")
    print("|--:|---|--:|--:|--:|--:|--:|--:|--:|")
    for number in range(options.rounds + 1):
        for arm in ARMS if number else ARMS[:1]:
            rows = [result[arm][number] for result in results]
            cells = [spread([row[name] for row in rows]) for name in (*HIDDEN, "PCK12")]
            cells.insert(2, spread([score(row) for row in rows]))
            if number:
                fixed = [100 * row["fixed"] / max(1, row["fixed"] + row["accepted"]) for row in rows]
                cells += [spread(fixed), *(spread([row[key] for row in rows]) for key in ("stand", "wrong"))]
            else:
                cells += ["", "", ""]
            print(f"| {number * options.budget} | {arm if number else 'none'} | {' | '.join(cells)} |")
    print("\nneck, head_top, PCK12: PCK@.2 on the test set. *stand*, *wrong*: of the hidden points, after the review.")


def main() -> None:
    """Run what is missing and print the note."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="LSP Extended train.json")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--test-images", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/review_rounds"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--labelled", type=int, default=150)
    parser.add_argument("--pool", type=int, default=1500)
    parser.add_argument("--budget", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--base-steps", type=int, default=400)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--lr", type=float, default=7e-4, help="of the rounds")
    parser.add_argument("--extend", nargs="*", default=[], help="more options of annotate extend")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    for name in ("data", "images", "test", "test_images", "out"):
        setattr(options, name, getattr(options, name).resolve())
    results = [measured(options, seed) for seed in options.seeds]
    if options.plot:
        plot(options.plot, results, options)
    print_note(results, options)


if __name__ == "__main__":
    main()
