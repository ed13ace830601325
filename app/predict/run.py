"""Run of `predict`: outputs are checked first, then pictures are predicted, then video by video."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from poseunion.annotate.formats.point_states import BY_THRESHOLD
from poseunion.app.predict import pictures, videos
from poseunion.app.predict.boxes import Boxes
from poseunion.app.predict.inputs import Inputs, nothing_usable
from poseunion.app.predict.openpose import check_names
from poseunion.app.predict.pictures import PicturesReport, Progress, predict_pictures
from poseunion.app.predict.settings import OPENPOSE, PredictSettings
from poseunion.app.predict.videos import VideoReport, predict_video
from poseunion.models.errors import BadArgumentError, BadFileError, ItemError
from poseunion.models.files import refuse_existing

Bar = Callable[[str], AbstractContextManager[Progress]]


@dataclass
class Report:
    """Report of a run.

    Attributes:
        root: the folder that names are relative to.
        bad: (picture or video, why it was skipped).
        others: files in folders that are neither.
        absent: of OpenPose's format, keypoints that the model lacks.
    """

    root: str
    pictures: PicturesReport | None = None
    videos: list[VideoReport] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    others: int = 0
    absent: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "bad": [{"name": name, "reason": reason} for name, reason in self.bad]}

    def lines(self) -> Iterator[str]:
        """For people to read."""
        if self.pictures is not None:
            done = self.pictures
            drawn = f", overlays in {done.overlays}" if done.overlays else ""
            yield (
                f"{_many(done.pictures, 'picture')}, {_many(done.people, 'person')}, "
                f"{_many(done.keypoints, 'keypoint')} {BY_THRESHOLD}: {done.file}{drawn}"
            )
            if done.boxless:
                yield f"{_many(done.boxless, 'picture')} not in the file of boxes: no person was searched there"
        for video in self.videos:
            drawn = f", {video.video} (without sound)" if video.video else ""
            yield (
                f"{video.name}: {_many(video.frames, 'frame')} in {video.seconds:.1f} s "
                f"({video.frames / video.seconds:.1f}/s), {_many(video.tracks, 'person')} followed: {video.file}{drawn}"
            )
            if video.damaged:
                yield f"{video.name}: {_many(video.damaged, 'part')} could not be decoded and are left out"
        if self.absent:
            yield f"zeros with confidence 0, as the model does not predict them: {', '.join(self.absent)}"
        if self.bad or self.others:
            read = 0 if self.pictures is None else self.pictures.pictures
            everything = read + len(self.videos) + len(self.bad) + self.others
            yield (
                f"{_many(everything, 'file')}: {_many(read, 'picture')} and {_many(len(self.videos), 'video')} read, "
                f"{len(self.bad)} skipped, {self.others} neither"
            )


def run(given: Inputs, out: Path, settings: PredictSettings, bar: Bar, *, overwrite: bool = False) -> Report:
    """Run the command.

    Args:
        bar: opens a progress bar of a unit.

    Raises:
        BadFileError: a file to be written is there already, or nothing could be used. BadArgumentError: the boxes
            belong to other pictures, two videos would have one output.
    """
    _check_outputs(given, out, settings, overwrite=overwrite)
    if settings.boxes is not None:
        _check_boxes(given, settings.boxes)
    absent = settings.absent if settings.format == OPENPOSE else ()
    report = Report(str(given.root), bad=list(given.bad), others=given.others, absent=absent)
    if given.pictures:
        with bar("pictures") as progress:
            report.pictures = predict_pictures(given.pictures, out, settings, progress)
        report.bad += report.pictures.bad
        if not report.pictures.pictures:
            report.pictures = None
    for video in given.videos:
        try:
            with bar(video.path.name) as progress:
                report.videos.append(predict_video(video, out, settings, progress))
        except ItemError as error:
            report.bad.append((video.name, str(error)))
    if report.pictures is None and not report.videos:
        raise BadFileError(nothing_usable(report.bad))
    return report


def _check_outputs(given: Inputs, out: Path, settings: PredictSettings, *, overwrite: bool) -> None:
    if settings.format == OPENPOSE:
        check_names(picture.name for picture in given.pictures)
    per_video = [videos.outputs(video, out, settings) for video in given.videos]
    twice = [str(path) for path, count in Counter(path for path, _ in per_video).items() if count > 1]
    if twice:
        raise BadArgumentError(f"Two videos of one name would both give {twice[0]}: rename one, or run them apart.")
    written = [*pictures.targets(given.pictures, out, settings)]
    for json_path, video_path in per_video:
        written += [json_path, video_path] if settings.overlays else [json_path]
    read = {one.path.resolve() for one in (*given.pictures, *given.videos)}
    read |= {folder for path in read for folder in path.parents}
    if own := next((path for path in written if path.resolve() in read), None):
        raise BadArgumentError(f"{own} is to be read and would be written over: choose another --out.")
    refuse_existing(*written, overwrite=overwrite)


def _check_boxes(given: Inputs, boxes: Boxes) -> None:
    """Raise BadArgumentError where the boxes belong to none of the pictures and videos."""
    names = {one.name for one in given.pictures}
    folders = tuple(videos.frame_name(one, 0).rpartition("/")[0] + "/" for one in given.videos)
    if not any(name in names or (folders and name.startswith(folders)) for name in boxes):
        own = given.pictures[0].name if given.pictures else videos.frame_name(given.videos[0], 0)
        first = next(iter(boxes), "none")
        raise BadArgumentError(f"The file of boxes has none of the inputs: its first is {first}, theirs {own}.")


def _many(n: int, what: str) -> str:
    """A number and its noun.

    >>> _many(1, "person"), _many(2, "person")
    ('1 person', '2 people')
    """
    several = "people" if what == "person" else f"{what}s"
    return f"{n} {what if n == 1 else several}"
