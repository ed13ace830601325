"""How fast is each exported file beside the single-precision one, and what does it lose?

    .venv/bin/python benchmarks/runtime/export_speed.py --model models/weights/unified.onnx --data DIR

DIR holds `coco/test.json`, `coco/test/`, `coco/train.json` and `coco/train/`. The files are made anew by the command
itself, with its contract; then they take turns on the same crops, one thread each, and every ratio is formed inside
its round. `--peer unified_t` adds an untrained network of that recipe's kind, for its speed alone. Prints Markdown.
"""

from __future__ import annotations

import argparse
import datetime
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import torch

from poseunion.export.calibration_crops import read_crops
from poseunion.export.machine import installed_versions, processor
from poseunion.export.manifest import Manifest
from poseunion.export.onnx.graph_export import network_graph
from poseunion.export.onnx.int8 import computed_in, quantise
from poseunion.export.run import CALIBRATION_PEOPLE, ExportRequest, Labelled, export
from poseunion.export.timing import commit
from poseunion.models.codec.heads import SimccOutput
from poseunion.models.codec.simcc import SimccGrid
from poseunion.models.networks.build import build_network
from poseunion.models.runtime.description import ModelDescription
from poseunion.models.runtime.onnx import OnnxModel

BATCHES = (1, 8)
ROUNDS = 15


def ratios(paths: dict[str, Path], pixels: np.ndarray, batch: int, threads: int) -> dict[str, str]:
    """ms of CPU time a person, and how many times as fast as the first, median (least to most)."""
    models = {name: OnnxModel(path, threads=threads) for name, path in paths.items()}
    inputs = {name: model.normalise(pixels[:batch]) for name, model in models.items()}
    for name, model in models.items():
        model.forward(inputs[name])
    taken: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, model in models.items():
            start = time.process_time()
            for _ in range(max(1, 8 // batch)):
                model.forward(inputs[name])
            taken[name].append((time.process_time() - start) / (max(1, 8 // batch) * batch) * 1e3)
    base = next(iter(taken.values()))
    lines = {}
    for name, times in taken.items():
        times_as_fast = [a / b for a, b in zip(base, times, strict=True)]
        spread = f"{statistics.median(times_as_fast):.2f} ({min(times_as_fast):.2f}–{max(times_as_fast):.2f})"
        lines[name] = f"{statistics.median(times):.2f} | {spread}"
    return lines


def untrained(network: str, pixels: np.ndarray, folder: Path) -> dict[str, Path]:
    """Single precision and eight bits of a network that has learned nothing."""
    torch.manual_seed(0)
    description = ModelDescription(name=network, skeleton="union21", size_wh=(192, 256), head=SimccOutput())
    model = network_graph(build_network(network, "", 21, SimccGrid((192, 256))).eval(), description)
    paths = {f"{network}, untrained, onnx": folder / "a.onnx", f"{network}, untrained, onnx-int8": folder / "b.onnx"}
    for path, made in zip(paths.values(), (model, quantise(model, description, pixels).model), strict=True):
        onnx.save(made, path)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peer", default="rtmpose-t")
    parser.add_argument("--max-drop", type=float, default=0.5)
    arguments = parser.parse_args()
    coco = arguments.data / "coco"
    test, train = Labelled(coco / "test.json", coco / "test"), Labelled(coco / "train.json", coco / "train")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request = ExportRequest(
            arguments.model,
            folder,
            ("onnx", "onnx-fp16", "onnx-int8"),
            twin="picture",
            measured=(test,),
            calibration=train,
            max_drop=arguments.max_drop,
            sensitivity=True,
        )
        made = export(request)
        description = OnnxModel(made[0][0], threads=1).description
        pixels = read_crops(train.annotations, train.images, description, CALIBRATION_PEOPLE).pixels
        peers = untrained(arguments.peer, pixels, folder)
        families = [{m.format: path for path, m in made[:3]}, peers]
        speeds = {b: {k: v for f in families for k, v in ratios(f, pixels, b, 1).items()} for b in BATCHES}
        integer = {name: computed_in(path) for f in families for name, path in f.items() if "int8" in name}
        _print(arguments, load, [m for _, m in made], speeds, {n: dict(c) for n, c in integer.items()})


def _print(
    arguments: argparse.Namespace,
    load: float,
    manifests: list[Manifest],
    speeds: dict[int, dict[str, str]],
    integer: dict[str, dict[str, int]],
) -> None:
    print("# Exported files beside the trained network\n")
    print(f"- **date**: {datetime.date.today()}")
    print(f"- **command**: `python benchmarks/runtime/export_speed.py --model {arguments.model.name} --data DIR`")
    versions = installed_versions()
    print(
        f"- **machine**: {processor()}, {os.cpu_count()} cores, load {load:.1f}; onnxruntime {versions['onnxruntime']}"
    )
    print(f"- **commit**: {commit()}\n")
    print("## Loss\n")
    print("| format | MB | equal bins | within one | moved > 4 px | median px | AP of torch | AP of the file |")
    print("|---|---|---|---|---|---|---|---|")
    for m in manifests[:3]:
        a, s = m.agreement[-1], m.accuracy[0]
        assert not isinstance(s, str)
        print(
            f"| {m.format} | {m.bytes / 1e6:.1f} | {100 * a.equal_bins:.2f} % | {100 * a.bins_within_one:.2f} % | "
            f"{100 * a.moved:.2f} % | {a.median_px:.3f} | {s.trained:.2f} | {s.exported:.2f} |"
        )
    print("\nThe twin that takes pictures, beside `Predictor`: " + str(manifests[3].details) + "\n")
    print("## Speed\n")
    print("CPU time of the network alone, one thread, and how many times as fast as single precision.\n")
    print("| file | " + " | ".join(f"batch {b}: ms a person | times as fast" for b in speeds) + " |")
    print("|---|" + "---|" * 2 * len(speeds))
    for name in speeds[BATCHES[0]]:
        print(f"| {name} | " + " | ".join(speeds[b][name] for b in speeds) + " |")
    print("\nOperators that the runtime really runs:\n")
    for name, counts in integer.items():
        found = {op: n for op, n in sorted(counts.items()) if op.startswith("QLinear") or op in ("Conv", "FusedConv")}
        print(f"- {name}: {', '.join(f'{n} {op}' for op, n in found.items())}")
    details = manifests[2].details
    print(
        f"\n## Eight bits, layer by layer\n\nWhole: {details['divergence_nats']:.4f} nats; kept float for their cost: "
    )
    print((", ".join(details["float_layers"]) or "none") + ".\n\n| layer alone | nats |\n|---|---|")
    for layer, nats in list(details["sensitivity_nats"].items())[:15]:
        print(f"| {layer} | {nats:.5f} |")


if __name__ == "__main__":
    main()
