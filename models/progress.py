"""Progress bars: on standard error where that is a terminal, below its cell in a notebook, silent elsewhere."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, TypeVar

T = TypeVar("T")
# Each change of a bar in a notebook is a message to the browser: often enough to be watched, far below what is queued.
NOTEBOOK_EVERY_S = 0.5
NOTEBOOK_COLUMNS = 88


def track(items: Iterable[T], label: str) -> Iterator[T]:
    """Iterate with a progress bar."""
    with progress_bar(label) as update:
        total = len(items) if isinstance(items, Sized) else None
        for done, item in enumerate(items):
            update(done, total)
            yield item
        if total is not None:
            update(total, total)


def long_range(start: int, stop: int, step: int, label: str, most: int = 20_000) -> Iterator[int]:
    """`range(start, stop, step)`, with a bar where it is longer than `most` and standard error is a terminal."""
    if stop - start <= most or not sys.stderr.isatty():
        yield from range(start, stop, step)
        return
    with progress_bar(label) as update:
        for done in range(start, stop, step):
            update(done - start, stop - start)
            yield done
        update(stop - start, stop - start)


@contextlib.contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Progress bar with rate and time left: a function of the number done and of the total (None: not known).

    rich's own bar of notebooks needs ipywidgets: here its line is a display of the cell, which is replaced.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn(unit),
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(unit, total=None, rate="")
        show = _cell_display(bar) if console.is_jupyter else None

        def update(done: int, total: int | None) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.1f}/s" if speed else "")
            if show is not None:
                show(done == total)

        yield update


def _cell_display(bar: Any) -> Callable[[bool], None]:
    """Function that shows a bar's present state in the running cell; True: now, False: if the last is old enough."""
    from IPython.display import display
    from rich.console import Console

    def line() -> dict[str, str]:
        console = Console(file=io.StringIO(), width=NOTEBOOK_COLUMNS, force_jupyter=False, color_system=None)
        with console.capture() as capture:
            console.print(bar.get_renderable())
        return {"text/plain": capture.get().rstrip()}

    handle: Any = None
    last = 0.0

    def show(now: bool) -> None:
        nonlocal handle, last
        if handle is None:  # at the first change: with `progress=False` there is none
            handle, last = display(line(), raw=True, display_id=True), time.monotonic()
        elif now or time.monotonic() - last > NOTEBOOK_EVERY_S:
            handle.update(line(), raw=True)
            last = time.monotonic()

    return show
