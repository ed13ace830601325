"""Matching of a file's keypoint names to a known skeleton."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from poseunion.annotate.formats.keypoint_spelling import canonical
from poseunion.models.errors import SkeletonError
from poseunion.models.skeleton import Skeleton, load_skeleton, match_names, shipped_skeletons, union

# Tried in this order where several skeletons define the same set of names.
PREFERRED = ("coco17", "mpii16", "union21", "lsp14", "halpe26")


def reordered(skeleton: Skeleton, names: Sequence[str]) -> Skeleton:
    """`skeleton` in the order of `names` (its own, aliases or another spelling); itself where nothing differs.

    A spelling that the skeleton does not list becomes one of its aliases.

    Raises:
        SkeletonError: an unknown name, a name twice, or a keypoint missing.
    """
    index, aliases = _matched(names, skeleton)
    if sorted(index) != list(range(len(skeleton))):
        missing = [k for i, k in enumerate(skeleton.keypoints) if i not in index]
        raise SkeletonError(
            f"{len(index)} keypoint names do not make up {skeleton.name}"
            + (f": {', '.join(missing)} is missing" if missing else ": a name stands twice")
        )
    if aliases:
        skeleton = dataclasses.replace(skeleton, aliases={**skeleton.aliases, **aliases})
    if index == list(range(len(skeleton))):
        return skeleton
    return dataclasses.replace(
        skeleton,
        keypoints=tuple(skeleton.keypoints[i] for i in index),
        sigmas=tuple(skeleton.sigmas[i] for i in index),
    )


def _matched(names: Sequence[str], skeleton: Skeleton) -> tuple[list[int], dict[str, str]]:
    """Index into `skeleton` of each name, and the aliases that this took."""
    try:
        return [int(i) for i in match_names(names, skeleton)], {}
    except SkeletonError:
        places = places_of_spellings(skeleton)
        spelled = [places.get(canonical(name)) for name in names]
        index = [i for i in spelled if i is not None]
        if len(index) < len(names):
            raise
    own = {*skeleton.keypoints, *skeleton.aliases}
    return index, {n: skeleton.keypoints[i] for n, i in zip(names, index, strict=True) if n not in own}


def places_of_spellings(skeleton: Skeleton) -> dict[str, int]:
    """Canonical spelling of each name and alias -> its position."""
    places = {canonical(alias): skeleton.index(name) for alias, name in skeleton.aliases.items()}
    return places | {canonical(name): k for k, name in enumerate(skeleton.keypoints)}


def known_skeletons() -> list[str]:
    """The shipped skeletons, in the order in which they are tried."""
    return [*PREFERRED, *(name for name in shipped_skeletons() if name not in PREFERRED)]


def skeleton_of_names(names: Sequence[str], expected: Skeleton | None = None) -> Skeleton:
    """The skeleton whose keypoints a file names, in the file's order.

    Args:
        expected: the one that the user gave; no other is tried.

    Raises:
        SkeletonError: no skeleton has exactly these keypoints.
    """
    if expected is not None:
        return reordered(expected, names)
    fitting: list[Skeleton] = []
    for name in known_skeletons():
        skeleton = load_skeleton(name)
        try:
            found = reordered(skeleton, names)
        except SkeletonError:
            continue
        if found.keypoints == skeleton.keypoints:  # same order: no better one can follow
            return found
        fitting.append(found)
    if fitting:
        return fitting[0]
    raise SkeletonError(
        f"no known skeleton has the {len(names)} keypoints {', '.join(map(str, names))}; "
        f"known are {', '.join(sorted(known_skeletons()))}, or describe yours in a dataset .toml"
    )


def skeleton_of_file(names: Sequence[str], expected: Skeleton | None, document: dict[str, Any]) -> Skeleton:
    """As `skeleton_of_names`; an extended file describes its own skeleton in its `poseunion` block."""
    block = document.get("poseunion")
    described = block.get("skeleton") if isinstance(block, dict) else None
    if expected is None and isinstance(described, dict):
        return skeleton_of_names(names, skeleton_from_json(described))
    return skeleton_of_names(names, expected)


def output_skeleton(dataset: Skeleton, model: Skeleton) -> Skeleton:
    """Keypoints of an extended file: the model's, in its order, then what only the dataset has.

    The order is the model's, so that every dataset extended by one model comes out alike (for `union21`: COCO's 17
    first).

    >>> from poseunion.models.skeleton import load_skeleton
    >>> model = load_skeleton("union21")
    >>> [len(output_skeleton(load_skeleton(name), model)) for name in ("coco17", "mpii16", "halpe26")]
    [21, 21, 27]
    """
    both = union(model, dataset)
    name = model.name if both.keypoints == model.keypoints else both.name
    return dataclasses.replace(both, name=name, aliases=dict(dataset.aliases))  # a file may spell its own names its way


def skeleton_to_json(skeleton: Skeleton) -> dict[str, Any]:
    """A skeleton as an extended file holds it; `skeleton_from_json` reads it."""
    fields = ("name", "keypoints", "links", "sigmas", "sigma_origin", "midpoints", "aliases")
    return {field: getattr(skeleton, field) for field in fields}


def skeleton_from_json(data: dict[str, Any]) -> Skeleton:
    """Back from `skeleton_to_json`.

    Raises:
        SkeletonError: it does not describe a skeleton.
    """
    try:
        return Skeleton(
            name=str(data["name"]),
            keypoints=tuple(map(str, data["keypoints"])),
            links=tuple((str(a), str(b)) for a, b in data["links"]),
            sigmas=tuple(map(float, data["sigmas"])),
            sigma_origin=str(data["sigma_origin"]),
            midpoints={str(k): (str(a), str(b)) for k, (a, b) in data["midpoints"].items()},
            aliases={str(k): str(v) for k, v in data["aliases"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SkeletonError(f"its poseunion block does not describe a skeleton: {error}") from error
