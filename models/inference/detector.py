"""Person detectors: ONNX files of YOLOX, RTMDet, RF-DETR and mmdeploy, with their descriptions.

    detect = load_detector()                  # the shipped one; or an .onnx file of YOLOX, RTMDet, RF-DETR …
    box_xywh_N4, score_N = detect(image)

Four kinds of outputs cover common exports; a description (`DetectorDescription`), inside the ONNX's metadata or in a
TOML beside it as with pose models, has the kind.

Shapes: N boxes kept, M candidates, C classes. Coordinates of boxes are edges: x = 0 is the picture's left edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poseunion.models.codec.heads import Pixels
from poseunion.models.errors import BadArgumentError, BadFileError, ModelError
from poseunion.models.files import first_fault, read_toml
from poseunion.models.runtime.description import IMAGENET_MEAN, IMAGENET_STD, METADATA_KEY, Deviation, Mean
from poseunion.models.runtime.onnx import CPU, DESCRIPTIONS, open_session
from poseunion.models.zoo import DETECTORS

Detections = tuple[NDArray[np.float32], NDArray[np.float32]]


class Detector(Protocol):
    """Interface of person detectors."""

    name: str
    provider: str

    def __call__(self, image: NDArray[np.uint8]) -> Detections:
        """Boxes (N, 4) x, y, width, height in px, and scores (N,), best first, of an (H, W, 3) uint8 RGB picture."""
        ...


class DistanceOutput(BaseModel):
    """RTMDet head: for each cell a score and the distances from its corner to the box's four sides, in pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["distances"] = "distances"
    # One for each stride: (1, cells, 5) of score logit, left, top, right, bottom.
    outputs: list[str] = Field(min_length=1)
    strides: list[Pixels] = Field(min_length=1)


class YoloxOutput(BaseModel):
    """YOLOX head without decoding: centre and log size in cells, then objectness and classes after their sigmoid."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["yolox"] = "yolox"
    output: str = "output"  # (1, cells of all strides, 5 + C)
    strides: list[Pixels] = Field(default=[8, 16, 32], min_length=1)


class BoxesOutput(BaseModel):
    """mmdeploy end-to-end output: corners and score after its own suppression, in pixels of the input."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["boxes"] = "boxes"
    output: str = "dets"  # (1, M, 5)
    labels: str | None = "labels"  # (1, M) class numbers


class QueriesOutput(BaseModel):
    """DETR queries (RF-DETR): centre and size as shares of the input, and class logits; no suppression needed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["queries"] = "queries"
    output: str = "dets"  # (1, M, 4)
    labels: str = "labels"  # (1, M, C)


class DetectorDescription(BaseModel):
    """Description of a detector file: input, normalisation, head and thresholds.

    Attributes:
        mean, std: of pixel values divided by 255, in `colour` order; YOLOX takes plain values: mean 0, std 1/255.
        resize: `letterbox` keeps the aspect, the picture in the upper left corner; `stretch` does not.
        border: grey value of a letterbox's rest.
        person: number of the class.
        score_threshold: a box with a lower score is dropped.
        iou_threshold: of two boxes that overlap more, the one with the lower score is dropped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    kind: Literal["detector"] = "detector"
    name: str
    input: str = "input"
    size_wh: tuple[Pixels, Pixels]
    colour: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[Mean, Mean, Mean] = IMAGENET_MEAN
    std: tuple[Deviation, Deviation, Deviation] = IMAGENET_STD
    resize: Literal["letterbox", "stretch"] = "letterbox"
    border: int = Field(default=114, ge=0, le=255)
    person: int = Field(default=0, ge=0)
    score_threshold: float = Field(default=0.3, ge=0, le=1)
    iou_threshold: float = Field(default=0.6, gt=0, le=1)
    head: Annotated[DistanceOutput | YoloxOutput | BoxesOutput | QueriesOutput, Field(discriminator="kind")]
    licence: str = ""
    source: str = ""
    revision: str = ""


class OnnxDetector:
    """Detector that runs a described ONNX file.

    Raises:
        BadFileError: no such file. ModelError: it differs from its description. MissingExtraError: no runtime.
    """

    def __init__(
        self,
        path: str | Path,
        description: DetectorDescription | None = None,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise BadFileError(f"No detector file {self.path}: give the path of an .onnx file.")
        self.session = open_session(self.path, list(providers or [CPU]), threads)
        self.description = description or _own_description(self.session, self.path)
        self.name = self.description.name
        self.provider = str(self.session.get_providers()[0])
        self._outputs = _output_names(self.description)
        known = {i.name for i in (*self.session.get_inputs(), *self.session.get_outputs())}
        if missing := sorted({self.description.input, *self._outputs} - known):
            raise ModelError(f"{self.path} has no {', '.join(missing)}, but its description names it.")

    def __call__(self, image: NDArray[np.uint8]) -> Detections:
        """Boxes of people, see `Detector`; raises ModelError when the outputs are not as described."""
        content, scale_xy = fitted(image, self.description)
        fed = {self.description.input: normalised(content, self.description)}
        try:
            outputs = self.session.run(self._outputs, fed)
            corners_M4, score_M = decode(outputs, self.description)
        except (ValueError, IndexError) as error:
            raise ModelError(f"{self.path} does not give the shapes of its description: {error}.") from error
        if not (np.isfinite(corners_M4).all() and np.isfinite(score_M).all()):
            raise ModelError(f"{self.path} returned values that are not finite: the file is damaged or overflows.")
        height, width = image.shape[:2]
        return kept(corners_M4 / np.tile(scale_xy, 2), score_M, (width, height), self.description)


def shipped_detectors() -> list[str]:
    """Names of the detectors that come with the package."""
    return sorted(path.stem for path in DETECTORS.glob("*.onnx"))


def load_detector(
    name_or_path: str | Path | None = None, *, providers: Sequence[str] | None = None, threads: int | None = None
) -> OnnxDetector:
    """Load a detector by the name of a shipped one or from any described `.onnx` file; None: the first shipped one.

    Raises:
        BadArgumentError: nothing of that name is shipped. And see `OnnxDetector`.
    """
    shipped = shipped_detectors()
    if name_or_path is not None and str(name_or_path).endswith(".onnx"):
        return OnnxDetector(name_or_path, providers=providers, threads=threads)
    wanted = str(name_or_path) if name_or_path is not None else next(iter(shipped), None)
    if wanted is None or wanted not in shipped:
        raise BadArgumentError(
            f"No detector {wanted or 'comes with this installation'}: "
            f"give an .onnx file with its description, or one of the shipped ones ({', '.join(shipped) or 'none'})."
        )
    return OnnxDetector(DETECTORS / f"{wanted}.onnx", providers=providers, threads=threads)


def parse_description(data: Any, origin: str) -> DetectorDescription:
    """Validate a detector's description; raises ModelError naming `origin` and the field at fault."""
    try:
        if isinstance(data, (str, bytes)):
            return DetectorDescription.model_validate_json(data)
        return DetectorDescription.model_validate(data)
    except ValidationError as error:
        raise ModelError(f"{origin} does not describe a detector: {first_fault(error, 'description')}.") from error


def _own_description(session: Any, path: Path) -> DetectorDescription:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text:
        return parse_description(text, str(path))
    beside = path.with_suffix(".toml")
    for described in (beside, DESCRIPTIONS / "detectors" / f"{path.stem}.toml"):
        if described.is_file():
            return parse_description(read_toml(described), str(described))
    raise ModelError(
        f"{path} has no description: it has no '{METADATA_KEY}' metadata, there is no {beside.name} beside it, "
        f"and no description of {path.stem} comes with poseunion."
    )


def _output_names(description: DetectorDescription) -> list[str]:
    head = description.head
    if isinstance(head, DistanceOutput):
        return list(head.outputs)
    labels = getattr(head, "labels", None)
    return [head.output, labels] if labels else [head.output]


def fitted(image: NDArray[np.uint8], description: DetectorDescription) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Picture resized to the input (letterbox or stretch), and input pixels per picture pixel along x and y."""
    (width, height), (h, w) = description.size_wh, image.shape[:2]
    wanted = np.array([width / w, height / h])
    if description.resize == "letterbox":
        wanted[:] = wanted.min()
    fitted_wh = np.maximum(1, np.round(wanted * [w, h])).astype(int)
    method = cv2.INTER_AREA if wanted.max() < 1 else cv2.INTER_LINEAR
    content = np.full((height, width, 3), description.border, np.uint8)
    content[: fitted_wh[1], : fitted_wh[0]] = cv2.resize(image, fitted_wh.tolist(), interpolation=method)
    return content, fitted_wh / [w, h]


def normalised(content: NDArray[np.uint8], description: DetectorDescription) -> NDArray[np.float32]:
    """Normalised input (1, 3, H, W) float32 from (H, W, 3) RGB at the input's size."""
    x = content if description.colour == "RGB" else content[..., ::-1]
    mean, std = (np.asarray(v, np.float32) * 255 for v in (description.mean, description.std))
    return np.ascontiguousarray(((x.astype(np.float32) - mean) / std).transpose(2, 0, 1)[None])


def decode(
    outputs: list[NDArray[np.float32]], description: DetectorDescription
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Decode raw outputs to (M, 4) corners in input pixels and (M,) scores of the person class."""
    head, size = description.head, description.size_wh
    if isinstance(head, DistanceOutput):
        maps = [o.reshape(-1, 5).astype(np.float64) for o in outputs]
        corner = np.concatenate([_cells(size, [s])[0] for s in head.strides])
        raw = np.concatenate(maps)
        return np.concatenate([corner - raw[:, 1:3], corner + raw[:, 3:5]], 1), _sigmoid(raw[:, 0])
    if isinstance(head, YoloxOutput):
        raw = outputs[0][0].astype(np.float64)
        corner, stride = _cells(size, head.strides)
        centre, extent = corner + raw[:, :2] * stride, np.exp(raw[:, 2:4]) * stride
        return _corners(centre, extent), raw[:, 4] * raw[:, 5 + description.person]
    raw = outputs[0][0].astype(np.float64)
    if isinstance(head, BoxesOutput):
        person = outputs[1][0] == description.person if head.labels else np.ones(len(raw), bool)
        return raw[person, :4], raw[person, 4]
    extent_of_input = np.array(size, np.float64)
    score = _sigmoid(outputs[1][0, :, description.person].astype(np.float64))
    return _corners(raw[:, :2] * extent_of_input, raw[:, 2:4] * extent_of_input), score


def kept(
    corners_M4: NDArray[np.float64],
    score_M: NDArray[np.float64],
    image_wh: tuple[int, int],
    description: DetectorDescription,
) -> Detections:
    """Boxes in picture pixels after score threshold and non-maximum suppression, best first."""
    corners = np.clip(corners_M4, 0, np.tile(image_wh, 2))
    box = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1).astype(np.float32)
    usable = (score_M >= description.score_threshold) & (box[:, 2:] >= 1).all(1)
    box, score = box[usable], score_M[usable].astype(np.float32)
    order = np.asarray(cv2.dnn.NMSBoxes(box.tolist(), score.tolist(), 0.0, description.iou_threshold), np.intp)
    return box[order.reshape(-1)], score[order.reshape(-1)]


def _cells(size_wh: tuple[int, int], strides: list[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(M, 2) upper left corner of every cell in input pixels, row by row, stride by stride; (M, 1) its stride."""
    corners, sizes = [], []
    for stride in strides:
        y, x = np.mgrid[: size_wh[1] // stride, : size_wh[0] // stride] * stride
        corners.append(np.stack([x.ravel(), y.ravel()], 1).astype(np.float64))
        sizes.append(np.full((x.size, 1), float(stride)))
    return np.concatenate(corners), np.concatenate(sizes)


def _corners(centre_M2: NDArray[np.float64], extent_M2: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([centre_M2 - extent_M2 / 2, centre_M2 + extent_M2 / 2], 1)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))
