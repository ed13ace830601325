"""Whole runs as a user starts them: paper A's recipe with teachers of both public grids, and two processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from poseunion.export.onnx.graph_export import export_onnx
from poseunion.models.codec.heads import SimccOutput
from poseunion.models.errors import BadArgumentError
from poseunion.models.networks.build import build_network
from poseunion.models.networks.weights import NetworkSpec, load_network, save_weights
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.skeleton import load_skeleton
from poseunion.models.zoo import model_path
from poseunion.training.config.overrides import changed
from poseunion.training.config.recipes import Stage, paper_a_t, unified_t
from poseunion.training.data.data_file import read_data_file
from poseunion.training.data.teacher_entries import TeacherEntry
from poseunion.training.loop.prepare import prepare
from poseunion.training.loop.train import fit

PATIENCE_S = 1800  # for a busy machine; the longest takes a quiet one under two minutes
PUBLIC_GRIDS = {"coco17": ((192, 256), (4.9, 5.66)), "mpii16": ((256, 256), (5.66, 5.66))}


@pytest.fixture(scope="module")
def data_file(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data file of two skeletons and two RTMPose-t teachers on the grids of mmpose's public RTMPose-m."""
    folder = tmp_path_factory.mktemp("teachers")
    lines = ["datasets:"]
    for name in ("coco17", "lsp14"):
        lines.append(f"  - {{name: {name}, annotations: {drawn_dataset}/{name}.json, images: {drawn_dataset}}}")
    lines.append("teachers:")
    for name, (size_wh, sigma) in PUBLIC_GRIDS.items():
        torch.manual_seed(1)
        head = SimccOutput(sigma_bins=sigma)
        description = ModelDescription(name=f"teacher-{name}", skeleton=name, size_wh=size_wh, head=head)
        network = build_network("rtmpose-t", "", len(load_skeleton(name)), description.grid)
        weights = folder / f"{name}.safetensors"
        save_weights(weights, network.state_dict(), NetworkSpec(network="rtmpose-t", backbone=""), description)
        export_onnx(weights, folder / f"{name}.onnx")
        lines.append(f"  - {{model: {folder}/{name}.onnx}}")
    path = folder / "data.yaml"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("online", [False, True])
def test_twenty_steps_of_paper_a(data_file: Path, tmp_path: Path, online: bool) -> None:
    recipe = changed(
        paper_a_t(), epochs=0, steps=20, online=online, stages=(Stage((192, 256), 2.0, 1.0, 4),), warmup_steps=5
    )
    weights = fit(recipe, prepare(read_data_file(data_file), recipe, tmp_path / "cache"), tmp_path, accelerator="cpu")
    (row,) = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {"keypoint_x", "distil_x_coco17", "distil_y_mpii16", "total"} <= set(row)
    assert row["total"] == pytest.approx(
        0.3 * (row["keypoint_x"] + row["keypoint_y"])
        + 0.7 * 0.45 * (row["distil_x_coco17"] + row["distil_y_coco17"])
        + 0.7 * 0.25 * (row["distil_x_mpii16"] + row["distil_y_mpii16"]),
        rel=1e-3,
    )
    network, description = load_network(weights)
    assert description.grid.bins_wh == (384, 512)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(3.412e6, rel=1e-3)


def test_a_teacher_of_all_keypoints_and_two_specialists_teach_a_growing_student(
    data_file: Path, drawn_dataset: Path, tmp_path: Path
) -> None:
    """`unified_t` in small: the shipped student teaches beside the others."""
    two = read_data_file(data_file)
    data = two.model_copy(update={"teachers": [*two.teachers, TeacherEntry(model=model_path("unified"))]})
    stages = (Stage((32, 64), 4.0, 0.5, 4), Stage((64, 128), 2.0, 1.0, 4))
    recipe = changed(unified_t(), stages=stages, steps=4, log_every=1, agreement_mask=False, validate_minutes=1e9)
    weights = fit(recipe, prepare(data, recipe, tmp_path / "cache"), tmp_path, accelerator="cpu")
    *steps, held_out = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert "total" not in held_out
    for row in steps:
        lessons = {name: row[f"distil_x_{name}"] + row[f"distil_y_{name}"] for name, _ in recipe.distillation.betas}
        assert min(lessons.values()) > 0
        task = row["keypoint_x"] + row["keypoint_y"]
        distilled = sum(beta * lessons[name] for name, beta in recipe.distillation.betas)
        assert row["total"] == pytest.approx(
            recipe.distillation.alpha * task + (1 - recipe.distillation.alpha) * distilled, rel=1e-4
        )
    _, description = load_network(weights)
    assert (description.size_wh, description.skeleton) == ((64, 128), "union21")

    again = data.model_copy(update={"teachers": [*data.teachers, data.teachers[-1]]})
    with pytest.raises(BadArgumentError, match="2 teachers of union21"):
        prepare(again, recipe, tmp_path / "cache")


@pytest.mark.slow
def test_two_processes_train_one_student(data_file: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "POSEUNION_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "poseunion.app.cli", "train", "unified", "steps=20", "pretrained=false"]
    command += ["--data", str(data_file), "--out", str(tmp_path / "run"), "--devices", "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    load_network(tmp_path / "run" / "weights.safetensors")
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert ["total" in row for row in rows] == [True, False], "one process writes the log"


@pytest.mark.slow
def test_two_nodes_find_each_other(drawn_dataset: Path, tmp_path: Path) -> None:
    """Two nodes of one process each, here on one machine: the same command with another rank."""
    data = tmp_path / "data.yaml"
    data.write_text(f"datasets: [{{name: coco, annotations: {drawn_dataset}/coco17.json, images: {drawn_dataset}}}]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "poseunion.app.cli",
        "train",
        "unified_imagenet",
        "minutes=0",
        "steps=2",
        "log_every=1",
    ]
    command += ["pretrained=false", "--data", str(data), "--out", str(tmp_path / "run"), "--nodes", "2"]
    nodes = [
        subprocess.Popen(
            command,
            env={**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": str(rank)}
            | {"POSEUNION_CACHE": str(tmp_path / f"cache-{rank}"), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        for node in nodes:
            _, errors = node.communicate(timeout=PATIENCE_S)
            assert node.returncode == 0, errors[-2000:]
    finally:
        for node in nodes:
            node.kill()
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "total" in row] == [1, 2], "one node writes the log"
