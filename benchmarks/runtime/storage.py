"""What it costs to store a network once, in half precision and unfolded: size, time to load, time to run, answers.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/runtime/storage.py --model unified --model unified-64 --sets DIR

DIR holds `coco/test.json` and `coco/test/`. Files: `onnx-fp32` (folded weights in single precision) and `onnx` (what is
shipped), of the same network. The shipped weights are multiples of half precision, so that rounding cannot be seen on
them: for those columns every convolution before a batch norm is scaled at random, and the norm's statistics with it,
which leaves the function as it was. Load and run alternate between the files; CPU time of one thread. Prints Markdown.
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from poseunion.export.calibration_crops import read_crops
from poseunion.export.contract import agreement
from poseunion.export.onnx.graph_export import network_graph, packed_graph
from poseunion.export.timing import machine
from poseunion.export.torch_model import TorchModel
from poseunion.models.runtime.onnx import OnnxModel
from poseunion.models.zoo import weights_path

PEOPLE, ROUNDS, BATCH = 64, 15, 4
HEAD = """\
| model | MB, `onnx-fp32` / `onnx` | load, ms | run, ms a person | run, ratio | same weights: logits differ by \
| rounded: logits differ by | equal bins | median px | moved over 4 px |
|---|---|---|---|---|---|---|---|---|---|"""


@torch.no_grad()
def rescaled(trained: TorchModel) -> TorchModel:
    """The same function with weights that are no multiples of half precision."""
    width, height = trained.description.size_wh
    made_by: dict[int, nn.Conv2d] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    kept: list[torch.Tensor] = []  # alive, so that no two have one id

    def seen(module: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        kept.append(output)
        if isinstance(module, nn.Conv2d):
            made_by[id(output)] = module
        elif isinstance(module, nn.BatchNorm2d) and id(given[0]) in made_by:
            pairs.append((made_by[id(given[0])], module))

    hooks = [module.register_forward_hook(seen) for module in trained.network.modules()]
    trained.network(torch.zeros(1, 3, height, width))
    for hook in hooks:
        hook.remove()
    generator = torch.Generator().manual_seed(0)
    for convolution, norm in pairs:
        scale = torch.rand(convolution.out_channels, generator=generator) * 1.3 + 0.7
        convolution.weight.mul_(scale[:, None, None, None])
        norm.running_mean.mul_(scale)  # type: ignore[union-attr]
        norm.running_var.copy_((norm.running_var + norm.eps) * scale**2 - norm.eps)  # type: ignore[union-attr, operator]
    return trained


def cpu_ms(action: object) -> float:
    """CPU milliseconds of a call."""
    start = time.process_time()
    action()  # type: ignore[operator]
    return 1e3 * (time.process_time() - start)


def row(name: str, sets: Path, folder: Path) -> str:
    """One model's line of the table."""
    trained = TorchModel(weights_path(name))
    paths = {"fp32": folder / "fp32.onnx", "packed": folder / "packed.onnx", "rounded": folder / "rounded.onnx"}
    onnx.save(network_graph(trained.network, trained.description), paths["fp32"])
    onnx.save(packed_graph(trained.network, trained.spec, trained.description), paths["packed"])
    crops = read_crops(sets / "coco" / "test.json", sets / "coco" / "test", trained.description, PEOPLE).pixels
    models = {kind: OnnxModel(paths[kind], threads=1) for kind in ("fp32", "packed")}
    inputs = models["fp32"].normalise(crops[:BATCH])
    load: dict[str, list[float]] = {kind: [] for kind in models}
    run: dict[str, list[float]] = {kind: [] for kind in models}
    for _ in range(ROUNDS):
        for kind, model in models.items():
            load[kind].append(cpu_ms(lambda path=paths[kind]: OnnxModel(path, threads=1)))
            run[kind].append(cpu_ms(lambda model=model: model.forward(inputs)) / BATCH)
    ratio = np.median([a / b for a, b in zip(run["packed"], run["fp32"], strict=True)])
    other = rescaled(TorchModel(weights_path(name)))
    onnx.save(packed_graph(other.network, other.spec, other.description), paths["rounded"])
    same = agreement(models["fp32"], models["packed"], crops, "coco")
    rounded = agreement(other, OnnxModel(paths["rounded"], threads=1), crops, "coco")
    megabytes = " / ".join(f"{paths[kind].stat().st_size / 1e6:.1f}" for kind in models)
    return (
        f"| {name} | {megabytes} | {' / '.join(f'{np.median(load[kind]):.0f}' for kind in models)} | "
        f"{' / '.join(f'{np.median(run[kind]):.2f}' for kind in models)} | {ratio:.2f} | {same.logit_difference:.1e} | "
        f"{rounded.logit_difference:.4f} of {rounded.logit_range:.2f} | {100 * rounded.equal_bins:.1f} % | "
        f"{rounded.median_px:.3f} | {100 * rounded.moved:.2f} % |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--sets", type=Path, required=True)
    options = parser.parse_args()
    print(f"# Networks stored once\n\nDate: {datetime.date.today()}  \nMachine: {machine()}  ")
    named = " ".join(f"--model {name}" for name in options.model)
    print(f"Command: `benchmarks/runtime/storage.py {named} --sets DIR`\n")
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.model:
            print(row(name, options.sets, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
