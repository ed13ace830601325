"""Packed training sets, read: WebDataset shards of person crops with labels and teachers' peaks, as stores to train on.

What `pack` wrote needs neither pictures nor annotation files nor teachers. It is unpacked into the cache once, as the
same kind of store that pictures are prepared into, so that everything after it is the same.

Shapes: N people, K keypoints.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poseunion.models.errors import BadArgumentError, BadFileError, ItemError
from poseunion.models.files import atomic_writer, first_fault, read_json, sha256_of
from poseunion.models.progress import track
from poseunion.models.skeleton import load_skeleton
from poseunion.training.config.recipe import Recipe
from poseunion.training.data.arrays import concatenate, read_arrays, save_arrays
from poseunion.training.data.crop_store import CropStore, save_index
from poseunion.training.data.pixel_file import PixelsWriter, open_or_build
from poseunion.training.densities.peaks import Peaks
from poseunion.training.shards.samples import Sample, decode, read_shard
from poseunion.training.teachers.cached_targets import PARTS, TeacherPeaks

INDEX = "index.json"
VERSION: Final = 1


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PackedTeacher(_Entry):
    """A teacher whose peaks the samples hold.

    Attributes:
        skeleton: of what it was trained on.
        predicts: the keypoints that it predicts; teaches: those that it may teach.
    """

    name: str
    skeleton: str
    sha256: str
    flip: bool
    predicts: tuple[str, ...]
    teaches: tuple[str, ...]


class Shard(_Entry):
    """One tar and its checksum. Its name is a plain one, so that an index cannot point outside of its folder."""

    file: Annotated[str, Field(pattern=r"^[\w-][\w.-]*\.tar\.gz$")]
    people: int = Field(ge=1)
    size_bytes: int = Field(ge=1)
    sha256: str


class PackedDataset(_Entry):
    """One data set of the data file that was packed.

    Attributes:
        left_out: reason -> people of its file that are not trained on.
        skipped: picture and reason of people without a crop.
    """

    name: str
    kind: Literal["keypoints", "boxes"]
    weight: float = Field(ge=0)
    left_out: dict[str, int]
    skipped: tuple[tuple[str, str], ...]
    shards: tuple[Shard, ...] = Field(min_length=1)


class PackedIndex(_Entry):
    """`index.json` of a packed set.

    Attributes:
        height_px: of a person's box, at most; quality: of WebP, 100 lossless.
        definition_offsets: whether keypoints were brought to the skeleton's definitions.
    """

    version: Literal[1]
    skeleton: str
    definition_offsets: bool
    height_px: int
    quality: int
    teachers: tuple[PackedTeacher, ...]
    datasets: tuple[PackedDataset, ...] = Field(min_length=1)


def read_index(folder: Path) -> PackedIndex:
    """The index of a packed set.

    Raises:
        BadFileError: absent, or something else.
    """
    path = folder / INDEX
    if not path.exists():
        raise BadFileError(
            f"{folder} is no packed set, or not a whole one: it has no {INDEX}; run poseunion pack to its end."
        )
    try:
        return PackedIndex.model_validate(read_json(path))
    except ValidationError as error:
        raise BadFileError(f"{path}, {first_fault(error, 'file')}: pack anew with this version.") from error


def check_recipe(index: PackedIndex, folder: Path, recipe: Recipe) -> None:
    """Refuses a recipe whose skeleton or definitions are not those of the packed labels.

    Raises:
        BadArgumentError: another skeleton, or other definitions.
    """
    if index.skeleton != recipe.skeleton or index.definition_offsets != recipe.sampling.definition_offsets:
        raise BadArgumentError(
            f"{folder} was packed for skeleton={index.skeleton} definition_offsets={index.definition_offsets}, recipe "
            f"{recipe.name} has {recipe.skeleton} and {recipe.sampling.definition_offsets}: pack anew with "
            f"poseunion pack {recipe.name}."
        )


def unpack(
    folder: Path, dataset: PackedDataset, index: PackedIndex, cache: Path
) -> tuple[CropStore, list[TeacherPeaks]]:
    """A packed data set as a store, and each teacher's peaks; unpacked into `cache` where that was not done before.

    Raises:
        BadFileError: a shard is absent or damaged.
    """
    for shard in dataset.shards:
        path = folder / shard.file
        if not path.exists():
            raise BadFileError(f"Shard {path} is missing: copy it from where it was packed.")
        if path.stat().st_size != shard.size_bytes or sha256_of(path) != shard.sha256:
            raise BadFileError(f"Shard {path} is damaged, its SHA-256 is not that of {INDEX}: copy it again.")
    skeleton = load_skeleton(index.skeleton)
    facts = [str(VERSION), index.skeleton, dataset.name, *(shard.sha256 for shard in dataset.shards)]
    facts += [teacher.sha256 for teacher in index.teachers]
    key = hashlib.sha256("|".join(facts).encode()).hexdigest()
    stem = f"{re.sub('[^A-Za-z0-9_-]', '_', dataset.name)}-{key[:16]}"
    pixels_path, index_path = cache / f"{stem}.pixels", cache / f"{stem}.npz"
    modes_paths = [
        cache / f"{stem}-{hashlib.sha256(f'{number}|{one.sha256}'.encode()).hexdigest()[:12]}.modes.npz"
        for number, one in enumerate(index.teachers)
    ]

    def build() -> None:
        _build(folder, dataset, len(skeleton), pixels_path, index_path, modes_paths)

    saved = [read_arrays(path) for path in modes_paths]
    if any(one is None for one in saved):
        build()
        saved = [read_arrays(path) for path in modes_paths]
    pixels, arrays = open_or_build(pixels_path, index_path, build)
    store = CropStore.of(dataset.name, skeleton, arrays, dataset.skipped, key, pixels)
    taught = []
    for teacher, path, one in zip(index.teachers, modes_paths, saved, strict=True):
        if one is None:
            raise BadFileError(f"Cannot read {path}, which was just written: is the disk sound?")
        taught.append(TeacherPeaks(teacher.name, teacher.skeleton, Peaks(*(one[name] for name in PARTS))))
    return store, taught


def _build(
    folder: Path, dataset: PackedDataset, keypoints: int, pixels_path: Path, index_path: Path, modes_paths: list[Path]
) -> None:
    samples: list[Sample] = []
    modes: list[tuple[Peaks, ...]] = []
    with atomic_writer(pixels_path) as file:
        writer = PixelsWriter(file)
        for shard in track(dataset.shards, f"unpacking {dataset.name}"):
            before = len(samples)
            try:
                for files in read_shard(folder / shard.file):
                    sample = decode(files, keypoints, len(modes_paths))
                    writer.add(sample.pixels)
                    modes.append(
                        tuple(one.mapped(_to_sample(sample)) for one in sample.modes)  # as the store keeps them
                    )
                    # What is kept while the pixels of others are read.
                    samples.append(replace(sample, pixels=np.empty((0, 0, 3), np.uint8), modes=()))
            except ItemError as error:
                raise BadFileError(
                    f"Shard {folder / shard.file} is not as poseunion pack writes it: {error}."
                ) from error
            if len(samples) - before != shard.people:
                raise BadFileError(
                    f"Shard {folder / shard.file} has {len(samples) - before} people, {shard.people} in {INDEX}: "
                    "pack anew."
                )
    for number, path in enumerate(modes_paths):
        save_arrays(path, **vars(concatenate([one[number] for one in modes])))
    save_index(
        index_path,
        box_xywh=np.stack([one.box_xywh for one in samples]),
        xy=np.stack([one.xy for one in samples]),
        scale=np.array([one.scale for one in samples]),
        origin=np.stack([one.origin_xy for one in samples]),
        visibility=np.stack([one.visibility for one in samples]),
        weight=np.stack([one.weight for one in samples]),
        person_id=np.array([one.person_id for one in samples]),
        image_name=np.array([one.image for one in samples]),
        **writer.facts(pixels_path),
    )


def _to_sample(sample: Sample) -> np.ndarray:
    """(1, 2, 3) from px of the whole picture to the sample's own."""
    s = 1 / sample.scale
    shift = (0.5 - sample.origin_xy) * s - 0.5
    return np.array([[[s, 0, shift[0]], [0, s, shift[1]]]])
