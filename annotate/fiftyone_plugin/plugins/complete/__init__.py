"""FiftyOne plugin `@poseunion/complete`: FiftyOne loads this file from wherever the folder is copied to."""

from poseunion.annotate.fiftyone_plugin.register import register

__all__ = ["register"]
