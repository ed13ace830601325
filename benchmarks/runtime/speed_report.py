"""What `speed.py` measured, as a note in Markdown and a plot of latency against accuracy."""

from __future__ import annotations

import datetime
import importlib.util
import io
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import speed_arms
from speed_arms import Beside

from poseunion.export import timing
from poseunion.export.onnx import operators
from poseunion.export.onnx.operators import NodeTime
from poseunion.export.timing import Work, commit, spread
from poseunion.models.errors import BadArgumentError, MissingExtraError
from poseunion.models.files import write_bytes
from poseunion.models.inference.predictor import Predictor, load_predictor

KINDS = (".png", ".svg", ".pdf")
OURS, RTMLIB = "ours", "rtmlib"
PROFILED = (
    "Where the network's time goes: kernels of the graph that onnxruntime made of the file, one thread, the best "
    f"of {operators.RUNS} runs under its profiler for each; what lies between the nodes is not in it."
)


@dataclass(frozen=True)
class Arm:
    """Who did what.

    Attributes:
        who: `ours`, `rtmlib`, or another program's name.
        model: the file; empty for another program's own.
        threads: of the CPU.
        people: boxes a picture.
    """

    who: str
    model: str
    threads: int
    people: int


@dataclass(frozen=True)
class Measured:
    """All times.

    Attributes:
        predictors: on one thread, by model.
        wall_ms, cpu_ms: milliseconds a person of each arm, one a round; another program's CPU time is not known.
        stages: model -> step -> CPU milliseconds a person.
        batches: (model, threads) -> batch size -> milliseconds a person.
    """

    predictors: dict[str, Predictor]
    wall_ms: dict[Arm, list[float]]
    cpu_ms: dict[Arm, list[float]]
    stages: dict[str, dict[str, float]]
    batches: dict[tuple[str, int], dict[int, float]]
    pictures: int
    rounds: int
    decoded: bool = False

    @classmethod
    def of(
        cls,
        models: Sequence[str],
        works: Sequence[Work],
        threads: Sequence[int],
        batch: Sequence[int],
        device: str,
        allow_fallback: bool,
        rounds: int,
        beside: Mapping[str, str],
        advance: Callable[[int, int], None],
    ) -> Measured:
        """Measure all arms in rounds; `advance` is called with the rounds done and all rounds.

        Raises:
            BadArgumentError: two models of one name.
        """
        named = {Path(model).stem: model for model in models}
        if len(named) < len(models):
            raise BadArgumentError(f"Two of {', '.join(models)} have the same name: rename a file.")
        opened = {
            (name, n): load_predictor(model, device=device, threads=n, allow_fallback=allow_fallback)
            for n in threads
            for name, model in named.items()
        }
        wall_ms: dict[Arm, list[float]] = {}
        cpu_ms: dict[Arm, list[float]] = {}
        groups = [(work, n) for work in works for n in threads]
        for number, (work, n) in enumerate(groups):
            cv2.setNumThreads(n)
            with ExitStack() as stack:
                arms: dict[Arm, Callable[[], object]] = {}
                for name in named:
                    predictor, people = opened[name, n], len(work.boxes[0])
                    arms[Arm(OURS, name, n, people)] = timing.ours(predictor, work)
                    if speed_arms.runs_in_rtmlib(predictor):
                        arms[Arm(RTMLIB, name, n, people)] = speed_arms.rtmlib(predictor, work)
                for who, command in beside.items():
                    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                    other = Beside(command, work, n, folder)
                    stack.callback(other.close)
                    arms[Arm(who, "", n, people)] = other
                for work_once in arms.values():
                    work_once()
                taken = timing.measure(arms, _told(rounds, number * rounds, len(groups) * rounds, advance))
            for arm, times in taken.items():
                wall_ms[arm] = [wall * 1e3 / work.people for wall, _ in times]
                cpu_ms[arm] = [cpu * 1e3 / work.people for _, cpu in times]
        cv2.setNumThreads(1)
        return cls(
            predictors={name: opened[name, threads[0]] for name in named},
            wall_ms=wall_ms,
            cpu_ms=cpu_ms,
            stages={name: timing.stages(opened[name, threads[0]], works[0]) for name in named},
            batches={key: timing.batches(predictor, batch) for key, predictor in opened.items()},
            pictures=len(works[0].pictures),
            rounds=rounds,
            decoded=works[0].decoded,
        )


def _told(rounds: int, before: int, total: int, advance: Callable[[int, int], None]) -> Iterator[int]:
    for number in range(rounds):
        advance(before + number, total)
        yield number


def note(
    measured: Measured,
    accuracy: Mapping[str, float],
    machine: str,
    command: str,
    plot: Path | None,
    profiles: Mapping[str, Mapping[int, Sequence[NodeTime]]] | None = None,
) -> str:
    """The note: who, where, three tables and, from model -> batch size -> node times, two more a model."""
    models = [
        f"{name} ({'x'.join(map(str, p.size_wh))}, {p.provider}, sha256 {p.sha256[:12]}"
        + (f", AP {accuracy[name]:.1f}" if name in accuracy else "")
        + ")"
        for name, p in measured.predictors.items()
    ]
    lines = [
        "# Speed, end to end",
        "",
        f"Date: {datetime.date.today().isoformat()}  ",
        f"Command: `{command}`  ",
        f"Machine: {machine}  ",
        f"Commit: {commit()}  ",
        f"Models: {'; '.join(models)}  ",
        f"{measured.pictures} {'decoded' if measured.decoded else 'encoded'} pictures with so many people each, "
        f"{measured.rounds} rounds in turns; an arm {'' if measured.decoded else 'decodes the picture, '}cuts, runs "
        "the network and finds the keypoints. Ratios are formed within a round: median (least–most); above 1 is faster "
        "than what the column names.",
        "",
        *_arms(measured),
        "",
        "Where our time goes: CPU milliseconds a person, one thread, the best of five rounds.",
        "",
        *_stages(measured),
        "",
        "Bare network calls: wall milliseconds a person at each batch size.",
        "",
        *_batches(measured),
    ]
    if profiles:
        lines += ["", PROFILED, *operators.tables(profiles)]
    if plot is not None:
        lines += ["", f"![latency against AP]({plot.name})"]
    return "\n".join([*lines, ""])


def _arms(measured: Measured) -> Iterator[str]:
    wall, cpu = measured.wall_ms, measured.cpu_ms
    first = next(iter(measured.predictors))
    beside = [f"× rtmlib, {first}", f"× ours, {first}", f"CPU × ours, {first}"]
    columns = ["people", "threads", "who", "model", "ms a person", "CPU ms", "× rtmlib, same file", *beside]
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for arm, times in wall.items():
        cells = [str(arm.people), str(arm.threads), arm.who, arm.model or "its own", spread(times)]
        cells += [f"{statistics.median(cpu[arm]):.2f}" if arm.model else "–", _ratios(wall, arm, RTMLIB, arm.model)]
        cells += [_ratios(wall, arm, RTMLIB, first), _ratios(wall, arm, OURS, first)]
        cells += [_ratios(cpu, arm, OURS, first) if arm.model else "–"]
        yield f"| {' | '.join(cells)} |"


def _ratios(taken: Mapping[Arm, Sequence[float]], arm: Arm, who: str, model: str) -> str:
    """How many times as fast as `who` with `model` on as many people and threads."""
    reference = taken.get(Arm(who, model, arm.threads, arm.people))
    if reference is None:
        return "–"
    return spread([theirs / own for theirs, own in zip(reference, taken[arm], strict=True)])


def _stages(measured: Measured) -> Iterator[str]:
    names = list(measured.stages)
    yield f"| step | {' | '.join(names)} |"
    yield "|---" * (len(names) + 1) + "|"
    for step in next(iter(measured.stages.values())):
        yield f"| {step} | {' | '.join(f'{measured.stages[name][step]:.2f}' for name in names)} |"


def _batches(measured: Measured) -> Iterator[str]:
    sizes = list(next(iter(measured.batches.values())))
    yield f"| model | threads | {' | '.join(map(str, sizes))} |"
    yield "|---" * (len(sizes) + 2) + "|"
    for (name, threads), times in measured.batches.items():
        yield f"| {name} | {threads} | {' | '.join(f'{times[size]:.2f}' for size in sizes)} |"


def check_plot(path: Path) -> None:
    """Raises where `path` cannot be a plot: before anything is measured."""
    if path.suffix.lower() not in KINDS:
        raise BadArgumentError(f"--plot {path} ends in none of {', '.join(KINDS)}.")
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "evaluate")


def plot_latency(measured: Measured, accuracy: Mapping[str, float], path: Path) -> None:
    """Milliseconds a person against AP: ours and rtmlib's of each model, at the fewest threads and people measured."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    fewest = min((arm.people, arm.threads) for arm in measured.wall_ms)
    arms = [a for a in measured.wall_ms if (a.people, a.threads) == fewest and a.model in accuracy]
    latency = {arm: statistics.median(measured.wall_ms[arm]) for arm in arms}
    for who, marker in ((OURS, "o"), (RTMLIB, "s")):
        own = [arm for arm in arms if arm.who == who]
        axes.plot([latency[arm] for arm in own], [accuracy[arm.model] for arm in own], marker, label=who, zorder=3)
    for model in dict.fromkeys(arm.model for arm in arms):
        ends = [latency[arm] for arm in arms if arm.model == model and arm.who in (OURS, RTMLIB)]
        axes.plot(ends, [accuracy[model]] * len(ends), color="grey", linewidth=1)
        middle = statistics.mean(ends)
        axes.annotate(
            *(model, (middle, accuracy[model])), textcoords="offset points", xytext=(0, 7), ha="center", fontsize=8
        )
    # Room for the names.
    axes.margins(x=0.15, y=0.15)
    axes.set_xlabel(f"ms a person, {fewest[0]} people a picture, {fewest[1]} thread(s)")
    axes.set_ylabel("AP")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:].lower(), dpi=150)
    write_bytes(path, buffer.getvalue())
