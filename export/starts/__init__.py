"""Public networks whose weights can initialise a student, or a person detector.

A start is a described public file, one of our network classes, and a map from the file's layers to the names of that
class. Another public network is one more module here and one more entry of `STARTS`.
"""

from __future__ import annotations

from poseunion.export.starts.lite_hrnet import TINYPOSE
from poseunion.export.starts.reader import Layer, Start, read_layers
from poseunion.export.starts.rtmdet_nano import RTMDET_NANO
from poseunion.models.errors import ModelError

__all__ = ["STARTS", "Layer", "Start", "find_start", "read_layers"]

STARTS: tuple[Start, ...] = (TINYPOSE, RTMDET_NANO)


def find_start(layers: list[Layer], origin: str) -> Start:
    """Start whose layers have these shapes, in this order; raises ModelError naming the first difference."""
    faults = []
    for start in STARTS:
        fault = start.fault(layers)
        if fault is None:
            return start
        faults.append(f"{start.name}: {fault}")
    raise ModelError(f"{origin} is none of the networks that can be started from ({'; '.join(faults)}).")
