"""poseunion: complete keypoint annotations, and predict keypoints, with small models of a unified skeleton.

`complete` is `annotate extend`, `load_predictor` a pose predictor, `read_annotations` reads any of the formats. The
rooms are `poseunion.models`, `.annotate`, `.training`, `.export` and `.app`, folders of the checkout's top level; the
names here are imported from them when they are first used.
"""

from __future__ import annotations

import importlib
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poseunion.annotate.complete_file import CompletedFile, complete
    from poseunion.annotate.formats import AnnotationSet, read_annotations
    from poseunion.models import PoseBatch, Predictor, load_predictor, load_skeleton

# In a checkout this folder comes first on sys.path, while the rooms may be installed elsewhere.
__path__ = extend_path(__path__, __name__)

__all__ = [
    "AnnotationSet",
    "CompletedFile",
    "PoseBatch",
    "Predictor",
    "complete",
    "load_predictor",
    "load_skeleton",
    "read_annotations",
]

_PLACES = {
    "annotate.complete_file": ("CompletedFile", "complete"),
    "annotate.formats": ("AnnotationSet", "read_annotations"),
    "models": ("PoseBatch", "Predictor", "load_predictor", "load_skeleton"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("poseunion")
    for module, names in _PLACES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
