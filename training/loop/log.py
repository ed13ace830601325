"""Training log: JSON lines, TensorBoard curves, and a progress bar on a terminal or a line a minute elsewhere."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from poseunion.models.errors import BadFileError, MissingExtraError
from poseunion.models.files import write_bytes

# Steps over which the shown loss and speed are averaged.
WINDOW = 20
# Between two lines where stderr is no terminal, by the run's clock.
LINE_S = 60


class RunLog:
    """Writes `log.jsonl` and `tensorboard/` in a run's folder, and shows steps, losses, people a second, and time left.

    Rows after `step`, left by a session that was killed past its last checkpoint, are dropped: those steps come again.

    Args:
        every: steps between two rows.
        step, progress: of the run so far.

    Raises:
        BadFileError: the folder cannot be written. MissingExtraError: no TensorBoard installed.
    """

    def __init__(self, out: Path, label: str, every: int, step: int, progress: float) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard", "train") from error
        self.every, self._path = every, out / "log.jsonl"
        self._losses: deque[float] = deque(maxlen=WINDOW)
        # (seconds, people) at the end of recent steps.
        self._pace: deque[tuple[float, int]] = deque(maxlen=WINDOW + 1)
        try:
            _drop_rows_after(self._path, step)
            self._file = self._path.open("a")
            self._board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)
        except OSError as error:
            raise BadFileError(f"Cannot write {self._path}: {error.strerror or error}.") from error
        self._console = console = Console(stderr=True)
        self._next_line_s = 0.0
        columns = (TextColumn(label), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[state]}"))
        self._bar = Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal
        )
        self._task = self._bar.add_task(label, total=1.0, state="")
        self._bar.update(self._task, completed=progress)

    def __enter__(self) -> RunLog:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        # A full disk has been reported already, by the row that did not fit.
        with contextlib.suppress(OSError):
            self._board.close()
            self._file.close()

    def trained(
        self, step: int, seconds: float, progress: float, people: int, parts: Mapping[str, Tensor], **more: float
    ) -> None:
        """Log a training step.

        Args:
            seconds: of the run so far.
            people: of the step, on all devices.
            parts: of the loss, with `total`; written so that a float32 is read back exactly.
            more: further columns.
        """
        self._losses.append(float(parts["total"].detach()))
        self._pace.append((seconds, people))
        mean, speed = float(np.mean(self._losses)), self._people_per_second()
        steps = f"step {step:,} of {round(step / progress):,}" if progress else f"step {step:,}"
        rate = f", {speed:.0f} people/s" if speed else ""
        self._bar.update(self._task, completed=progress, state=f"{steps}, loss {mean:.3f}{rate}")
        line = not self._console.is_terminal and (seconds >= self._next_line_s or progress >= 1)
        if not line and step % self.every:
            return
        losses = {k: float(f"{float(v.detach()):.9g}") for k, v in parts.items()}
        if line:
            self._next_line_s = seconds + LINE_S
            left_min = seconds / progress * (1 - progress) / 60 if progress else 0.0
            self.show(f"{steps}, loss {mean:.3f} ({_by_part(losses)}){rate}, {left_min:.0f} min left")
        if step % self.every:
            return
        row = {**losses, "step": step, "seconds": round(seconds, 1), **more, f"mean{WINDOW}": round(mean, 5)}
        self._write({**row, "people_per_s": round(speed, 1)})

    def validated(self, step: int, seconds: float, score: Mapping[str, float], shown: str = "") -> None:
        """Log a validation on held-out people, and show it, as `shown` or in a line."""
        self._write({"step": step, "seconds": round(seconds, 1), **score})
        found = ", ".join(f"{name} {value:.1f}" for name, value in score.items())
        self.show(shown or f"step {step:,}, held-out people: {found or 'none with a label'}")

    def show(self, text: str) -> None:
        """Print lines, above the bar where there is one."""
        self._bar.console.print(text, soft_wrap=True, markup=False, highlight=False)

    def _people_per_second(self) -> float:
        if len(self._pace) < 2 or self._pace[-1][0] <= self._pace[0][0]:
            return 0.0
        return sum(people for _, people in list(self._pace)[1:]) / (self._pace[-1][0] - self._pace[0][0])

    def _write(self, row: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
            for name, value in row.items():
                if name != "step":
                    self._board.add_scalar(name, value, row["step"])
        except OSError as error:
            raise BadFileError(
                f"Cannot write {self._path}: {error.strerror or error}; free space, then --resume."
            ) from error


def _by_part(losses: Mapping[str, float]) -> str:
    """The parts of a loss, both axes of one together.

    >>> _by_part({"ck_x": 1.0, "ck_y": 0.5, "heatmap": 0.25, "total": 1.75})
    'ck 1.500, heatmap 0.250'
    """
    sums: dict[str, float] = {}
    for name, value in losses.items():
        if name != "total":
            part = name.replace("_x", "").replace("_y", "")
            sums[part] = sums.get(part, 0.0) + value
    return ", ".join(f"{name} {value:.3f}" for name, value in sums.items())


def _drop_rows_after(path: Path, step: int) -> None:
    if not path.is_file():
        return
    lines = path.read_text().splitlines()
    kept = [line for line in lines if _step_of(line) <= step]
    if len(kept) < len(lines):
        write_bytes(path, "".join(line + "\n" for line in kept).encode())


def _step_of(line: str) -> float:
    """Infinity for a line that was cut short by a kill."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
