"""Videos read and written through PyAV, that is FFmpeg: frames with their times in, an .mp4 that browsers play out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from poseunion.models.errors import BadFileError, ItemError, MissingExtraError
from poseunion.models.images import MAX_PIXELS

CLOCK = Fraction(1, 90_000)  # of what is written: the customary clock of video, finer than any frame rate
USUAL_RATE = Fraction(25)  # of a video without a stated rate
# Of H.264: quality 20 has no visible loss; a faster preset would save little beside the networks.
H264 = {"crf": "20", "preset": "veryfast"}
SMPTE170M = 6  # FFmpeg's number for the matrix by which RGB becomes YUV here, written into the file


def library() -> Any:
    """PyAV; raises MissingExtraError."""
    try:
        import av
    except ModuleNotFoundError as error:
        raise MissingExtraError("av", "video") from error
    return av


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        index: in the video, from 0.
        image: (H, W, 3) uint8 RGB, upright.
        time_s: since the first frame.
    """

    index: int
    image: NDArray[np.uint8]
    time_s: float


class VideoReader:
    """The frames of a video, each `every`-th of them.

    Attributes:
        frames_per_s: of those that are given, on average.
        count: of those, as stated by the file; 0: not stated.
        damaged: parts of the file that could not be decoded, so far.

    Raises:
        ItemError: not a video that can be read. MissingExtraError: PyAV is not installed.
    """

    def __init__(self, path: Path, every: int = 1) -> None:
        self._av = library()
        try:
            self._container = self._av.open(str(path))
        except (self._av.FFmpegError, ValueError) as error:
            raise ItemError(f"is neither a picture nor a video that can be read ({_reason(error)})") from error
        try:
            if not self._container.streams.video:
                raise ItemError("has no picture in it: is it a sound file?")
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "AUTO"
            width, height = self._stream.codec_context.width, self._stream.codec_context.height
            if not 0 < width * height <= MAX_PIXELS:
                raise ItemError(
                    f"has frames of {width}x{height}, over the limit of {MAX_PIXELS / 1e6:g} million pixels"
                )
        except ItemError:
            self._container.close()
            raise
        self.every, self.damaged = every, 0
        rate = self._stream.average_rate or self._stream.guessed_rate or USUAL_RATE
        self.frames_per_s = rate / every
        duration_s = float(self._container.duration or 0) / self._av.time_base
        self.count = -(-(self._stream.frames or int(duration_s * rate)) // every)

    def __iter__(self) -> Iterator[Frame]:
        first_s = None
        for index, frame in enumerate(self._decoded()):
            if first_s is None:
                first_s = frame.time or 0.0
            if index % self.every:
                continue
            time_s = index / self.frames_per_s / self.every if frame.time is None else frame.time - first_s
            # FFmpeg counts degrees counter-clockwise, as rot90 does its quarters.
            image = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)
            yield Frame(index, np.ascontiguousarray(image), float(time_s))

    def _decoded(self) -> Iterator[Any]:
        """Frames of all parts that can be decoded."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except self._av.FFmpegError:  # after one of the file's own, not of a packet's, there are no more packets
                self.damaged += 1
                continue
            yield from frames

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()


class VideoWriter:
    """An .mp4 of H.264, without sound.

    Raises:
        MissingExtraError: PyAV is not installed. BadFileError, while it is written: the disk is full.
    """

    def __init__(self, path: Path, frames_per_s: Fraction) -> None:
        self._av, self._path = library(), path
        # The index goes first, so that a browser begins before it has the whole file.
        self._container = self._av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream: Any = None
        self._rate, self._last = frames_per_s, -1

    def add(self, image: NDArray[np.uint8], time_s: float) -> None:
        """The next frame, (H, W, 3) uint8 RGB; all are of the first one's size."""
        even = cv2.copyMakeBorder(image, 0, image.shape[0] % 2, 0, image.shape[1] % 2, cv2.BORDER_REPLICATE)
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=self._rate, options=H264)
            self._stream.width, self._stream.height, self._stream.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
            self._stream.codec_context.time_base = CLOCK
            self._stream.codec_context.colorspace = SMPTE170M
        elif (even.shape[1], even.shape[0]) != (self._stream.width, self._stream.height):
            even = np.asarray(cv2.resize(even, (self._stream.width, self._stream.height)), np.uint8)
        frame = self._av.VideoFrame.from_ndarray(even, format="rgb24")
        self._last = max(self._last + 1, round(time_s / CLOCK))
        frame.pts, frame.time_base = self._last, CLOCK
        self._encode(frame)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the file; one that is given up is only closed."""
        if self._stream is not None and error is None:
            self._encode(None)
        self._container.close()

    def _encode(self, frame: Any) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except self._av.FFmpegError as error:
            raise BadFileError(
                f"Cannot write {self._path.name}: {_reason(error)}; free space or choose --out."
            ) from error


def _reason(error: Exception) -> str:
    """FFmpeg's message without the path."""
    return str(getattr(error, "strerror", None) or error).splitlines()[0][:120]
