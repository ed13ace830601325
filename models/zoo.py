"""The shipped models: where their files are, and which name stands for which."""

from __future__ import annotations

from pathlib import Path

from poseunion.models.errors import BadArgumentError

WEIGHTS = Path(__file__).parent / "weights"


def shipped_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.onnx"))


def model_path(name_or_path: str | Path) -> Path:
    """The file of a shipped model, or the path itself for anything that ends in `.onnx` or `.engine`.

    Raises:
        BadArgumentError: neither.
    """
    if str(name_or_path).endswith((".onnx", ".engine")):
        return Path(name_or_path)
    path = WEIGHTS / f"{name_or_path}.onnx"
    if not path.is_file():
        shipped = ", ".join(shipped_models()) or "none yet"
        raise BadArgumentError(
            f"No model {str(name_or_path)!r}: give an .onnx file or one of the shipped ones ({shipped})."
        )
    return path
