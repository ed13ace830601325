"""Predicted video as a poses dataset of movement (xarray), which writes DeepLabCut, SLEAP, Lightning Pose and NWB.

    dataset = movement_dataset("found/dance.poses.json")
    dataset.position  # time, space, keypoints, individuals
    movement.io.save_poses.to_sleap_analysis_file(dataset, "dance.h5")

Shapes: T frames, K keypoints, I people who were followed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from poseunion.models.errors import BadFileError, MissingExtraError
from poseunion.models.files import first_fault, read_json

SOURCE = "poseunion"
RATE_DIGITS = 3  # of frames per second: times in the file have four digits


class _Frame(BaseModel):
    id: int
    frame: int
    time_s: float


class _Proposal(BaseModel):
    name: str
    x: float
    y: float
    confidence: float


class _Person(BaseModel):
    image_id: int
    track_id: int | None
    proposals: list[_Proposal]


class _Category(BaseModel):
    keypoints: list[str]


class _Video(BaseModel):
    images: list[_Frame]
    annotations: list[_Person]
    categories: list[_Category]


def movement_dataset(path: str | Path) -> Any:
    """Poses dataset (`xarray.Dataset`) of a video that `poseunion predict` wrote as `NAME.poses.json`.

    `position` and `confidence` have every predicted keypoint, also those below the threshold, and NaN where a person is
    not seen or the model lacks the keypoint. `time` is in seconds, as in the video; `fps` is the mean rate. People
    found in one frame only have no number: they are left out and counted in `attrs["people_without_track"]`.

    Raises:
        BadFileError: not such a file, or one without tracks. MissingExtraError: movement is not installed.
    """
    try:
        from movement.io import load_poses
    except ModuleNotFoundError as error:
        raise MissingExtraError("movement", "movement") from error
    try:
        video = _Video.model_validate(read_json(path))
    except ValidationError as error:
        raise BadFileError(
            f"{path} is not a predicted video, {first_fault(error)}: give NAME.poses.json of `poseunion predict VIDEO`."
        ) from error
    tracks = sorted({person.track_id for person in video.annotations if person.track_id is not None})
    if not tracks:
        raise BadFileError(f"{path} has no track of a person: there is no individual to convert.")
    keypoints = video.categories[0].keypoints
    time_of = {frame.id: t for t, frame in enumerate(video.images)}
    place = {name: k for k, name in enumerate(keypoints)}
    individual = {track: i for i, track in enumerate(tracks)}
    values_T3KI = np.full((len(video.images), 3, len(keypoints), len(tracks)), np.nan)
    for person in video.annotations:
        if person.track_id is not None:
            t, i = time_of[person.image_id], individual[person.track_id]
            for p in person.proposals:
                values_T3KI[t, :, place[p.name], i] = p.x, p.y, p.confidence
    time_s = np.array([frame.time_s for frame in video.images])
    length_s = float(time_s[-1] - time_s[0])
    dataset = load_poses.from_numpy(
        position_array=values_T3KI[:, :2],
        confidence_array=values_T3KI[:, 2],
        individual_names=[f"person_{track}" for track in tracks],
        keypoint_names=keypoints,
        fps=round((len(time_s) - 1) / length_s, RATE_DIGITS) if length_s > 0 else None,
        source_software=SOURCE,
    )
    left_out = sum(person.track_id is None for person in video.annotations)
    return dataset.assign_coords(time=time_s).assign_attrs(source_file=str(path), people_without_track=left_out)
