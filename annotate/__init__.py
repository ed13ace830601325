"""Annotation files: read, complete, check, show and write them."""

from poseunion.annotate.formats import AnnotationSet, read_annotations

__all__ = ["AnnotationSet", "read_annotations"]
