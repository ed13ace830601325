"""`poseunion cache`: files that training keeps on disk. Needs no torch."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from poseunion.models.errors import BadArgumentError
from poseunion.training.data.cache import DAY_S, Kept, delete, kept_files, unused

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
MB = 1e6


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete the listed files.")] = False,
    days: Annotated[
        float | None, typer.Option("--unused-days", min=0, help="Only files that were not used for so many days.")
    ] = None,
) -> None:
    """List the files that training keeps on disk: decoded people and pictures, and teachers' predictions.

    They lie under $POSEUNION_CACHE, by default ~/.cache/poseunion. Deleted files are made anew when a run needs them.

    Examples:

        poseunion cache

        poseunion cache --unused-days 30 --clear
    """
    from rich.console import Console

    from poseunion.training.data.arrays import cache_folder

    if days is not None and days != days:
        raise BadArgumentError("--unused-days is not a number: give days, from 0.")
    folder = cache_folder()
    kept = kept_files(folder)
    if days is not None:
        kept = unused(kept, days)
    console = Console()
    if not kept:
        console.print(f"Nothing{f' that was unused for {days:g} days' if days is not None else ''} in {folder}.")
        return
    if clear:
        console.print(f"{delete(kept) / MB:,.0f} MB are free again in {folder}.")
        return
    console.print(_table(kept))
    console.print(f"{sum(one.size_bytes for one in kept) / MB:,.0f} MB in {folder}; --clear deletes them.")


def _table(kept: list[Kept]) -> Table:
    from rich.table import Table

    table = Table("data set", "what", "MB", "days since its last use")
    for column in table.columns[2:]:
        column.justify = "right"
    now = time.time()
    for one in kept:
        table.add_row(one.dataset, one.kind, f"{one.size_bytes / MB:,.0f}", f"{(now - one.used_s) / DAY_S:.1f}")
    return table
