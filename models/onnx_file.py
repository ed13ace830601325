"""Reading of ONNX files with the `onnx` package, for graph, weights and metadata; `runtime` runs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from poseunion.models.errors import BadFileError, MissingExtraError
from poseunion.models.files import refuse_irregular

if TYPE_CHECKING:
    import onnx


def read_onnx(path: Path, *, external: bool = True) -> onnx.ModelProto:
    """Read an ONNX model.

    Args:
        external: also read weights that lie in files of their own.

    Raises:
        BadFileError: absent, no regular file, or not ONNX. MissingExtraError: onnx is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "train") from error
    refuse_irregular(path)
    try:
        return onnx.load(str(path), load_external_data=external)
    except FileNotFoundError as error:
        raise BadFileError(f"No model file {path}: give the path of an .onnx file.") from error
    except OSError as error:
        raise BadFileError(f"Cannot read {path}: {error.strerror or error}.") from error
    except Exception as error:  # protobuf's own classes; onnx's, of external data outside of the folder
        raise BadFileError(f"{path} is not an ONNX file: {(str(error).splitlines() or ['damaged'])[0]}.") from error
