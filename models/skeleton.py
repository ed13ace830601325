"""Skeletons: named keypoints with links, OKS sigmas and definition notes, and the algebra between them.

A skeleton is a TOML file in `skeletons/` (or anywhere: give its path). A dataset is added by adding a file.
Everything here works on names; an index exists only relative to one skeleton's order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poseunion.models.errors import SkeletonError
from poseunion.models.files import first_fault, read_toml

FOLDER = Path(__file__).parent / "skeletons"


class Visibility(IntEnum):
    """Visibility of a keypoint: COCO's 0, 1 and 2, and -1 where the dataset does not define the keypoint."""

    UNDEFINED = -1  # the dataset does not define this keypoint
    ABSENT = 0  # defined, but the annotator gave none
    OCCLUDED = 1  # labelled, but not visible
    VISIBLE = 2  # labelled and visible


class _File(BaseModel):
    """Schema of a skeleton's TOML file."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    title: str
    keypoints: list[str] = Field(min_length=1)
    sigmas: list[float]
    sigma_origin: str
    links: list[tuple[str, str]]
    aliases: dict[str, str] = {}  # the dataset's own name -> canonical name
    midpoints: dict[str, tuple[str, str]] = {}
    notes: dict[str, str] = {}
    source: str = ""


@dataclass(frozen=True)
class Skeleton:
    """An ordered set of named keypoints.

    Attributes:
        name: identifier, e.g. `coco17`.
        keypoints: canonical names, in the dataset's order.
        links: pairs of names to draw.
        sigmas: OKS sigma per keypoint, > 0 (kappa = 2 sigma, as in COCO's evaluation).
        sigma_origin: where the sigmas come from; state it wherever a figure made with them is reported.
        midpoints: keypoint -> its two parents, where the definition *is* their midpoint (MPII's pelvis and thorax).
        aliases: the dataset's own spelling -> canonical name.
        notes: what a keypoint means here, where datasets differ.
    """

    name: str
    keypoints: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    sigmas: tuple[float, ...]
    sigma_origin: str = ""
    midpoints: dict[str, tuple[str, str]] = field(default_factory=dict, hash=False)
    aliases: dict[str, str] = field(default_factory=dict, hash=False)
    notes: dict[str, str] = field(default_factory=dict, hash=False)
    title: str = ""

    def __post_init__(self) -> None:
        if len(set(self.keypoints)) != len(self.keypoints):
            twice = sorted({k for k in self.keypoints if self.keypoints.count(k) > 1})
            raise SkeletonError(
                f"Skeleton {self.name} names {', '.join(twice)} twice: every keypoint needs its own name."
            )
        if len(self.sigmas) != len(self.keypoints) or not all(0 < s < math.inf for s in self.sigmas):
            raise SkeletonError(
                f"Skeleton {self.name} has {len(self.keypoints)} keypoints and {len(self.sigmas)} sigmas: "
                "give one positive sigma for each."
            )
        named = {n for pair in (*self.links, *self.midpoints.values()) for n in pair} | set(self.midpoints)
        named |= set(self.aliases.values())
        if unknown := sorted(named - set(self.keypoints)):
            raise SkeletonError(f"Skeleton {self.name} uses {', '.join(unknown)}, which is not among its keypoints.")
        for keypoint in self.keypoints:
            if mirrored(keypoint) not in self.keypoints:
                raise SkeletonError(
                    f"Skeleton {self.name} has {keypoint} but not {mirrored(keypoint)}: it cannot be flipped."
                )

    def __len__(self) -> int:
        return len(self.keypoints)

    def index(self, keypoint: str) -> int:
        """Index of a keypoint, by canonical name or alias."""
        canonical = self.aliases.get(keypoint, keypoint)
        try:
            return self.keypoints.index(canonical)
        except ValueError:
            raise SkeletonError(
                f"Skeleton {self.name} has no keypoint {keypoint!r}: it has {', '.join(self.keypoints)}."
            ) from None

    @property
    def flip_indices(self) -> NDArray[np.intp]:
        """(K,) permutation that exchanges left and right; follows from the names."""
        return np.array([self.keypoints.index(mirrored(k)) for k in self.keypoints], dtype=np.intp)

    @property
    def sigma_array(self) -> NDArray[np.float64]:
        """(K,) OKS sigmas."""
        return np.asarray(self.sigmas, dtype=np.float64)


def mirrored(keypoint: str) -> str:
    """Name of the same keypoint on the other side.

    >>> mirrored("left_knee"), mirrored("nose")
    ('right_knee', 'nose')
    """
    if keypoint.startswith("left_"):
        return "right_" + keypoint[5:]
    if keypoint.startswith("right_"):
        return "left_" + keypoint[6:]
    return keypoint


def shipped_skeletons() -> list[str]:
    """Names of the skeleton files that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@functools.cache
def load_skeleton(name: str | Path) -> Skeleton:
    """Load a shipped skeleton by name, or a skeleton file by path (ending in `.toml`).

    Raises:
        SkeletonError: unknown name, or a file that does not describe a skeleton.

    >>> load_skeleton("mpii16").keypoints[6:10]
    ('pelvis', 'thorax', 'upper_neck', 'head_top')
    """
    path = Path(name) if str(name).endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.exists():
        raise SkeletonError(f"No skeleton {str(name)!r}: give a .toml file or one of {', '.join(shipped_skeletons())}.")
    try:
        data = _File.model_validate(read_toml(path))
    except ValidationError as error:
        raise SkeletonError(f"{path} is not a skeleton file: {first_fault(error)}.") from error
    return Skeleton(
        name=data.name,
        title=data.title,
        keypoints=tuple(data.keypoints),
        links=tuple(data.links),
        sigmas=tuple(data.sigmas),
        sigma_origin=data.sigma_origin,
        midpoints=dict(data.midpoints),
        aliases=dict(data.aliases),
        notes=dict(data.notes),
    )


def union(*skeletons: Skeleton, name: str | None = None) -> Skeleton:
    """Union of skeletons (paper A, eq. 1): the first one's order, then the keypoints that each next one adds.

    Where two define the same keypoint, the earlier skeleton's sigma and note stand.
    """
    if not skeletons:
        raise SkeletonError("A union needs at least one skeleton.")
    keypoints: dict[str, float] = {}
    links: dict[tuple[str, str], None] = {}
    midpoints: dict[str, tuple[str, str]] = {}
    notes: dict[str, str] = {}
    for skeleton in skeletons:
        for keypoint, sigma in zip(skeleton.keypoints, skeleton.sigmas, strict=True):
            keypoints.setdefault(keypoint, sigma)
        for a, b in skeleton.links:
            if (b, a) not in links:
                links.setdefault((a, b))
        midpoints = {**skeleton.midpoints, **midpoints}
        notes = {**skeleton.notes, **notes}
    return Skeleton(
        name=name or "+".join(s.name for s in skeletons),
        keypoints=tuple(keypoints),
        links=tuple(links),
        sigmas=tuple(keypoints.values()),
        sigma_origin="; ".join(dict.fromkeys(f"{s.name}: {s.sigma_origin}" for s in skeletons)),
        midpoints=midpoints,
        notes=notes,
    )


def shared_keypoints(a: Skeleton, b: Skeleton) -> tuple[str, ...]:
    """Keypoints in both skeletons (paper A, eq. 2), in `a`'s order."""
    return tuple(k for k in a.keypoints if k in b.keypoints)


def project_indices(source: Skeleton, target: Skeleton) -> NDArray[np.intp]:
    """(K_target,) index into `source` for every keypoint of `target`; -1 where `source` lacks it."""
    lookup = {k: i for i, k in enumerate(source.keypoints)}
    return np.array([lookup.get(k, -1) for k in target.keypoints], dtype=np.intp)


def project(
    xy_NKc: NDArray[np.floating], visibility_NK: NDArray[np.integer], source: Skeleton, target: Skeleton
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Reorder keypoints from one skeleton to another.

    Args:
        xy_NKc: (N, K_source, 2) coordinates.
        visibility_NK: (N, K_source) `Visibility` values.

    Returns:
        (N, K_target, 2) coordinates, 0 where unknown, and (N, K_target) visibility, -1 where `source` lacks the
        keypoint.
    """
    index = project_indices(source, target)
    xy = np.where((index >= 0)[None, :, None], np.asarray(xy_NKc, np.float64)[:, index], 0.0)
    visibility = np.where((index >= 0)[None, :], np.asarray(visibility_NK)[:, index], Visibility.UNDEFINED)
    return xy, visibility.astype(np.int8)


def derive_midpoints(
    xy_NK2: NDArray[np.floating], visibility_NK: NDArray[np.integer], skeleton: Skeleton
) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.bool_]]:
    """Derive keypoints that are by definition the midpoint of two labelled ones (both must be labelled).

    Only keypoints without a label are touched; a midpoint gets the lower visibility of its parents.

    Returns:
        xy, visibility, and an (N, K) mask of what was derived.
    """
    xy = np.array(xy_NK2, np.float64)
    visibility = np.array(visibility_NK, np.int8)
    derived = np.zeros(visibility.shape, dtype=bool)
    for keypoint, parents in skeleton.midpoints.items():
        k, (a, b) = skeleton.index(keypoint), (skeleton.index(p) for p in parents)
        known = (visibility_NK[:, a] > 0) & (visibility_NK[:, b] > 0) & (visibility_NK[:, k] <= 0)
        xy[known, k] = (xy[known, a] + xy[known, b]) / 2
        visibility[known, k] = np.minimum(visibility[known, a], visibility[known, b])
        derived[known, k] = True
    return xy, visibility, derived


def match_names(names: Sequence[str], skeleton: Skeleton) -> NDArray[np.intp]:
    """(len(names),) index into `skeleton` of each of a file's keypoint names (aliases allowed).

    Raises:
        SkeletonError: a name is unknown, so the file belongs to another skeleton.
    """
    return np.array([skeleton.index(n) for n in names], dtype=np.intp)


def sideless(keypoint: str) -> str:
    """Keypoint name without its side: `left_knee` -> `knee`."""
    return keypoint.removeprefix("left_").removeprefix("right_")
