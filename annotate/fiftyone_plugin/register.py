"""Registration of the plugin's operators and panel."""

from __future__ import annotations

from typing import Any

from poseunion.annotate.fiftyone_plugin.operators import OPERATORS
from poseunion.annotate.fiftyone_plugin.panel import Provenance


def register(plugin: Any) -> None:
    """Called by FiftyOne with the plugin's context."""
    for operator in (*OPERATORS, Provenance):
        plugin.register(operator)
