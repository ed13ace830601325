"""Inference time of an ONNX file per operator and per module, from onnxruntime's profiler.

Timed are the kernels of the graph as onnxruntime has optimised it, on one thread of the CPU: activations are
fused into convolutions, and `Reorder…` are its own changes of memory layout. The time between nodes, and the profiler's
own (some microseconds a node), are in no row: whole calls are timed without it.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.predictor import Predictor
from poseunion.models.runtime.onnx import CPU, OnnxModel, open_session

BATCHES = (1, 8)
WARM_UP, RUNS = 3, 20
SHOWN = 15  # rows of a table; the rest is one row
KERNEL = "_kernel_time"  # how the profiler ends the name of a node's own time
NO_PATH = "no module in its name"
# A node's name ends in its operator; what onnxruntime adds for its fused and blocked kernels is cut off.
_ADDED = re.compile(r"(_output_\d+)?(_nchwc|_token_\d+|_quant|_dequant)*$")


@dataclass(frozen=True)
class NodeTime:
    """Time of one node of the optimised graph.

    Attributes:
        operator: its type; of a convolution, with the size of its kernel.
        module: the first two names of its path in the network.
        ms: a person; the least of all runs, since on a shared machine only the least is the node's own.
    """

    operator: str
    module: str
    ms: float


def profile(predictor: Predictor, batch: int, runs: int = RUNS) -> list[NodeTime]:
    """Profile all nodes at a batch size, on noise.

    Raises:
        BadArgumentError: no ONNX file on the CPU: other runtimes have profilers of their own.
    """
    model = predictor.model
    if not isinstance(model, OnnxModel) or model.provider != CPU:
        raise BadArgumentError(f"--operators profiles ONNX files on the CPU, and {predictor.name} runs elsewhere.")
    width, height = predictor.size_wh
    crops = np.random.default_rng(0).integers(0, 256, (batch, height, width, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(model.path, (CPU,), threads=1, profile=Path(folder) / "profile")
        fed = {session.get_inputs()[0].name: model.normalise(crops)}
        for _ in range(WARM_UP + runs):
            session.run(None, fed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return node_times(events, batch)


def node_times(events: Iterable[Mapping[str, Any]], batch: int) -> list[NodeTime]:
    """Least times of the nodes in a profile (its list of events); the first `WARM_UP` runs do not count."""
    kernels: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
            kernels[event["name"].removesuffix(KERNEL), event["args"].get("node_index", "")].append(event)
    return [
        NodeTime(
            operator=operator_of(own[0]["args"]),
            module=module_of(name),
            ms=min(event["dur"] for event in own[WARM_UP:]) / 1e3 / batch,
        )
        for (name, _), own in kernels.items()
        if len(own) > WARM_UP
    ]


def operator_of(node: Mapping[str, Any]) -> str:
    """Operator with its kernel size, from an event's arguments: `Conv 1x1`, `Conv depthwise 5x5`, `Add`.

    >>> shapes = [{"float": [1, 32, 64, 48]}, {"float": [32, 1, 3, 3]}]
    >>> operator_of({"op_name": "FusedConv", "input_type_shape": shapes})
    'Conv depthwise 3x3'
    """
    operator = str(node["op_name"]).removeprefix("Fused")
    shapes = [shape for entry in node.get("input_type_shape", []) for shape in entry.values()]
    weight = next((shape for shape in shapes[1:] if len(shape) >= 3), None)
    if "Conv" not in operator or weight is None:
        return operator
    depthwise = "depthwise " if weight[1] == 1 and shapes[0][1] > 1 else ""
    return f"{operator} {depthwise}{'x'.join(map(str, weight[2:]))}"


def module_of(name: str) -> str:
    """Module of a node: the first two parts of its name.

    >>> module_of("/backbone/blocks.1/blocks.1.0/bn1/act/Clip_output_0_nchwc")
    'backbone/blocks.1'
    >>> module_of("/ReduceMean_1"), module_of("ReorderInput_token_8")
    ('network itself', 'no module in its name')
    """
    if not name.startswith("/"):
        return NO_PATH
    return "/".join(_ADDED.sub("", name).split("/")[1:-1][:2]) or "network itself"


def tables(profiles: Mapping[str, Mapping[int, Sequence[NodeTime]]]) -> Iterator[str]:
    """Markdown tables of node times: for each model by operator and, where its nodes name modules, by module.

    Args:
        profiles: model -> batch size -> times.
    """
    for name, by_batch in profiles.items():
        for title, key in (("operator", _operator), ("module", _module)):
            if len({key(node) for nodes in by_batch.values() for node in nodes}) > 1:
                yield from ("", f"`{name}` by {title}:", "", *_table(title, key, by_batch))


def _operator(node: NodeTime) -> str:
    return node.operator


def _module(node: NodeTime) -> str:
    return node.module


def _table(title: str, key: Callable[[NodeTime], str], by_batch: Mapping[int, Sequence[NodeTime]]) -> Iterator[str]:
    batches = list(by_batch)
    yield f"| {title} | nodes | " + " | ".join(f"batch {b}: ms a person | share" for b in batches) + " |"
    yield "|---|---|" + "---|---|" * len(batches)
    sums = {b: _sums(by_batch[b], key) for b in batches}
    nodes = _sums(by_batch[batches[0]], key, count=True)
    order = sorted(nodes, key=lambda name: -sums[batches[0]].get(name, 0))
    rows = [([name], name) for name in order[:SHOWN]]
    if order[SHOWN:]:
        rows.append((order[SHOWN:], f"{len(order) - SHOWN} others"))
    for names, label in [*rows, (order, "all")]:
        cells = [label, str(int(sum(nodes[name] for name in names)))]
        for b in batches:
            whole, own = sum(sums[b].values()), sum(sums[b].get(name, 0) for name in names)
            cells += [f"{own:.2f}", f"{100 * own / whole:.0f} %"]
        yield f"| {' | '.join(cells)} |"


def _sums(nodes: Sequence[NodeTime], key: Callable[[NodeTime], str], count: bool = False) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for node in nodes:
        found[key(node)] += 1 if count else node.ms
    return found
