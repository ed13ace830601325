"""The same chunks as a Ray Data job: tasks in, shards out.

Every actor holds a session of its own and writes each finished chunk as one small file, a shard, into a folder beside
the output; the driver takes the shards into the journal as they come. What actors finished after the driver died is
still there for `--resume`. The order of arrival does not matter: the extended file is made from the journal's chunks in
the file's order. On a cluster, the pictures, the model and the output must lie on a file system that all nodes share.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from poseunion.annotate.extend.chunks import ChunkResult, Task
from poseunion.annotate.extend.executor import run_task
from poseunion.annotate.extend.image_reader import Pictures
from poseunion.models.errors import BadFileError, MissingExtraError, PoseUnionError
from poseunion.models.files import read_json, write_json
from poseunion.models.inference.interface import PosePredictor

# Ray needs CPUs of its own beside one an actor, to feed them and to take their results.
SPARE_CPUS = 2
OBJECT_STORE_BYTES = 256 << 20  # tasks are about 10 kB and results travel as files


def shards_path(out: Path) -> Path:
    """The folder of shards beside an output."""
    return out.with_name(out.name + ".shards")


def mark_of(work: dict[str, Any]) -> str:
    """Mark of the work that a shard belongs to."""
    return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()


def read_shards(folder: Path, mark: str, keypoints: int) -> Iterator[ChunkResult]:
    """Shards that an interrupted job left, in the order of their chunks; those of other work are passed over."""
    for path in sorted(folder.glob("*.json")):
        try:
            line = read_json(path)
            if isinstance(line, dict) and line.get("mark") == mark:
                yield ChunkResult.from_line(line, keypoints, path)
        except BadFileError:  # damaged: its chunk is done again
            continue


def run_ray(
    tasks: Iterable[Task],
    pictures: Path,
    predictor: PosePredictor,
    workers: int,
    shards: Path,
    mark: str,
    *,
    strict: bool = False,
) -> Iterator[ChunkResult]:
    """Results of `tasks` as they come, from `workers` actors.

    Args:
        pictures: folder of the pictures.
        predictor: is sent to the actors as its path and options.
        strict: see `Pictures`.
        shards: folder for the actors' results; each file is removed once its result was taken.

    Raises:
        MissingExtraError: Ray is not installed. BadFileError: an actor's shard cannot be written or read.
    """
    try:
        # Before the import: Ray would call home, and its core writes warnings past every logger.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise MissingExtraError("ray[data]", "ray") from error
    rows = [{"task": pickle.dumps(task)} for task in tasks]
    if not rows:
        return
    actor: Any = _Worker  # Ray's own type has functions only
    ours = not ray.is_initialized()
    if ours:
        _start(ray, workers)
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        # One chunk a block, so that each arrives, and is journalled, as soon as it is done.
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            actor,
            fn_constructor_args=(predictor, pictures.absolute(), shards.absolute(), mark),
            fn_constructor_kwargs={"strict": strict},
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
        )
        for row in done.iter_rows():
            if row["error"]:
                raise pickle.loads(row["error"])
            path = Path(row["shard"])
            if not path.exists():
                raise BadFileError(f"{path} was written by a Ray worker but is not here: all nodes must share --out.")
            yield ChunkResult.from_line(read_json(path), len(predictor.skeleton), path)
            path.unlink()
    finally:
        if ours:
            ray.shutdown()


class _Worker:
    """What an actor does: one task in, one shard out."""

    def __init__(self, predictor: PosePredictor, pictures: Path, shards: Path, mark: str, *, strict: bool) -> None:
        self.predictor, self.pictures = predictor, Pictures(pictures, strict=strict)
        self.shards, self.mark = shards, mark

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        task: Task = pickle.loads(row["task"])  # ours, through Ray's own store
        shard = self.shards / f"chunk-{task.chunk:08d}.json"
        try:
            result = run_task(task, self.pictures, self.predictor)
            write_json(shard, {"mark": self.mark, **result.to_line()})
        except PoseUnionError as error:  # Ray would bury its one sentence under its own
            return {"shard": "", "error": pickle.dumps(error)}
        return {"shard": str(shard), "error": b""}


def _start(ray: Any, workers: int) -> None:
    """Join the cluster named by RAY_ADDRESS, else start a private one without dashboard or reports."""
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
    else:
        ray.init(
            address="local",
            num_cpus=workers + SPARE_CPUS,
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            **quiet,
        )
