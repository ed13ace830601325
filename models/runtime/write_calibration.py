"""Writing a calibration into an existing model file, without changing its weights."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from poseunion.models.calibration.schema import Calibration
from poseunion.models.errors import BadFileError, ModelError
from poseunion.models.files import read_regular, write_bytes
from poseunion.models.onnx_file import read_onnx
from poseunion.models.runtime.description import METADATA_KEY, ModelDescription, parse_description

# The safetensors library's own limit.
MOST_HEAD_BYTES = 100_000_000


def stamp(source: Path, out: Path, calibration: Calibration, description: ModelDescription) -> None:
    """Write `source`, an `.onnx` or `.safetensors`, to `out` with this calibration in its description; atomically.

    Args:
        description: for an `.onnx` without one.

    Raises:
        BadFileError: `source` cannot be read, or is neither.
    """
    if source.suffix == ".onnx":
        content = _onnx(source, calibration, description)
    elif source.suffix == ".safetensors":
        content = _safetensors(source, calibration)
    else:
        raise BadFileError(f"{source} can carry no description: give an .onnx or .safetensors file.")
    write_bytes(out, content)


def _calibrated(text: str, source: Path, calibration: Calibration) -> str:
    own = parse_description(text, str(source))
    # Validated anew: the calibration must be of these keypoints.
    return parse_description({**own.model_dump(), "calibration": calibration}, str(source)).model_dump_json()


def _onnx(source: Path, calibration: Calibration, description: ModelDescription) -> bytes:
    model = read_onnx(source)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            break
    else:
        entry = model.metadata_props.add()
        entry.key, entry.value = METADATA_KEY, description.model_dump_json()
    entry.value = _calibrated(entry.value, source, calibration)
    return bytes(model.SerializeToString())


def _safetensors(source: Path, calibration: Calibration) -> bytes:
    """Copy of a safetensors file with a new calibration in its head.

    The head is eight bytes of length and JSON (https://github.com/huggingface/safetensors, "Format").
    """
    try:
        content = read_regular(source)
        length = struct.unpack("<Q", content[:8])[0]
        if length > min(MOST_HEAD_BYTES, len(content) - 8):
            raise ValueError(f"the stated length of its head is {length} bytes")
        head = json.loads(content[8 : 8 + length])
        facts = head.get("__metadata__", {})
        if not isinstance(facts, dict):
            raise ValueError("its metadata are no object")
    except (struct.error, ValueError, AttributeError, RecursionError) as error:
        raise BadFileError(f"{source} is not a safetensors file: {error}.") from error
    if METADATA_KEY not in facts:
        raise ModelError(f"{source} has no description of its model: train it with poseunion train.")
    facts[METADATA_KEY] = _calibrated(facts[METADATA_KEY], source, calibration)
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors stay aligned
    return struct.pack("<Q", len(text)) + text + content[8 + length :]
