"""Progress bars on standard error, silent where that is not a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")


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
    """Progress bar with rate and time left: a function of the number done and of the total (None: not known)."""
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

        def update(done: int, total: int | None) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.1f}/s" if speed else "")

        yield update
