"""One progress bar for everything that takes long here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")


def track(items: Iterable[T], label: str) -> Iterator[T]:
    """Iterate with a bar on stderr; silent when stderr is not a terminal."""
    console = Console(stderr=True)
    total = len(items) if isinstance(items, Sized) else None
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield from progress.track(items, total=total)
