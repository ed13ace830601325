"""FiftyOne plugin `@poseunion/complete`: FiftyOne loads this file from wherever the folder is copied to."""

from poseunion.annotate.review.fiftyone.operators import register

__all__ = ["register"]
