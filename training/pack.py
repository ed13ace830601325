"""`poseunion pack`: a training set as WebDataset shards of person crops with labels and teachers' peaks.

The same inputs give the same bytes. Shards are written one by one, whole or not at all; the index comes last. Finished
shards of a killed run stay, as long as `plan.json`, a hash of all inputs, is that of the next run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from poseunion.models.errors import BadArgumentError, BadFileError
from poseunion.models.files import atomic_writer, read_json, sha256_of, write_json
from poseunion.models.progress import track
from poseunion.models.skeleton import Skeleton, load_skeleton
from poseunion.training.config.recipe import Recipe
from poseunion.training.data.crop_store import CropStore, open_store
from poseunion.training.data.data_file import DataFile, DatasetEntry
from poseunion.training.data.read_people import read_people
from poseunion.training.data.teacher_entries import TeacherEntry
from poseunion.training.densities.peaks import Peaks
from poseunion.training.loop.prepare import Network, distilled_keypoints, open_teacher
from poseunion.training.shards.packed import INDEX, VERSION, PackedDataset, PackedIndex, PackedTeacher, Shard
from poseunion.training.shards.samples import cut_sample, encode, write_shard
from poseunion.training.teachers.cached_targets import predict_peaks

PLAN = "plan.json"
# In it while a folder is being emptied.
UNDECIDED = ""
# As `_Part.shard_name` names them; other files of the folder are left alone.
SHARD = r"\d{2,}-[A-Za-z0-9_-]+-\d{5}\.tar\.gz"
# What a killed `atomic_writer` leaves.
UNFINISHED = rf"\.({SHARD}|index\.json|plan\.json)\..+\.part"
PEOPLE_PER_SHARD = 1000
# Of the box: nearly the 205 px that an input 256 px high shows it at.
DEFAULT_HEIGHT_PX = 192
# The best of benchmarks/notes/2026-11-27-pack.md within 5 kB a person.
DEFAULT_QUALITY = 65


@dataclass(frozen=True)
class _Part:
    """One data set, before it is written."""

    number: int
    entry: DatasetEntry
    left_out: Counter[str]
    store: CropStore
    modes: list[Peaks]

    def shard_name(self, number: int) -> str:
        """A plain file name, whatever the data set is called."""
        return f"{self.number:02d}-{re.sub('[^A-Za-z0-9_-]', '_', self.entry.name)}-{number:05d}.tar.gz"


def pack(
    data: DataFile,
    recipe: Recipe,
    out: Path,
    cache: Path,
    *,
    quality: int = DEFAULT_QUALITY,
    height_px: int = DEFAULT_HEIGHT_PX,
    overwrite: bool = False,
) -> PackedIndex:
    """Write the people of a data file, with its teachers' peaks, as a packed set.

    Args:
        recipe: its skeleton, definitions and choice of data sets.
        quality: of WebP, from 1 to 100; 100 is lossless.
        height_px: of a person's box at most.
        overwrite: replace a packed set in `out`.

    Raises:
        BadArgumentError: `out` holds something else, or there is nothing to pack.
    """
    _check_out(out, overwrite)
    if data.packed:
        raise BadArgumentError(f"The data file names {data.packed[0].packed}, which is packed already: leave it out.")
    wanted = [
        entry for entry in data.datasets if not recipe.sampling.datasets or entry.name in recipe.sampling.datasets
    ]
    if not wanted:
        raise BadArgumentError(
            f"The data file has none of {', '.join(recipe.sampling.datasets)}, which {recipe.name} trains on."
        )
    skeleton = load_skeleton(recipe.skeleton)
    networks = [open_teacher(entry) for entry in data.teachers]
    teachers = tuple(_described(*one, skeleton) for one in zip(data.teachers, networks, strict=True))
    parts = []
    for number, entry in enumerate(wanted):
        left_out: Counter[str] = Counter()
        people = read_people(entry, skeleton, definition_offsets=recipe.sampling.definition_offsets, left_out=left_out)
        store = open_store(entry.name, people, skeleton, cache, left_out)
        modes = [predict_peaks(store, one, skeleton, cache).modes for one in networks]
        parts.append(_Part(number, entry, left_out, store, modes))
    inputs = [VERSION, PEOPLE_PER_SHARD, recipe.skeleton, recipe.sampling.definition_offsets, height_px, quality]
    inputs += [one.model_dump() for one in teachers]
    inputs += [[part.entry.model_dump(mode="json"), part.store.index_sha] for part in parts]
    _begin(out, hashlib.sha256(json.dumps(inputs).encode()).hexdigest(), overwrite)
    datasets = []
    for part in parts:
        names = (_below(name, part.entry.images) for name, _ in part.store.skipped)
        reasons = (reason.replace(name, _below(name, part.entry.images)) for name, reason in part.store.skipped)
        datasets.append(
            PackedDataset(
                name=part.entry.name,
                kind=part.entry.kind,
                weight=part.entry.weight,
                left_out=dict(sorted(part.left_out.items())),
                skipped=tuple(zip(names, reasons, strict=True)),
                shards=_shards(part, out, quality, height_px),
            )
        )
    index = PackedIndex(
        version=VERSION,
        skeleton=recipe.skeleton,
        definition_offsets=recipe.sampling.definition_offsets,
        height_px=height_px,
        quality=quality,
        teachers=teachers,
        datasets=tuple(datasets),
    )
    write_json(out / INDEX, index.model_dump(mode="json"), indent=1)
    (out / PLAN).unlink(missing_ok=True)
    return index


def _described(entry: TeacherEntry, network: Network, skeleton: Skeleton) -> PackedTeacher:
    mask = distilled_keypoints(entry, skeleton)
    return PackedTeacher(
        name=network.name,
        skeleton=network.skeleton.name,
        sha256=network.sha256,
        flip=network.flip,
        predicts=tuple(network.skeleton.keypoints),
        teaches=tuple(name for name, used in zip(skeleton.keypoints, mask, strict=True) if used),
    )


def _check_out(out: Path, overwrite: bool) -> None:
    """Check the output folder before the teachers run for hours."""
    if out.exists() and not out.is_dir():
        raise BadArgumentError(f"{out} is no folder: choose another --out.")
    # Index and plan: a run that was killed after its last shard, which ends when it is started again.
    if _is_packed(out) and not overwrite and _plan_of(out) in (None, UNDECIDED):
        raise BadArgumentError(f"{out} holds a packed set: choose another --out, or replace it with --overwrite.")
    if out.exists() and any(out.iterdir()) and not _is_packed(out) and not (out / PLAN).exists():
        raise BadArgumentError(f"{out} holds other files: choose an empty or a new folder.")


def _plan_of(out: Path) -> str | None:
    """The plan of the packing that is not finished in a folder; None where there is none."""
    if not (out / PLAN).exists():
        return None
    content = read_json(out / PLAN)
    return str(content.get("plan", UNDECIDED)) if isinstance(content, dict) else UNDECIDED


def _is_packed(out: Path) -> bool:
    """Whether the folder's index is that of a packed set, of whatever version: only such a folder is replaced."""
    try:
        index = read_json(out / INDEX)
    except BadFileError:
        return False
    return isinstance(index, dict) and {"version", "skeleton", "datasets"} <= set(index)


def _begin(out: Path, plan: str, overwrite: bool) -> None:
    """Make `out` ready: the shards of the same plan stay, those of another go where `overwrite` allows it."""
    known = _plan_of(out)
    if known == plan:
        _clear(out, UNFINISHED)
        return
    if known not in (None, UNDECIDED) and not overwrite:
        raise BadArgumentError(
            f"{out} holds the beginning of another packing: choose another --out, or replace it with --overwrite."
        )
    # Index first, plan last: a kill in between leaves no whole set, and --overwrite still replaces the rest.
    write_json(out / PLAN, {"plan": UNDECIDED})
    (out / INDEX).unlink(missing_ok=True)
    _clear(out, f"{SHARD}|{UNFINISHED}")
    write_json(out / PLAN, {"plan": plan})


def _clear(out: Path, pattern: str) -> None:
    """Delete the files whose names match."""
    for path in list(out.iterdir()):
        if re.fullmatch(pattern, path.name):
            path.unlink()


def _shards(part: _Part, out: Path, quality: int, height_px: int) -> tuple[Shard, ...]:
    """Write what is missing of a data set's shards."""
    store = part.store

    def encoded(index: int) -> tuple[str, dict[str, bytes]]:
        name = _below(store.image_name[index], part.entry.images)
        return f"{index:07d}", encode(cut_sample(store, index, part.modes, height_px, name), quality)

    shards = []
    # Shrinking and WebP run outside Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in track(range(0, len(store), PEOPLE_PER_SHARD), f"packing {part.entry.name}"):
            path = out / part.shard_name(start // PEOPLE_PER_SHARD)
            people = range(start, min(start + PEOPLE_PER_SHARD, len(store)))
            if not path.exists():
                with atomic_writer(path) as file:
                    write_shard(file, pool.map(encoded, people))
            shards.append(
                Shard(file=path.name, people=len(people), size_bytes=path.stat().st_size, sha256=sha256_of(path))
            )
    return tuple(shards)


def _below(image: str, folder: Path) -> str:
    """A picture's name below its data set's folder."""
    path = Path(image)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
