"""Executors of chunks: threads of this process, or Ray. Results are the same: batches belong to chunks.

`local` works in this process. With one worker, a thread cuts the next chunk's crops while the network works on the
last one's. With several, each thread takes whole chunks and runs the network in its own thread: on a CPU, two
single-threaded runs side by side finish sooner than one run on two threads, and none waits for pictures. Decoding,
warping and the network all run outside Python's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from poseunion.annotate.extend.chunks import ChunkResult, Task, cut_task, predict_cut
from poseunion.annotate.extend.image_reader import Pictures
from poseunion.models.errors import BadArgumentError
from poseunion.models.inference.interface import PosePredictor
from poseunion.models.runtime.base import MOST_THREADS, cores

S = TypeVar("S")
T = TypeVar("T")

ENGINES = ("local", "ray")
# Chunks begun ahead of the one that is waited for, a worker: enough that no worker idles when chunks differ.
AHEAD = 2
MAX_WORKERS = 16  # beyond it, threads wait for Python's lock


def share_cores(workers: int | None, threads: int | None, *, on_cpu: bool = True) -> tuple[int, int | None]:
    """Numbers of workers and of network threads of each that fill the cores without oversubscription; given ones stay.

    On another device the network needs no cores: the workers decode and cut.

    Raises:
        BadArgumentError: a number below 1, or beyond what can be started.
    """
    for name, number in (("--workers", workers), ("--threads", threads)):
        if number is not None and number < 1:
            raise BadArgumentError(f"{name} {number} is too few: give at least 1.")
        if number is not None and number > MOST_THREADS:
            raise BadArgumentError(f"{name} {number} is more than can be started: give at most {MOST_THREADS}.")
    if not on_cpu:
        return workers or min(cores(), 4), threads
    if workers is None:
        workers = min(max(1, cores() // (threads or 1)), MAX_WORKERS)
    return workers, threads or max(1, cores() // workers)


def run_local(
    tasks: Iterable[Task], folder: Path, predictor: PosePredictor, workers: int = 1, *, strict: bool = False
) -> Iterator[ChunkResult]:
    """Results of `tasks`, in their order.

    Args:
        folder: of the pictures.
        strict: see `Pictures`.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="people")
    try:
        if workers > 1:
            # Each chunk has its own pictures: only one that two chunks share is decoded twice.
            yield from ahead(
                pool, lambda t: run_task(t, Pictures(folder, strict=strict), predictor), tasks, AHEAD * workers
            )
            return
        pictures = Pictures(folder, strict=strict)
        for chunk, cut in ahead(pool, lambda t: (t.chunk, cut_task(t, pictures, predictor)), tasks, 1):
            yield predict_cut(chunk, cut, predictor)
    finally:
        pool.shutdown(cancel_futures=True)


def run_task(task: Task, pictures: Pictures, predictor: PosePredictor) -> ChunkResult:
    """One chunk from pictures to predictions."""
    return predict_cut(task.chunk, cut_task(task, pictures, predictor), predictor)


def ahead(pool: ThreadPoolExecutor, do: Callable[[S], T], tasks: Iterable[S], most: int) -> Iterator[T]:
    """`do(task)` in the pool, results in order; at most `most` are begun beyond the one that is waited for."""
    waiting: deque[Future[T]] = deque()
    for task in tasks:
        waiting.append(pool.submit(do, task))
        if len(waiting) > most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
