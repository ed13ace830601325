"""Exceptions. Every message is one sentence that names the thing at fault and the fix."""

from __future__ import annotations


class PoseUnionError(Exception):
    """Base of everything this project raises on purpose. The command lines print it and leave with `exit_code`."""

    exit_code = 2


class BadFileError(PoseUnionError):
    """A file cannot be used: unreadable, not the stated format, NaN inside, duplicate ids, disk full."""


class BadArgumentError(PoseUnionError):
    """An argument cannot be used: unknown name, contradictory options, value out of range."""


class SkeletonError(PoseUnionError):
    """A skeleton is malformed, or does not fit the data it is used with."""


class ModelError(PoseUnionError):
    """A model file differs from its description, or its output is not finite."""


class DeviceError(PoseUnionError):
    """What a model was to run on is not there: a GPU, its libraries, the version that it was built for."""


class MissingExtraError(PoseUnionError):
    """An optional dependency is absent.

    >>> print(MissingExtraError("onnxruntime", "cpu"))
    This needs onnxruntime, which is not installed: pip install 'poseunion[cpu]'.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"This needs {package}, which is not installed: pip install 'poseunion[{extra}]'.")


class ItemError(PoseUnionError):
    """One picture or person cannot be used. Callers skip it, count it and list it; they do not stop."""
