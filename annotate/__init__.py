"""Annotation files: read, complete, check, review and release them.

`formats` reads and writes, `extend` completes, `check` lists problems, `review` records decisions, `audit` certifies
the added points, `release` proves that no human point changed; `datasets` finds known data, `show` draws, `example` is
bundled; `cli` has the commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poseunion.annotate.formats import AnnotationSet, read_annotations

__all__ = ["AnnotationSet", "read_annotations"]


def __getattr__(name: str) -> Any:
    """Imported when first used: a command's --help needs none of it."""
    if name in __all__:
        from poseunion.annotate import formats

        return getattr(formats, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
