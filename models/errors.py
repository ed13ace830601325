"""Exception classes; every message is one sentence with the file or argument at fault and the remedy."""

from __future__ import annotations

# The command that installs an extra, and where it works. The project is on no package index yet; once it is:
# "pip install 'poseunion[{extra}]'". CONTRIBUTING.md, "Release", renames the pages that show it; tests/test_install.py
# compares them with this one.
INSTALL = "pip install '.[{extra}]' in a checkout"


def install_command(extra: str) -> str:
    """Command that installs an optional dependency group of pyproject.toml."""
    return INSTALL.format(extra=extra)


class PoseUnionError(Exception):
    """Base class of all errors of this project; the command lines print it and exit with `exit_code`."""

    exit_code = 2


class BadFileError(PoseUnionError):
    """Unusable file: unreadable, not the stated format, NaN inside, duplicate ids, disk full."""


class BadArgumentError(PoseUnionError):
    """Unusable argument: unknown name, contradictory options, value out of range."""


class SkeletonError(PoseUnionError):
    """Malformed skeleton, or one that does not fit the data it is used with."""


class ModelError(PoseUnionError):
    """Model file that differs from its description, or whose output is not finite."""


class DeviceError(PoseUnionError):
    """Missing device: a GPU, its libraries, or the version that an engine was built for."""


class MissingExtraError(PoseUnionError):
    """Missing optional dependency.

    >>> print(MissingExtraError("onnxruntime", "cpu"))
    This needs onnxruntime, which is not installed: pip install '.[cpu]' in a checkout.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"This needs {package}, which is not installed: {install_command(extra)}.")


class ItemError(PoseUnionError):
    """Unusable picture or person: callers skip it, count it and list it; they do not stop."""
