"""Arms that `speed.py` compares with: rtmlib on the same file, and other programs."""

from __future__ import annotations

import contextlib
import io
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from poseunion.export.timing import Picture, Work, arm
from poseunion.models.codec.crop import corners_of
from poseunion.models.codec.heads import SimccOutput
from poseunion.models.errors import BadArgumentError, MissingExtraError, ModelError
from poseunion.models.files import write_bytes, write_json
from poseunion.models.images import ImageLike
from poseunion.models.inference.predictor import Predictor
from poseunion.models.poses.batch import PoseBatch
from poseunion.models.runtime.description import IMAGENET_MEAN, IMAGENET_STD

RTMLIB_PADDING = 1.25  # fixed in its code, as are split 2 and the order of channels


class RtmlibPredictor(Predictor):
    """rtmlib's `RTMPose` in a predictor's place: its own cutting, normalising, batches of one and decoding.

    Args:
        ours: whose file and whose onnxruntime session, with its threads, is used.

    Raises:
        ModelError: a file that rtmlib would run wrongly. MissingExtraError: rtmlib is not installed.
    """

    def __init__(self, ours: Predictor) -> None:
        super().__init__(ours.model)
        try:
            from rtmlib import RTMPose
        except ModuleNotFoundError as error:
            raise MissingExtraError("rtmlib", "dev") from error
        described = ours.metadata
        head = described.head
        fits = isinstance(head, SimccOutput) and head.split == 2 and described.padding == RTMLIB_PADDING
        if not fits or (described.mean, described.std) != (IMAGENET_MEAN, IMAGENET_STD) or described.layout != "NCHW":
            raise ModelError(f"rtmlib cannot run {ours.name}: its split, padding, normalisation or layout differ.")
        with contextlib.redirect_stdout(io.StringIO()):
            self.pose: Any = RTMPose(str(ours.model.path), described.size_wh, backend="onnxruntime", device="cpu")
        self.pose.session = ours.model.session  # type: ignore[attr-defined]  # an OnnxModel: rtmlib runs nothing else

    def __call__(
        self, picture: ImageLike, boxes_xywh: ArrayLike | None = None, labels_NK3: NDArray[np.floating] | None = None
    ) -> PoseBatch:
        """As `Predictor.__call__` of an array; the picture's channels are used in the order they come in."""
        image = np.asarray(picture, np.uint8)
        boxes = np.asarray(boxes_xywh, np.float64).reshape(-1, 4)
        xy, score = self.pose(image, list(corners_of(boxes)))
        return PoseBatch(
            self.skeleton, xy.astype(np.float32), np.clip(score, 0, 1).astype(np.float32), boxes.astype(np.float32)
        )


def runs_in_rtmlib(predictor: Predictor) -> bool:
    """Whether rtmlib is installed and runs this file as it is."""
    try:
        RtmlibPredictor(predictor)
    except (ModelError, MissingExtraError):
        return False
    return True


def rtmlib(predictor: Predictor, work: Work) -> Callable[[], object]:
    """The same with rtmlib on the same file and session. Its pictures come from OpenCV, as in its examples."""
    return arm(RtmlibPredictor(predictor), _opencv, work)


def _opencv(picture: bytes) -> Picture:
    decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None  # ours has read it
    return np.asarray(decoded, np.uint8)


class Beside:
    """An arm in another program: it is given a folder of the work and a number of threads, and works once for each line
    that it reads, answering with a line. `benchmarks/peers/mmpose_speed.py` is one.

    Raises:
        BadArgumentError: it cannot be started, or does not answer.
    """

    def __init__(self, command: str, work: Work, threads: int, folder: Path) -> None:
        for number, picture in enumerate(work.pictures):
            write_bytes(folder / f"{number}.jpg", picture)
        write_json(folder / "boxes.json", [boxes.tolist() for boxes in work.boxes])
        words = [*shlex.split(command), str(folder), str(threads)]
        self.command = command
        try:
            self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        except OSError as error:
            raise BadArgumentError(f"--beside cannot start {words[0]}: {error.strerror}.") from error
        self()

    def __call__(self) -> None:
        """One round."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        if not self.process.stdout.readline():
            raise BadArgumentError(f"--beside {self.command} ended without an answer: try it by itself.")

    def close(self) -> None:
        """End the program."""
        self.process.communicate()
